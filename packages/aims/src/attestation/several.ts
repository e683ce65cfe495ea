import { AimsError } from '../base/errors.ts'
import type { AttestationResult, Attestor } from './attestor.ts'
import type { PeerCredentials } from './peer-credentials.ts'

/**
 * Attests the same peer with several attestors of this machine and puts their selectors together. The first names the type and
 * comes last, so that what it finds out about the process is true after all others looked.
 *
 * @throws {@link AimsError} what the attestors throw; `attestation.process_changed` when they did not see the same process
 */
export function combinedAttestor(
  first: Attestor<PeerCredentials>,
  ...others: readonly Attestor<PeerCredentials>[]
): Attestor<PeerCredentials> {
  return {
    type: first.type,
    async attest(peer, context): Promise<AttestationResult> {
      const results = await Promise.all(others.map((other) => other.attest(peer, context)))
      const last = await first.attest(peer, context)
      if (results.some(({ attributes }) => attributes.start_time !== last.attributes.start_time)) {
        throw new AimsError('attestation.process_changed', 'not the process that opened the connection, as it was then')
      }
      const all = [last, ...results]
      return {
        ...last,
        selectors: all.flatMap(({ selectors }) => selectors),
        attributes: Object.assign({}, ...results.map(({ attributes }) => attributes), last.attributes),
        warnings: all.flatMap(({ warnings }) => warnings),
      }
    },
  }
}
