import type { JsonObject } from '../../base/json.ts'
import type { Sealed } from '../../base/seal.ts'
import type { SpiffeId, TrustDomain } from '../../identifiers/spiffe-id.ts'

/** A JWT-SVID that has been checked. Only `verifyJwtSvid` makes one. It is a bearer credential. */
export interface VerifiedJwtSvid extends Sealed<'VerifiedJwtSvid'> {
  readonly kind: 'verified-jwt-svid'
  readonly subject: SpiffeId
  readonly trustDomain: TrustDomain
  readonly audiences: readonly string[]
  /** Seconds since the epoch. */
  readonly expiresAt: number
  /** `iat`, seconds since the epoch. */
  readonly issuedAt?: number
  readonly claims: JsonObject
}
