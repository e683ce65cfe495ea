import type { Profile } from '../credentials/profile.ts'
import type { TrustDomain, WorkloadId } from '../identifiers/spiffe-id.ts'

/** How a caller proved itself. */
export type AuthenticationMethod = 'wit+wpt' | 'mtls' | 'jwt-svid'

/** A caller that has proved who it is. Only `authenticate` makes one, and `authorize` accepts nothing else. */
export interface Principal {
  readonly kind: 'principal'
  readonly id: WorkloadId
  readonly trustDomain: TrustDomain
  readonly method: AuthenticationMethod
  /** `wit+wpt` only. */
  readonly profile?: Profile
  /** Names the credential without being one: serial number, `jti` or thumbprint of the confirmed key. */
  readonly credential: { readonly type: string; readonly id: string }
  /** What the proof covered: a bearer token covers nothing, mTLS covers the connection. */
  readonly covers: { readonly method: boolean; readonly target: boolean; readonly body: boolean }
  /** Seconds since the epoch, of the credential. */
  readonly expiresAt: number
}
