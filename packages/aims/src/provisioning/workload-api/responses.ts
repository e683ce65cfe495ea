import { createPrivateKey, type KeyObject } from 'node:crypto'
import type { JwsAlgorithm } from '../../base/algorithms.ts'
import { asBuffer } from '../../base/bytes.ts'
import { AimsError, refuseAs } from '../../base/errors.ts'
import { isJsonObject, type JsonObject, parseJsonObject } from '../../base/json.ts'
import {
  importPrivateKey,
  importVerificationKey,
  jwkThumbprint,
  type VerificationKey,
  WorkloadKey,
} from '../../base/keys.ts'
import type { TrustBundle } from '../../credentials/bundle/bundle.ts'
import { parseJwks } from '../../credentials/bundle/jwks.ts'
import { decodeUnverifiedJwtSvid } from '../../credentials/jwt-svid/decode.ts'
import { holdJwtSvid, type JwtSvid } from '../../credentials/jwt-svid/source.ts'
import type { Profile } from '../../credentials/profile.ts'
import { decodeUnverifiedWit } from '../../credentials/wit/decode.ts'
import { holdWit, type Wit } from '../../credentials/wit/source.ts'
import { splitDerChain } from '../../credentials/x509-svid/parse.ts'
import { holdX509Svid, type X509Svid } from '../../credentials/x509-svid/source.ts'
import {
  parseSpiffeId,
  parseWorkloadSpiffeId,
  pathOf,
  type SpiffeId,
  type TrustDomain,
  trustDomainOf,
} from '../../identifiers/spiffe-id.ts'
import type {
  JwtBundlesResponse,
  JwtSvidResponse,
  ValidateJwtSvidResponse,
  WitBundlesResponse,
  WitSvidMessage,
  WitSvidResponse,
  X509BundlesResponse,
  X509SvidMessage,
  X509SvidResponse,
} from './messages.ts'
import { Unchanged } from './unchanged.ts'

// What the Workload API sent, to values that may be used. Each refuses the whole message with
// `provisioning.invalid_response` when any part of it breaks a rule: half a state is no state.

/** DER of CA certificates by trust domain. */
export type X509Bundles = ReadonlyMap<TrustDomain, readonly Uint8Array[]>
/** Token authorities by trust domain, then by `kid`. */
export type TokenBundles = ReadonlyMap<TrustDomain, ReadonlyMap<string, VerificationKey>>

/** All X.509-SVIDs of a workload, the default one first, and the bundles that came with them. */
export interface X509Context {
  readonly svids: readonly X509Svid[]
  readonly bundles: X509Bundles
}

/**
 * Reads the X.509-SVIDs of a workload: each key belongs to its leaf, each leaf to the identifier named beside it.
 *
 * @param last - What the message before it on the same stream has given.
 */
export function readX509Context(response: X509SvidResponse, last: Unchanged<X509Svid> = new Unchanged()): X509Context {
  return reading(() => {
    const bundles = new Map<TrustDomain, readonly Uint8Array[]>()
    const messages = firstOfEachHint(response.svids)
    for (const { spiffeId, bundle } of messages) addX509Bundle(bundles, trustDomainOf(parseSpiffeId(spiffeId)), bundle)
    for (const [name, bundle] of response.federatedBundles) addX509Bundle(bundles, readTrustDomain(name), bundle)
    const partsOf = ({ spiffeId, hint, x509Svid, x509SvidKey }: X509SvidMessage) => [
      spiffeId,
      hint,
      x509Svid,
      x509SvidKey,
    ]
    return { svids: last.map(messages, partsOf, readX509Svid), bundles }
  })
}

function readX509Svid({ spiffeId, x509Svid, x509SvidKey, hint }: X509SvidMessage): X509Svid {
  if (x509Svid.length === 0 || x509SvidKey.length === 0) throw invalid('a mandatory field is absent')
  // Copies: the message they lie in is larger, and holds the keys of other identities.
  const certificates = Uint8Array.from(x509Svid)
  const svid = holdX509Svid({ certificates, key: new WorkloadKey(importPrivateKey(x509SvidKey)), hint })
  if (svid.spiffeId !== spiffeId) throw invalid('the leaf is for another identifier')
  return svid
}

/** Reads the X.509 bundles of all trust domains. */
export function readX509Bundles(response: X509BundlesResponse): X509Bundles {
  return reading(() => {
    const bundles = new Map<TrustDomain, readonly Uint8Array[]>()
    for (const [name, bundle] of response.bundles) addX509Bundle(bundles, readTrustDomain(name), bundle)
    if (bundles.size === 0) throw invalid('a mandatory field is absent')
    return bundles
  })
}

function addX509Bundle(
  bundles: Map<TrustDomain, readonly Uint8Array[]>,
  domain: TrustDomain,
  bundle: Uint8Array,
): void {
  if (bundle.length === 0) throw invalid('a mandatory field is absent')
  const authorities = splitDerChain(Uint8Array.from(bundle))
  const known = bundles.get(domain)
  if (known !== undefined && !Buffer.concat(known).equals(asBuffer(bundle))) {
    throw invalid('two different bundles for one trust domain')
  }
  bundles.set(domain, authorities)
}

/** Reads JWT-SVIDs made for `audience`. */
export function readJwtSvids(response: JwtSvidResponse, audience: string): readonly JwtSvid[] {
  return reading(() =>
    firstOfEachHint(response.svids).map(({ spiffeId, svid: token, hint }) =>
      readJwtSvid({ spiffeId, token, hint }, audience),
    ),
  )
}

/** A token, and the identifier that its issuer named beside it. */
export interface NamedToken {
  readonly spiffeId: string
  readonly token: string
  readonly hint: string
}

/** Reads a JWT-SVID made for `audience`. @throws {@link AimsError} `provisioning.invalid_response`, and those of the decoder */
export function readJwtSvid({ spiffeId, token, hint }: NamedToken, audience: string): JwtSvid {
  const { claims } = decodeUnverifiedJwtSvid(token)
  const { sub, aud, exp } = claims
  const audiences = (Array.isArray(aud) ? aud : [aud]).map(String)
  if (sub !== parseWorkloadSpiffeId(spiffeId)) throw invalid('the token is for another identifier')
  if (!audiences.includes(audience)) throw invalid('the token is for another audience')
  if (typeof exp !== 'number') throw invalid('the token has no end')
  return holdJwtSvid({ spiffeId: parseWorkloadSpiffeId(spiffeId), audiences, expiresAt: exp, hint, token })
}

/** Reads the JWT bundles of all trust domains. */
export function readJwtBundles(response: JwtBundlesResponse): TokenBundles {
  return readTokenBundles(response.bundles, 'jwt-svid', ({ jwtAuthorities }) => jwtAuthorities)
}

/** Reads the WIT bundles of all trust domains. */
export function readWitBundles(response: WitBundlesResponse): TokenBundles {
  return readTokenBundles(response.bundles, 'wit-svid', ({ witAuthorities }) => witAuthorities)
}

function readTokenBundles(
  documents: ReadonlyMap<string, Uint8Array | string>,
  use: string,
  authoritiesOf: (bundle: TrustBundle) => ReadonlyMap<string, VerificationKey>,
): TokenBundles {
  return reading(() => {
    if (documents.size === 0) throw invalid('a mandatory field is absent')
    const bundles = new Map<TrustDomain, ReadonlyMap<string, VerificationKey>>()
    for (const [name, document] of documents) {
      requireUse(parseJsonObject(document), use)
      const domain = readTrustDomain(name)
      bundles.set(domain, authoritiesOf(parseJwks(document, domain)))
    }
    return bundles
  })
}

// A bundle of one type has no keys of another: a key that came along would be believed for what it is not.
function requireUse({ keys }: JsonObject, wanted: string): void {
  for (const jwk of Array.isArray(keys) ? keys : []) {
    const use = isJsonObject(jwk) ? jwk.use : undefined
    if (use !== undefined && use !== 'sig' && use !== wanted) throw invalid('a bundle has a key of another use')
  }
}

/** What the Workload API says about a JWT-SVID that it found valid. */
export interface ValidatedJwtSvid {
  readonly spiffeId: SpiffeId
  /** As far as the server shows them. Integers beyond 2^53 have lost digits. */
  readonly claims: JsonObject
}

/** Reads the result of a validation. */
export function readValidation({ spiffeId, claims }: ValidateJwtSvidResponse): ValidatedJwtSvid {
  return reading(() => ({ spiffeId: parseWorkloadSpiffeId(spiffeId), claims }))
}

/**
 * Reads the WITs of a workload: each key is the one its token confirms, each token is for the identifier beside it.
 *
 * @param profile - Default: as the token's shape says. `wimse-wpt-01` has the shape of `wimse` and must be named.
 * @param last - What the message before it on the same stream has given.
 */
export function readWits(
  response: WitSvidResponse,
  profile?: Profile,
  last: Unchanged<Wit> = new Unchanged(),
): readonly Wit[] {
  const partsOf = ({ spiffeId, hint, witSvid, witSvidKey }: WitSvidMessage) => [spiffeId, hint, witSvid, witSvidKey]
  const read = (message: WitSvidMessage): Wit => readWitMessage(message, profile)
  return reading(() => last.map(firstOfEachHint(response.svids), partsOf, read))
}

function readWitMessage({ spiffeId, witSvid: token, witSvidKey, hint }: WitSvidMessage, profile?: Profile): Wit {
  return readWit({ spiffeId, token, hint }, (alg) => new WorkloadKey(importPrivateJwk(witSvidKey), { alg }), profile)
}

/**
 * Reads a WIT together with its key.
 *
 * @param keyFor - The private key, for the algorithm that the token names.
 * @throws {@link AimsError} `provisioning.invalid_response`, and those of the decoder
 */
export function readWit(
  { spiffeId, token, hint }: NamedToken,
  keyFor: (alg: JwsAlgorithm) => WorkloadKey,
  profile?: Profile,
): Wit {
  const { claims, typ } = decodeUnverifiedWit(token)
  const { sub, exp, cnf, aud } = claims
  if (sub !== parseWorkloadSpiffeId(spiffeId)) throw invalid('the token is for another identifier')
  if (typeof exp !== 'number') throw invalid('the token has no end')
  const jwk = isJsonObject(cnf) ? cnf.jwk : undefined
  if (!isJsonObject(jwk)) throw invalid('the token confirms no key')
  const confirmed = importVerificationKey(jwk)
  const key = keyFor(confirmed.alg)
  if (key.alg !== confirmed.alg || jwkThumbprint(key.publicKey) !== confirmed.thumbprint) {
    throw invalid('the private key is not the one the token confirms')
  }
  const shape: Profile = typ === 'wit+jwt' ? 'wimse' : aud === undefined ? 's2s-03-compat' : 'aims-00'
  return holdWit({ subject: sub, profile: profile ?? shape, expiresAt: exp, hint, token, key })
}

function importPrivateJwk(json: string): KeyObject {
  const jwk = parseJsonObject(json)
  try {
    return createPrivateKey({ key: { ...jwk }, format: 'jwk' })
  } catch {
    // The cause may quote the key: it is left out on purpose.
    throw invalid('the private key is not a usable JWK')
  }
}

// Of several identities with one hint the first counts, and an identity needs a name.
function firstOfEachHint<T extends { readonly hint: string; readonly spiffeId: string }>(
  all: readonly T[],
): readonly T[] {
  if (all.length === 0) throw invalid('a mandatory field is absent')
  const seen = new Set<string>()
  return all.filter(({ hint }) => {
    const isFirst = hint === '' || !seen.has(hint)
    seen.add(hint)
    return isFirst
  })
}

function readTrustDomain(name: string): TrustDomain {
  const id = parseSpiffeId(name)
  if (pathOf(id) !== '') throw invalid('a bundle is named by a workload')
  return trustDomainOf(id)
}

function reading<T>(read: () => T): T {
  return refuseAs('provisioning.invalid_response', 'the response breaks a rule of the Workload API', read)
}

function invalid(message: string): AimsError {
  return new AimsError('provisioning.invalid_response', message)
}
