import type { VerificationKey } from '../../base/keys.ts'
import { createSealer, type Sealed, type Sealer } from '../../base/seal.ts'
import type { TrustDomain, WorkloadId } from '../../identifiers/spiffe-id.ts'
import type { AttestedFacts } from '../attested.ts'
import type { Delegation } from '../delegation/delegation.ts'
import type { Profile } from '../profile.ts'

/**
 * A WIT whose signature, times and trust domain have been checked. Only `verifyWit` makes one: `verifyWpt` takes neither a
 * copy nor an object of the same shape.
 */
export interface VerifiedWit extends Sealed<'VerifiedWit'> {
  readonly kind: 'verified-wit'
  readonly profile: Profile
  readonly subject: WorkloadId
  readonly trustDomain: TrustDomain
  /** The key the holder must prove it has, with the one algorithm its proofs use. */
  readonly confirmation: VerificationKey
  /** `cnf.kid`, profile `aims-00` only. */
  readonly confirmationKid?: string
  /** Seconds since the epoch. */
  readonly expiresAt: number
  /** `iat`, seconds since the epoch. */
  readonly issuedAt?: number
  /** What attestation found out, where the issuer says so. */
  readonly attested?: AttestedFacts
  /** What the parent of a sub-agent gave it. */
  readonly delegation?: Delegation
  /** For audit only, never for identity. */
  readonly issuer?: string
  readonly id?: string
  /** The compact token, exactly as received. */
  readonly token: string
  /** base64url(SHA-256(ASCII of the token)): what a proof's `wth` must equal. */
  readonly hash: string
}

/** The WITs that `verifyWit` and its cache have made, once nothing was left to check. */
export const VERIFIED_WITS: Sealer<VerifiedWit> = createSealer()
