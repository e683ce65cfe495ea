import { withSecrets } from '../../base/secret.ts'
import type { SpiffeId } from '../../identifiers/spiffe-id.ts'

/** A JWT-SVID as its holder has it. The token is a bearer credential and shows up in no log and no JSON. */
export interface JwtSvid {
  readonly spiffeId: SpiffeId
  readonly audiences: readonly string[]
  /** Seconds since the epoch. */
  readonly expiresAt: number
  /** Operator's hint which identity this is; `''` when there is none. */
  readonly hint: string
  readonly token: string
}

/** Gives a current JWT-SVID for an audience; renewing it is the source's matter. */
export interface JwtSvidSource {
  jwtSvid(audience: string): Promise<JwtSvid>
}

/** Makes a holder's JWT-SVID. Nothing is verified: it comes from the own issuer, over the own channel. */
export function holdJwtSvid(svid: JwtSvid): JwtSvid {
  const { token, ...visible } = svid
  return withSecrets(visible, { token })
}
