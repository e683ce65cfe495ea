import { trimBlanks } from '../../base/blanks.ts'
import { sha256Base64url } from '../../base/bytes.ts'
import { signJwsLocally } from '../../base/jose.ts'
import type { Wit } from '../../credentials/wit/source.ts'
import { PROFILE_RULES } from '../profile-rules.ts'
import { randomId } from '../random-id.ts'
import { BODY_DIGEST_CLAIM, bodyDigest } from './body-digest.ts'

/** The request a proof is made for. */
export interface ProofRequest {
  /** As on the wire, e.g. `POST`. */
  readonly method: string
  /** Path and query as on the wire, e.g. `/api/v1/events?day=1`. */
  readonly target: string
  /** The service: the URI it knows itself by. The draft recommends the target URI without query. */
  readonly audience: string
  /** Absent or empty: nothing is said about the body. */
  readonly body?: Uint8Array | undefined
  /** The OAuth token in the same request, where the profile leaves `Authorization` free for one. */
  readonly accessToken?: string | undefined
  /** The value of the field `Txn-Token` of the same request. */
  readonly txnToken?: string | undefined
  /** Other tokens of the same request, by lower-case field name. */
  readonly otherTokens?: { readonly [field: string]: string }
}

/** When a proof is made, and how long it is good for. */
export interface ProofOptions {
  /** Seconds since the epoch. */
  readonly now: number
  /** Seconds. Default 60, at most 300. */
  readonly lifetime?: number
  /** `jti`. Default: 128 random bits. */
  readonly id?: string
}

/** What a proof is made with: a WIT with its key. */
export type ProvingWit = Pick<Wit, 'subject' | 'profile' | 'token' | 'key'>

/**
 * Makes a Workload Proof Token for one request, in the shape of the WIT's profile. Beside the claims of the draft it
 * carries `htm`, `htu`, `iat` and, for a request with a body, its digest; verifiers that do not know them ignore them.
 *
 * A proof is used once: make a new one for every attempt, also when a request is repeated.
 *
 * @throws TypeError for a lifetime that verifiers refuse, and for tokens the profile cannot bind.
 * @see draft-ietf-wimse-wpt-02, section "Workload Proof Token"
 */
export function createWpt(wit: ProvingWit, request: ProofRequest, options: ProofOptions): string {
  const { now, lifetime = 60, id = randomId() } = options
  const { method, target, audience, body, accessToken, txnToken, otherTokens } = request
  const rules = PROFILE_RULES[wit.profile]
  if (!(lifetime > 0 && lifetime <= 300)) throw new TypeError('a proof lives 1 to 300 seconds')
  if (accessToken !== undefined && !rules.bindsAccessToken) {
    throw new TypeError(`profile ${wit.profile} has no place for an access token`)
  }
  const iat = Math.floor(now)
  const claims = {
    iss: rules.namesMaker ? wit.subject : undefined,
    aud: audience,
    iat,
    exp: iat + lifetime,
    jti: id,
    wth: hashOf(wit),
    htm: method,
    htu: target,
    ath: accessToken === undefined ? undefined : sha256Base64url(accessToken),
    tth: txnToken === undefined ? undefined : sha256Base64url(txnToken),
    oth: otherTokens === undefined ? undefined : hashEach(otherTokens),
    [BODY_DIGEST_CLAIM]: body === undefined || body.length === 0 ? undefined : bodyDigest(body),
  }
  const header = rules.namesMaker ? { typ: rules.proof.typ, kid: wit.key.kid } : { typ: rules.proof.typ }
  return signJwsLocally(header, claims, wit.key)
}

/**
 * Makes a proof and the header fields that carry it together with its WIT, as the WIT's profile says.
 *
 * @throws TypeError as {@link createWpt}
 */
export function proofHeaders(wit: ProvingWit, request: ProofRequest, options: ProofOptions): ProofHeaders {
  const rules = PROFILE_RULES[wit.profile]
  const headers: Record<string, string> = {}
  for (const [location, token] of [
    [rules.wit.location, wit.token],
    [rules.proof.location, createWpt(wit, request, options)],
  ] as const) {
    if (location === 'authorization-wpt') headers.authorization = `WPT ${token}`
    else if (location === 'authorization-bearer') headers.authorization = `Bearer ${token}`
    else headers[location] = token
  }
  return headers
}

/** Lower-case field names and their values. */
export interface ProofHeaders {
  readonly [field: string]: string
}

function hashEach(tokens: { readonly [field: string]: string }): { readonly [field: string]: string } {
  return Object.fromEntries(
    Object.entries(tokens).map(([field, value]) => {
      if (field !== field.toLowerCase()) throw new TypeError('names of other tokens are lower-case')
      return [field, sha256Base64url(trimBlanks(value))]
    }),
  )
}

// A holder proves with one WIT many times, and its hash stays the same.
const hashes = new WeakMap<ProvingWit, string>()

function hashOf(wit: ProvingWit): string {
  const known = hashes.get(wit)
  if (known !== undefined) return known
  const hash = sha256Base64url(wit.token)
  hashes.set(wit, hash)
  return hash
}
