import type { UnverifiedJws } from '../../base/jose.ts'
import { decodeCredential } from '../token.ts'

/**
 * Takes a JWT-SVID apart without verifying it: for display and diagnosis. Any `typ` passes.
 *
 * @throws {@link AimsError} `credential.malformed`, `.too_large`, `.forbidden_header`, `.unsupported_alg`
 */
export function decodeUnverifiedJwtSvid(token: string): UnverifiedJws {
  return decodeCredential(token, {})
}
