import type { Profile } from '../credentials/profile.ts'
import type { SpiffeId } from '../identifiers/spiffe-id.ts'

export type CredentialType = 'x509-svid' | 'jwt-svid' | 'wit'

/** Says which workload gets which identity: whoever shows all `selectors` is `spiffeId`. */
export interface RegistrationEntry {
  readonly id: string
  readonly spiffeId: SpiffeId
  /** At least one; all must be present (AND). */
  readonly selectors: readonly string[]
  readonly credentialTypes: readonly CredentialType[]
  /** The shape of this identity's WITs. Default `wimse`. */
  readonly profile: Profile
  /** `aims-00` WITs only: the value of `aud`. */
  readonly audiences: readonly string[]
  /** Seconds. */
  readonly x509Ttl: number
  readonly jwtTtl: number
  readonly witTtl: number
  /** DNS names to put beside the URI SAN, for TLS servers. */
  readonly dnsNames: readonly string[]
  /** Operator's hint to a workload with several identities, unique per workload. */
  readonly hint: string
  /** Who answers for this agent: a person or team. */
  readonly owner: string
  /** May use the administration API. */
  readonly admin: boolean
  /** Grows with every change of the entry. */
  readonly revision: number
}
