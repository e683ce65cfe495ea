import type { UnverifiedJws } from '../../base/jose.ts'
import { decodeCredential, hideToken } from '../token.ts'

/**
 * Takes a JWT-SVID apart without verifying it: for display and diagnosis. Any `typ` passes. The token and its signature
 * show up in no log and no JSON of the result.
 *
 * @throws {@link AimsError} `credential.malformed`, `.too_large`, `.forbidden_header`, `.unsupported_alg`
 */
export function decodeUnverifiedJwtSvid(token: string): UnverifiedJws {
  return hideToken(decodeCredential(token, {}))
}
