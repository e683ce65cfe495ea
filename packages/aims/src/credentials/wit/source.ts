import type { WorkloadKey } from '../../base/keys.ts'
import { withSecrets } from '../../base/secret.ts'
import type { WorkloadId } from '../../identifiers/spiffe-id.ts'
import type { Profile } from '../profile.ts'

/** A WIT as its holder has it: with the key it confirms. Token and key show up in no log and no JSON. */
export interface Wit {
  readonly subject: WorkloadId
  readonly profile: Profile
  /** Seconds since the epoch. */
  readonly expiresAt: number
  /** Operator's hint which identity this is; `''` when there is none. */
  readonly hint: string
  readonly token: string
  readonly key: WorkloadKey
}

/** Gives the current WIT; renewing it is the source's matter. */
export interface WitSource {
  /** @throws {@link AimsError} when there is no valid WIT to give. */
  wit(): Wit
}

/** Makes a holder's WIT. Nothing is verified: it comes from the own issuer, over the own channel. */
export function holdWit(wit: Wit): Wit {
  const { token, key, ...visible } = wit
  return withSecrets(visible, { token, key })
}
