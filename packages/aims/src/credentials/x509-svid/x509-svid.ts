import type { KeyObject } from 'node:crypto'
import type { Sealed } from '../../base/seal.ts'
import type { TrustDomain, WorkloadId } from '../../identifiers/spiffe-id.ts'

/** An X.509-SVID or WIC whose path and profile have been checked. Only `verifyX509Svid` makes one. */
export interface VerifiedX509Svid extends Sealed<'VerifiedX509Svid'> {
  readonly kind: 'verified-x509-svid'
  readonly mode: 'svid' | 'wic'
  readonly subject: WorkloadId
  readonly trustDomain: TrustDomain
  readonly publicKey: KeyObject
  /** Seconds since the epoch: the earliest end of any certificate of the path. */
  readonly expiresAt: number
  /** Seconds since the epoch: the beginning of the leaf. */
  readonly notBefore: number
  /** Lower-case hex. */
  readonly serialNumber: string
  /** base64url(SHA-256(leaf DER)), as in `x5t#S256`. */
  readonly thumbprint: string
  readonly dnsNames: readonly string[]
}
