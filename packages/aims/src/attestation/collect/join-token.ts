import { AimsError } from '../../base/errors.ts'
import type { EvidenceCollector } from './collector.ts'

/**
 * Makes the collector of `join-token`.
 *
 * @param read - Gives the token, e.g. from a file; `undefined`: this machine has none.
 */
export function joinTokenCollector(read: () => string | undefined | Promise<string | undefined>): EvidenceCollector {
  return {
    type: 'join-token',
    async collect() {
      const token = (await read())?.trim()
      if (token === '') throw new AimsError('attestation.collection_failed', 'the join token is empty')
      return token === undefined ? undefined : Buffer.from(token)
    },
  }
}
