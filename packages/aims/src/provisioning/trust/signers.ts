import { isJsonObject, parseJson } from '../../base/json.ts'
import { decodeUnverifiedX509Svid } from '../../credentials/x509-svid/parse.ts'

/**
 * The key identifier of the CA that signed the leaf of a chain, in lower-case hex; `''` when it names none. Verifies
 * nothing: the chain comes from the own server.
 *
 * @throws {@link AimsError} all of `decodeUnverifiedX509Svid`
 */
export function signerOfChain(certificates: readonly Uint8Array[]): string {
  const { authorityKeyId } = decodeUnverifiedX509Svid(certificates).leaf.extensions
  return Buffer.from(authorityKeyId ?? []).toString('hex')
}

/** The `kid` of the key that signed a token; `''` when it names none. Verifies nothing. @throws {@link AimsError} `json.*` */
export function signerOfToken(token: string): string {
  const header = parseJson(Buffer.from(token.slice(0, token.indexOf('.')), 'base64url').toString())
  return isJsonObject(header) && typeof header.kid === 'string' ? header.kid : ''
}
