import { AimsError, refuseAs } from '../../base/errors.ts'
import { isJsonObject, type JsonObject, type JsonValue } from '../../base/json.ts'
import type { VerificationKey } from '../../base/keys.ts'
import type { TrustDomain } from '../../identifiers/spiffe-id.ts'
import { parseTrustDomain } from '../../identifiers/trust-domain.ts'
import { readTokenAuthority, readX509Authority } from './authority.ts'
import type { TrustBundle } from './bundle.ts'
import { readDocument, readKeys } from './document.ts'

/** A bundle, and what was left out of it. */
export interface ParsedBundle {
  readonly bundle: TrustBundle
  /** One sentence per key that was ignored, by its position. */
  readonly warnings: readonly string[]
}

/**
 * Reads a SPIFFE bundle. Keys of unknown type or use are ignored, as the standard demands, with a warning each.
 *
 * The document does not say whose it is: `trustDomain` comes from where you got it. Does not check the validity of
 * the certificates, nor whether the bundle is newer than one you hold: {@link refuseRollback} does.
 *
 * @throws {@link AimsError} `bundle.malformed`, `.too_large`, `.missing_keys`, `.duplicate_kid`, `.private_key`,
 * `.invalid_sequence`, `.invalid_key`
 * @see SPIFFE Trust Domain and Bundle, section 4
 */
export function parseBundle(json: string | Uint8Array, trustDomain: TrustDomain): ParsedBundle {
  return readBundle(readDocument(json), trustDomain)
}

/**
 * Reads a SPIFFE bundle map, all or nothing.
 *
 * @throws {@link AimsError} `bundle.duplicate_trust_domain`, `identifier.*`, and all of {@link parseBundle}
 * @see SPIFFE Trust Domain and Bundle, section 4.3
 */
export function parseBundleMap(json: string | Uint8Array): ReadonlyMap<TrustDomain, TrustBundle> {
  const parsed = readBundleMap(readDocument(json))
  return new Map([...parsed].map(([trustDomain, { bundle }]) => [trustDomain, bundle]))
}

/** {@link parseBundleMap} of a document already read. */
export function readBundleMap(document: JsonObject): ReadonlyMap<TrustDomain, ParsedBundle> {
  const { trust_domains: entries } = document
  if (!isJsonObject(entries)) throw new AimsError('bundle.malformed', 'trust_domains is not an object')
  const bundles = new Map<TrustDomain, ParsedBundle>()
  for (const [name, entry] of Object.entries(entries)) {
    if (!isJsonObject(entry)) throw new AimsError('bundle.malformed', 'a bundle of the map is not an object')
    const trustDomain = readName(name)
    bundles.set(trustDomain, readBundle(entry, trustDomain))
  }
  return bundles
}

function readName(name: string): TrustDomain {
  if (name.includes('://')) throw new AimsError('bundle.malformed', 'a bundle map names trust domains, not SPIFFE IDs')
  return refuseAs('bundle.malformed', 'the bundle map has a malformed trust domain', () => parseTrustDomain(name))
}

/** {@link parseBundle} of a document already read. */
export function readBundle(document: JsonObject, trustDomain: TrustDomain): ParsedBundle {
  const warnings: string[] = []
  const x509Authorities: Uint8Array[] = []
  const jwtAuthorities = new Map<string, VerificationKey>()
  const witAuthorities = new Map<string, VerificationKey>()
  const readers: { readonly [use: string]: (jwk: JsonObject) => string | undefined } = {
    'x509-svid': (jwk) => addX509(x509Authorities, jwk),
    'jwt-svid': (jwk) => addToken(jwtAuthorities, witAuthorities, jwk),
    'wit-svid': (jwk) => addToken(witAuthorities, jwtAuthorities, jwk),
  }
  for (const [index, jwk] of readKeys(document).entries()) {
    const { use } = jwk
    const read = typeof use === 'string' && Object.hasOwn(readers, use) ? readers[use] : undefined
    const problem = read === undefined ? 'its use is absent or unknown' : read(jwk)
    if (problem !== undefined) warnings.push(`key ${index} is ignored: ${problem}`)
  }
  const sequence = readInteger(document.spiffe_sequence)
  const refreshHint = readInteger(document.spiffe_refresh_hint)
  const bundle: TrustBundle = {
    trustDomain,
    x509Authorities,
    jwtAuthorities,
    witAuthorities,
    ...(sequence === undefined ? {} : { sequence }),
    ...(refreshHint === undefined ? {} : { refreshHint: Number(refreshHint) }),
  }
  return { bundle, warnings }
}

// Each adds a key, or says why not.

function addX509(authorities: Uint8Array[], jwk: JsonObject): string | undefined {
  const { x5c } = jwk
  if (!Array.isArray(x5c) || x5c.length === 0) return 'it has no certificate in x5c'
  const der = readX509Authority(jwk, x5c[0])
  if (der === undefined) return UNUSABLE
  authorities.push(der)
  return x5c.length > 1 ? 'only the first certificate of x5c is trusted' : undefined
}

function addToken(
  authorities: Map<string, VerificationKey>,
  others: ReadonlyMap<string, VerificationKey>,
  jwk: JsonObject,
): string | undefined {
  const { kid } = jwk
  if (kid === undefined || kid === '') return 'it has no kid'
  const key = readTokenAuthority(jwk)
  if (key?.kid === undefined) return UNUSABLE
  if (authorities.has(key.kid) || others.has(key.kid)) {
    throw new AimsError('bundle.duplicate_kid', 'two keys of the bundle have the same kid')
  }
  authorities.set(key.kid, key)
  return undefined
}

const UNUSABLE = 'its type, curve or size is not supported'
const MAX_SEQUENCE = 2n ** 64n - 1n

function readInteger(value: JsonValue | undefined): bigint | undefined {
  if (value === undefined) return undefined
  const integer = typeof value === 'bigint' ? value : Number.isSafeInteger(value) ? BigInt(value as number) : undefined
  if (integer === undefined || integer < 0n || integer > MAX_SEQUENCE) {
    throw new AimsError('bundle.invalid_sequence', 'spiffe_sequence or spiffe_refresh_hint is not a usable integer')
  }
  return integer
}
