import { isJsonObject, parseJson } from '../../base/json.ts'
import { parseCertificate } from '../../base/x509-certificate.ts'
import type { TrustBundle } from '../../credentials/bundle/bundle.ts'
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

// Bundles are immutable, and one is asked about often.
const published = new WeakMap<TrustBundle, ReadonlySet<string>>()

/** The names under which {@link signerOfChain} and {@link signerOfToken} give the authorities of a bundle. */
export function signersOf(bundle: TrustBundle): ReadonlySet<string> {
  const known = published.get(bundle)
  if (known !== undefined) return known
  const { x509Authorities, jwtAuthorities, witAuthorities } = bundle
  const keyIds = x509Authorities.map((der) => parseCertificate(der).extensions.subjectKeyId ?? [])
  const signers = new Set([
    ...keyIds.map((keyId) => Buffer.from(keyId).toString('hex')),
    ...jwtAuthorities.keys(),
    ...witAuthorities.keys(),
  ])
  published.set(bundle, signers)
  return signers
}
