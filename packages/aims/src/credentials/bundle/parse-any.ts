import { AimsError } from '../../base/errors.ts'
import type { JsonObject } from '../../base/json.ts'
import type { TrustDomain } from '../../identifiers/spiffe-id.ts'
import { readDocument, readKeys } from './document.ts'
import { readJwks } from './jwks.ts'
import { type ParsedBundle, readBundle, readBundleMap } from './parse.ts'

const SPIFFE_USES: ReadonlySet<unknown> = new Set(['x509-svid', 'jwt-svid', 'wit-svid'])

/**
 * Reads whichever an operator has at hand: a SPIFFE bundle, a bundle map, a plain JWK Set, or a single JWK. For tools; a
 * program knows which one it expects and says so.
 *
 * @throws {@link AimsError} `bundle.*`; `bundle.wrong_trust_domain` when a map lacks the trust domain.
 */
export function parseAnyBundle(json: string | Uint8Array, trustDomain: TrustDomain): ParsedBundle {
  const document = readDocument(json)
  if ('trust_domains' in document) {
    const parsed = readBundleMap(document).get(trustDomain)
    if (parsed === undefined) {
      throw new AimsError('bundle.wrong_trust_domain', 'the bundle map has no bundle for the trust domain')
    }
    return parsed
  }
  const set = 'kty' in document && !('keys' in document) ? { keys: [document] } : document
  return isSpiffeBundle(set) ? readBundle(set, trustDomain) : { bundle: readJwks(set, trustDomain), warnings: [] }
}

function isSpiffeBundle(document: JsonObject): boolean {
  const marked = 'spiffe_sequence' in document || 'spiffe_refresh_hint' in document
  return marked || readKeys(document).some((jwk) => SPIFFE_USES.has(jwk.use))
}
