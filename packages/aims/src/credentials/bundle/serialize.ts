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
  const { sequence, refreshHint } = bundle
  const members = [`"keys":${JSON.stringify(keysOf(bundle, options.includeWit === true))}`]
  // By hand: JSON.stringify has no integers beyond 2^53.
  if (sequence !== undefined) members.push(`"spiffe_sequence":${sequence}`)
  if (refreshHint !== undefined) members.push(`"spiffe_refresh_hint":${refreshHint}`)
  return `{${members.join(',')}}`
}

/**
 * Writes a SPIFFE bundle map, without the refresh hints of the single bundles: a map is refreshed as a whole.
 *
 * @throws TypeError for two bundles of one trust domain: they are never merged
 * @see SPIFFE Trust Domain and Bundle, section 4.3
 */
export function serializeBundleMap(
  bundles: Iterable<TrustBundle>,
  options: { readonly includeWit?: boolean } = {},
): string {
  const members = new Map<string, string>()
  for (const { refreshHint: _, ...bundle } of bundles) {
    if (members.has(bundle.trustDomain)) throw new TypeError('two bundles for one trust domain')
    members.set(bundle.trustDomain, `${JSON.stringify(bundle.trustDomain)}:${serializeBundle(bundle, options)}`)
  }
  return `{"trust_domains":{${[...members.values()].join(',')}}}`
}

/** The authorities of a bundle in one spelling, whatever their order: equal for bundles that trust the same keys. */
export function bundleContent(bundle: TrustBundle): string {
  const keys = keysOf(bundle, true).map((key) => JSON.stringify(key))
  return JSON.stringify(keys.sort())
}

function keysOf({ x509Authorities, jwtAuthorities, witAuthorities }: TrustBundle, includeWit: boolean): object[] {
  return [
    ...x509Authorities.map(x509Jwk),
    ...[...jwtAuthorities].map(([kid, key]) => authorityJwk(kid, key, 'jwt-svid')),
    ...(includeWit ? [...witAuthorities].map(([kid, key]) => authorityJwk(kid, key, 'wit-svid')) : []),
  ]
}

function x509Jwk(der: Uint8Array): object {
  const key = parseCertificate(der).subjectPublicKey
  return { use: 'x509-svid', ...exportPublicJwk(key), x5c: [asBuffer(der).toString('base64')] }
}
