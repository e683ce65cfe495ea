import { AimsError } from '../../base/errors.ts'
import type { JsonObject, JsonValue } from '../../base/json.ts'
import { exportPublicJwk, type VerificationKey } from '../../base/keys.ts'
import type { TrustDomain } from '../../identifiers/spiffe-id.ts'
import { readTokenAuthority } from './authority.ts'
import type { TrustBundle } from './bundle.ts'
import { readDocument, readKeys } from './document.ts'

/**
 * Reads a plain JWK Set, as the Workload API and OpenID providers publish it: a signature key counts for JWT-SVIDs and for
 * WITs alike, unless its `use` is `jwt-svid` or `wit-svid`: then for those alone. Keys with another `use` or `key_ops`, or
 * of a type that is not supported, are ignored. A key without `kid` is accepted when it is the only one.
 *
 * The document does not say whose it is: `trustDomain` comes from where you got it.
 *
 * @throws {@link AimsError} `bundle.malformed`, `.too_large`, `.missing_keys`, `.missing_kid`, `.duplicate_kid`,
 * `.private_key`, `.invalid_key`
 * @see RFC 7517 section 5; SPIFFE Workload API section 6.2
 */
export function parseJwks(json: string | Uint8Array, trustDomain: TrustDomain): TrustBundle {
  return readJwks(readDocument(json), trustDomain)
}

const SIGNATURE_USES: ReadonlySet<unknown> = new Set([undefined, 'sig', 'jwt-svid', 'wit-svid'])

/** {@link parseJwks} of a document already read. */
export function readJwks(document: JsonObject, trustDomain: TrustDomain): TrustBundle {
  const keys = [...readSignatureKeys(document)]
  return {
    trustDomain,
    x509Authorities: [],
    jwtAuthorities: new Map(keys.flatMap(([kid, { use, key }]) => (use === 'wit-svid' ? [] : [[kid, key]]))),
    witAuthorities: new Map(keys.flatMap(([kid, { use, key }]) => (use === 'jwt-svid' ? [] : [[kid, key]]))),
  }
}

/** A key that an issuer publishes for its signatures, and what for. */
export interface SignatureKey {
  readonly key: VerificationKey
  readonly use: JsonValue | undefined
}

/** The signature keys of a JWK Set by `kid`, with the rules of {@link parseJwks}. A sole key without one has the name ''. */
export function readSignatureKeys(document: JsonObject): ReadonlyMap<string, SignatureKey> {
  const keys = new Map<string, SignatureKey>()
  const entries = readKeys(document).filter(isForVerification)
  for (const jwk of entries) {
    const key = readTokenAuthority(jwk)
    if (key === undefined) continue
    const kid = key.kid ?? ''
    if (kid === '' && entries.length > 1) {
      throw new AimsError('bundle.missing_kid', 'a key has no kid although it is not the only one')
    }
    if (keys.has(kid)) throw new AimsError('bundle.duplicate_kid', 'two keys of the set have the same kid')
    keys.set(kid, { key, use: jwk.use })
  }
  return keys
}

function isForVerification({ use, key_ops: operations }: JsonObject): boolean {
  return SIGNATURE_USES.has(use) && (!Array.isArray(operations) || operations.includes('verify'))
}

/** Writes authorities as a plain JWK Set, each with `kid` and, unless the issuer left it open, `alg`. */
export function serializeJwks(authorities: ReadonlyMap<string, VerificationKey>): string {
  return JSON.stringify({ keys: [...authorities].map(([kid, key]) => authorityJwk(kid, key)) })
}

/** One token authority as a JWK. */
export function authorityJwk(kid: string, { key, alg, algs }: VerificationKey, use?: string): object {
  const named = algs === undefined ? { alg } : {}
  return exportPublicJwk(key, { ...named, ...(kid === '' ? {} : { kid }), ...(use === undefined ? {} : { use }) })
}
