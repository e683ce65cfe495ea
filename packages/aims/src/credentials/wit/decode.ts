import type { UnverifiedJws } from '../../base/jose.ts'
import { decodeCredential } from '../token.ts'

/**
 * Takes a WIT apart without verifying it: for display and diagnosis. Any `typ` passes.
 *
 * @throws {@link AimsError} `credential.malformed`, `.too_large`, `.forbidden_header`, `.unsupported_alg`
 */
export function decodeUnverifiedWit(token: string): UnverifiedJws {
  return decodeCredential(token, {})
}
