import { asBuffer } from '../../base/bytes.ts'
import { exportPublicJwk } from '../../base/keys.ts'
import { parseCertificate } from '../../base/x509-certificate.ts'
import type { TrustBundle } from './bundle.ts'
import { authorityJwk } from './jwks.ts'

/**
 * Writes a SPIFFE bundle.
 *
 * @param options.includeWit - Also write `wit-svid` keys. Default false: older consumers refuse a bundle with a `use`
 * they do not know, so publish them where you know the readers.
 * @see SPIFFE Trust Domain and Bundle, section 4; X509-SVID section 6; JWT-SVID section 6; WIT-SVID section 6
 */
export function serializeBundle(bundle: TrustBundle, options: { readonly includeWit?: boolean } = {}): string {
  const { x509Authorities, jwtAuthorities, witAuthorities, sequence, refreshHint } = bundle
  const keys = [
    ...x509Authorities.map(x509Jwk),
    ...[...jwtAuthorities].map(([kid, key]) => authorityJwk(kid, key, 'jwt-svid')),
    ...(options.includeWit === true ? [...witAuthorities].map(([kid, key]) => authorityJwk(kid, key, 'wit-svid')) : []),
  ]
  const members = [`"keys":${JSON.stringify(keys)}`]
  // By hand: JSON.stringify has no integers beyond 2^53.
  if (sequence !== undefined) members.push(`"spiffe_sequence":${sequence}`)
  if (refreshHint !== undefined) members.push(`"spiffe_refresh_hint":${refreshHint}`)
  return `{${members.join(',')}}`
}

function x509Jwk(der: Uint8Array): object {
  const key = parseCertificate(der).subjectPublicKey
  return { use: 'x509-svid', ...exportPublicJwk(key), x5c: [asBuffer(der).toString('base64')] }
}
