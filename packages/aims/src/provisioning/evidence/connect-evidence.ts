import type { EvidenceCollector } from '../../attestation/collect/collector.ts'
import type { Profile } from '../../credentials/profile.ts'
import type { TrustDomain } from '../../identifiers/spiffe-id.ts'
import {
  type ConnectedIdentity,
  followIdentity,
  type IdentityOptions,
  warnOfWaiting,
} from '../workload-api/sources/identity.ts'
import { sourceSettings } from '../workload-api/sources/subscription.ts'
import { identityServer } from './server.ts'
import { EvidenceStreams } from './streams.ts'

/** Which identity server to ask, how it is recognised, and what to show it. */
export interface EvidenceConnectOptions extends IdentityOptions {
  readonly trustDomain: TrustDomain
  /** `https://HOST:PORT`. */
  readonly server: string
  /** SPIFFE bundle of the trust domain: the path of a file, which is read again when it may have changed, or its bytes. */
  readonly bundle: string | Uint8Array
  /** What this machine can show. At least one; the server must have all these types switched on. */
  readonly collectors: readonly EvidenceCollector[]
  /** The manifest of this agent, signed by its launcher: `signManifest`. */
  readonly manifest?: string
  /** The profile of the WITs. Default: as their shape says. */
  readonly witProfile?: Profile
}

/**
 * Shows an identity server evidence of this machine, without an agent on it, and keeps the credentials that it gives
 * fresh: renewed at half of their life, each time with a new key and fresh evidence, for as long as they are not closed.
 *
 * A server that is away takes nothing that is still valid; refused evidence neither. What has expired is given to nobody. When
 * no entry fits the evidence any more, everything is taken away at once.
 *
 * Evidence that does not bind (`aws-iid`) is renewed by the key that came first, which lives in this process only: after a
 * restart an operator has to forget the machine.
 *
 * @throws {@link AimsError} `provisioning.no_evidence`, `.server_untrusted`, `.no_identity`, `.ambiguous_identity`,
 *   `attestation.*`, `operation.server_*` after `readyTimeout`, `bundle.*`, `provisioning.invalid_endpoint`
 * @throws TypeError without a collector, or with two of one type
 */
export async function connectByEvidence(options: EvidenceConnectOptions): Promise<ConnectedIdentity>
/** @param more - Members that the result has, too. */
export async function connectByEvidence<More extends object>(
  options: EvidenceConnectOptions,
  more: More,
): Promise<ConnectedIdentity & More>
export async function connectByEvidence(
  options: EvidenceConnectOptions,
  more: object = {},
): Promise<ConnectedIdentity> {
  const {
    trustDomain,
    collectors,
    readyTimeout = 30_000,
    onWaiting = warnOfWaiting,
    spiffeId,
    manifest,
    witProfile,
  } = options
  const types = collectors.map(({ type }) => type)
  if (types.length === 0 || new Set(types).size < types.length) {
    throw new TypeError('one collector or more are needed, each of another type')
  }
  const settings = sourceSettings(options)
  const { clock } = settings
  const server = identityServer({ trustDomain, server: options.server, bundle: options.bundle, clock })
  const exchange = {
    trustDomain,
    collectors,
    clock,
    ...(spiffeId === undefined ? {} : { spiffeId }),
    ...(manifest === undefined ? {} : { manifest }),
    ...(witProfile === undefined ? {} : { witProfile }),
  }
  const streams = new EvidenceStreams(server, exchange, settings)
  try {
    await streams.start(readyTimeout, onWaiting)
  } catch (error) {
    streams.close()
    throw error
  }
  return await followIdentity(streams, options, more)
}
