import type { TrustDomain, WorkloadId } from '../../identifiers/spiffe-id.ts'

/**
 * One thing that is not accepted any more:
 *
 * - `subject`: every credential of an identity and of all its sub-agents that was issued before `before`;
 * - `token`: the WIT or JWT-SVID with this `jti`;
 * - `certificate`: the X.509-SVID with this serial number, lower-case hex;
 * - `key`: every credential for this key, an RFC 7638 thumbprint.
 */
export type Revocation =
  | {
      readonly type: 'subject'
      readonly value: WorkloadId
      /** Seconds since the epoch: credentials issued from here on are none of this revocation's matter. */
      readonly before: number
      readonly expiresAt: number
    }
  | {
      readonly type: 'token' | 'certificate' | 'key'
      readonly value: string
      /** Seconds since the epoch: nothing that it means can be valid afterwards. */
      readonly expiresAt: number
    }

/** The kinds of {@link Revocation}. */
export const REVOCATION_TYPES = ['subject', 'token', 'certificate', 'key'] as const

/** All that is revoked in a trust domain at one time. */
export interface RevocationList {
  readonly trustDomain: TrustDomain
  /** Grows with every change. */
  readonly sequence: number
  /** When the issuer said so, in seconds since the epoch. */
  readonly issuedAt: number
  readonly revocations: readonly Revocation[]
}

/** What a verifier knows of a credential that was found to be good. */
export interface RevocableCredential {
  readonly subject: WorkloadId
  /** Seconds since the epoch: `iat`, or `notBefore` of a certificate. Unknown counts as long ago. */
  readonly issuedAt: number | undefined
  readonly kind: 'wit' | 'jwt-svid' | 'x509-svid'
  /** `jti`, or the serial number. */
  readonly id?: string | undefined
  /** RFC 7638 thumbprint of the key it confirms; asked for only where a key is revoked. */
  readonly keyThumbprint?: () => string
}

/** `unknown`: there is no list for the trust domain, or the newest is older than allowed. */
export type RevocationStatus = 'good' | 'revoked' | 'unknown'

/** Says whether credentials are revoked. Asked at every request, also for those that are verified already. */
export interface RevocationSource {
  statusOf(credential: RevocableCredential, now: number): RevocationStatus
}
