import type { JsonObject } from '../../base/json.ts'
import type { AttestationType } from '../attestor.ts'
import type { Challenge } from '../binding.ts'

/** What a collector of evidence is told: the challenge of a server, and what follows from it for its type. */
export interface CollectorChallenge {
  /** For user data: `bindingDigest(type, challenge, ...)`. */
  readonly challenge: Challenge
  readonly trustDomain: string
  /** For platforms that sign an audience: `bindingAudience(type, challenge, trustDomain)`. */
  readonly audience: string
  /** What the server's verifier answered to {@link EvidenceCollector.hello}. */
  readonly offer?: JsonObject
  /** Seconds since the epoch. */
  readonly now: number
}

/**
 * Collects one type of evidence on this machine, for the key in the challenge. Where it looks (a device, a file, an
 * address) is given when it is made. It keeps nothing from one challenge to the next that a server could not see anew.
 */
export interface EvidenceCollector {
  readonly type: AttestationType
  /** What the server's verifier must know before it can make a challenge of this type. Only types that need it have it. */
  hello?(): Promise<JsonObject>
  /**
   * The evidence in the form that the verifier of the type reads; `undefined`: this machine has no such evidence.
   *
   * @throws {@link AimsError} `attestation.collection_failed`: it should have, and something went wrong
   */
  collect(challenge: CollectorChallenge): Promise<Uint8Array | undefined>
}
