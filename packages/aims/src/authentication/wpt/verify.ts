import { trimBlanks } from '../../base/blanks.ts'
import { equalConstantTime, sha256Base64url } from '../../base/bytes.ts'
import { AimsError, type AimsErrorCode } from '../../base/errors.ts'
import { decodeUnverifiedJws, type UnverifiedJws, verifyJws } from '../../base/jose.ts'
import { isJsonObject, type JsonObject } from '../../base/json.ts'
import { type Sealed, sealInTypes } from '../../base/seal.ts'
import { DEFAULT_CLOCK_SKEW, requireTimeOptions } from '../../credentials/lifetime.ts'
import type { Profile } from '../../credentials/profile.ts'
import { VERIFIED_WITS, type VerifiedWit } from '../../credentials/wit/wit.ts'
import { isOnOrigin, ownAudience } from '../audience.ts'
import { PROFILE_RULES, type ProfileRules } from '../profile-rules.ts'
import { consume } from '../replay/consume.ts'
import type { ReplayStore } from '../replay/replay-store.ts'
import { BODY_DIGEST_CLAIM, bodyDigest } from './body-digest.ts'

/** What the receiving service knows for itself. None of it may come from the request, but where it says so. */
export interface ProofExpectations {
  /** The WIT of the same request, already verified under the same profile. */
  readonly wit: VerifiedWit
  readonly profile: Profile
  /** This service's own URIs, compared byte for byte; of `aud`, its query and fragment do not count. The `Host` header is not a source for them. */
  readonly audiences: readonly string[]
  /**
   * Origins this service is reached under, e.g. `https://api.example.com`. With them an audience may also be the target
   * URI of this very request without its query, and `htu` may be absolute. Default none.
   */
  readonly origins?: readonly string[]
  /** Seconds since the epoch. */
  readonly now: number
  /** Method of the request, as on the wire. `undefined`: not known, `htm` is not compared and not reported as covered. */
  readonly method: string | undefined
  /** Path and query of the request, as on the wire. `undefined`: not known, `htu` is not compared. */
  readonly target: string | undefined
  /** The access token of the request, where the profile binds it with `ath`. */
  readonly accessToken?: string | undefined
  /** The value of the field `Txn-Token` of the request. */
  readonly txnToken?: string | undefined
  /** Other tokens of the request by lower-case field name: `oth` must name each of them. */
  readonly otherTokens?: { readonly [field: string]: string }
  /** Finds a field of the request, given once, that `oth` may name beside `otherTokens`. Default: it may name no others. */
  readonly findField?: (field: string) => string | undefined
  /** Refuse proofs that live longer than this, in seconds. Default 300. */
  readonly maxLifetime?: number
  /** How far ahead the prover's clock may be, in seconds: for `nbf`, `iat` and the lifetime, never for `exp`. Default 30. */
  readonly clockSkew?: number
  /** Refuse proofs that do not name the method, target or body they are for. Default: checked when named. */
  readonly requireBinding?: RequiredBinding
}

/** What a proof must name of its request. */
export interface RequiredBinding {
  readonly method?: boolean
  readonly target?: boolean
  readonly body?: boolean
}

/** What {@link verifyWpt} needs beside {@link ProofExpectations}. */
export interface WptExpectations extends ProofExpectations {
  /** The body of the request. `undefined`: not known, the digest is not compared and not reported as covered. */
  readonly body?: Uint8Array | undefined
  readonly replays: ReplayStore
}

/** A proof that has been checked against its WIT and its request. Only `verifyWpt` makes one. */
export interface VerifiedProof extends Sealed<'VerifiedProof'> {
  readonly kind: 'verified-proof'
  readonly profile: Profile
  readonly id: string
  readonly audience: string
  /** Seconds since the epoch. */
  readonly expiresAt: number
  /** What the proof names of the request, and was compared. */
  readonly covers: { readonly method: boolean; readonly target: boolean; readonly body: boolean }
}

/**
 * Checks a Workload Proof Token against the WIT it came with and the request it came in, then uses up its `jti`.
 *
 * @returns The proof's own claims. Nothing about permission: that is `authorize`.
 * @throws {@link AimsError} `proof.*`, the first check that failed, in the order of the draft; `authentication.mixed_profiles`
 *   when the WIT was verified under another profile
 * @see draft-ietf-wimse-wpt-02, section "Workload Proof Token"
 */
export async function verifyWpt(proof: string, expected: WptExpectations): Promise<VerifiedProof> {
  const checked = checkProof(proof, expected)
  const body = checkBody(checked, expected.body, expected.requireBinding)
  // Last, so that a proof refused above does not use up its jti.
  const consuming = consumeProof(checked, expected.replays, expected.now)
  if (consuming !== undefined) await consuming
  return toVerifiedProof(checked, body)
}

/** How long a proof may live at most, in seconds, unless the service says otherwise. */
export const DEFAULT_MAX_LIFETIME = 300

/** A proof that passed everything but its body and its single use. Internal to this layer. */
export interface CheckedProof {
  readonly profile: Profile
  readonly id: string
  readonly audience: string
  readonly expiresAt: number
  readonly coversMethod: boolean
  readonly coversTarget: boolean
  readonly bodyDigest: string | undefined
  readonly replayKey: string
  /** Seconds since the epoch: until when the proof could be accepted again. */
  readonly retainUntil: number
}

/** The part of {@link verifyWpt} that waits for nothing: all checks but the body and the replay. */
export function checkProof(proof: string, expected: ProofExpectations): CheckedProof {
  const { wit, now, audiences, clockSkew = DEFAULT_CLOCK_SKEW, maxLifetime = DEFAULT_MAX_LIFETIME } = expected
  // Every comparison with NaN is false, and most of those below refuse when true.
  requireTimeOptions(now, clockSkew, maxLifetime)
  if (!Array.isArray(audiences)) throw new TypeError('audiences is a list')
  const rules = PROFILE_RULES[expected.profile]
  if (!VERIFIED_WITS.isSealed(wit)) throw new TypeError('wit is not what verifyWit returned')
  if (wit.profile !== expected.profile) {
    throw new AimsError('authentication.mixed_profiles', 'the WIT and the proof are of different profiles')
  }
  const jws = decodeProof(proof)
  checkSignature(jws, wit, rules)
  const { claims } = jws
  for (const name of rules.required) {
    if (claims[name] === undefined) throw new AimsError('proof.missing_claim', `the proof has no ${name}`)
  }
  const audience = checkAudience(claims, expected, rules)
  const expiresAt = checkTimes(claims, expected, rules)
  checkWit(claims, jws.kid, wit, rules)
  const id = checkId(claims)
  const coversMethod = checkMethod(claims, expected)
  const coversTarget = checkTarget(claims, expected)
  checkTokens(claims, expected, rules)
  return {
    profile: expected.profile,
    id,
    audience,
    expiresAt,
    coversMethod,
    coversTarget,
    bodyDigest: optionalText(claims, BODY_DIGEST_CLAIM),
    // Scoped by the key that signed: no holder can use up the jti of another.
    replayKey: `wpt ${wit.confirmation.thumbprint} ${id}`,
    retainUntil: expiresAt + clockSkew,
  }
}

/** Compares the digest of the body, when the proof names one. Returns whether the body is covered. */
export function checkBody(proof: CheckedProof, body: Uint8Array | undefined, required?: RequiredBinding): boolean {
  if (proof.bodyDigest === undefined) {
    if (required?.body === true && body?.length !== 0) {
      throw new AimsError('proof.binding_missing', 'the proof does not name the body of the request')
    }
    return false
  }
  if (body === undefined) return false
  const observed = bodyDigest(body)
  if (proof.bodyDigest !== observed) {
    throw new AimsError('proof.body_mismatch', 'the proof was made for another body', { observed })
  }
  return true
}

/**
 * Uses up the proof; a promise only when the store needs one.
 *
 * @throws {@link AimsError} `proof.replayed`, `proof.replay_store_full`, `proof.replay_store_unavailable`
 */
export function consumeProof(proof: CheckedProof, replays: ReplayStore, now: number): void | Promise<void> {
  return consume(replays, proof.replayKey, proof.retainUntil, now, 'proof.replayed')
}

function toVerifiedProof(proof: CheckedProof, coversBody: boolean): VerifiedProof {
  const { profile, id, audience, expiresAt, coversMethod: method, coversTarget: target } = proof
  const covers = { method, target, body: coversBody }
  return sealInTypes<VerifiedProof>({ kind: 'verified-proof', profile, id, audience, expiresAt, covers })
}

const DECODING_CODES: { readonly [code: string]: AimsErrorCode } = {
  'jose.too_large': 'proof.too_large',
  'jose.forbidden_header': 'proof.forbidden_header',
  'jose.unsupported_alg': 'proof.alg_mismatch',
}

function decodeProof(proof: string): UnverifiedJws {
  try {
    return decodeUnverifiedJws(proof)
  } catch (cause) {
    if (!AimsError.is(cause)) throw cause
    throw new AimsError(DECODING_CODES[cause.code] ?? 'proof.malformed', 'the proof is not an acceptable JWS', {
      cause,
    })
  }
}

function checkSignature(jws: UnverifiedJws, wit: VerifiedWit, rules: ProfileRules): void {
  if (jws.typ !== rules.proof.typ) throw new AimsError('proof.wrong_type', `typ is not ${rules.proof.typ}`)
  // Equality of names: EdDSA and Ed25519 are two values, although one key fits both.
  if (jws.alg !== wit.confirmation.alg) {
    throw new AimsError('proof.alg_mismatch', 'alg is not the one of the key in the WIT')
  }
  if (!verifyJws(jws, wit.confirmation)) {
    throw new AimsError('proof.invalid_signature', 'the signature does not verify under the key in the WIT')
  }
}

// One audience as a string: a proof that is good at two services could be used at each.
// A URI is compared without its query and fragment, as the draft says. An audience of ours that has one is meant whole.
function checkAudience(claims: JsonObject, names: ProofExpectations, { namesMaker }: ProfileRules): string {
  const given = requiredText(claims, 'aud')
  const audience = ownAudience(given, names, names.target, namesMaker)
  if (audience !== undefined) return audience
  throw new AimsError('proof.audience_mismatch', 'the proof is for another service')
}

const MAX_AGE = 60
const MAX_COMPAT_LIFETIME = 300

function checkTimes(claims: JsonObject, expected: ProofExpectations, rules: ProfileRules): number {
  const { now, clockSkew = DEFAULT_CLOCK_SKEW, maxLifetime = DEFAULT_MAX_LIFETIME } = expected
  const expiresAt = requiredTime(claims, 'exp')
  if (expiresAt <= now) throw new AimsError('proof.expired', 'exp has passed')
  // No leeway on top: a maker whose clock is ahead has it in the difference between its lifetime and ours.
  if (expiresAt > now + maxLifetime) {
    throw new AimsError('proof.lifetime_too_long', `exp is more than ${maxLifetime} s ahead`)
  }
  const notBefore = claims.nbf === undefined ? undefined : requiredTime(claims, 'nbf')
  if (notBefore !== undefined && notBefore > now + clockSkew) {
    throw new AimsError('proof.not_yet_valid', 'nbf is in the future')
  }
  if (claims.iat === undefined) return expiresAt
  const issuedAt = requiredTime(claims, 'iat')
  if (issuedAt > now + Math.max(MAX_AGE, clockSkew)) throw new AimsError('proof.not_yet_valid', 'iat is in the future')
  if (rules.freshIssue) {
    if (issuedAt < now - Math.max(MAX_AGE, clockSkew)) throw new AimsError('proof.expired', 'iat is too long ago')
    if (expiresAt > issuedAt + MAX_COMPAT_LIFETIME) {
      throw new AimsError('proof.lifetime_too_long', `exp is more than ${MAX_COMPAT_LIFETIME} s after iat`)
    }
  }
  return expiresAt
}

function checkWit(claims: JsonObject, kid: string | undefined, wit: VerifiedWit, rules: ProfileRules): void {
  // Compared as it is: both are known to whoever has seen the WIT.
  if (claims.wth !== undefined && claims.wth !== wit.hash) {
    throw new AimsError('proof.wit_mismatch', 'the proof was made for another WIT')
  }
  if (!rules.namesMaker) return
  if (claims.iss !== wit.subject) throw new AimsError('proof.issuer_mismatch', 'iss is not the subject of the WIT')
  if (wit.confirmationKid !== undefined && kid !== wit.confirmationKid) {
    throw new AimsError('proof.wit_mismatch', 'kid is not the one in the WIT')
  }
}

const MIN_ID = 16
const MAX_ID = 256

function checkId(claims: JsonObject): string {
  const id = requiredText(claims, 'jti')
  if (id.length < MIN_ID || id.length > MAX_ID) {
    throw new AimsError('proof.invalid_claim', `jti does not have ${MIN_ID} to ${MAX_ID} characters`)
  }
  return id
}

function checkMethod(claims: JsonObject, { method, requireBinding }: ProofExpectations): boolean {
  const htm = optionalText(claims, 'htm')
  if (htm === undefined) {
    if (requireBinding?.method === true)
      throw new AimsError('proof.binding_missing', 'the proof does not name a method')
    return false
  }
  if (method === undefined) return false
  if (htm !== method) throw new AimsError('proof.method_mismatch', 'the proof was made for another method')
  return true
}

function checkTarget(claims: JsonObject, { target, origins, requireBinding }: ProofExpectations): boolean {
  const htu = optionalText(claims, 'htu')
  if (htu === undefined) {
    if (requireBinding?.target === true)
      throw new AimsError('proof.binding_missing', 'the proof does not name a target')
    return false
  }
  if (target === undefined) return false
  if (htu !== target && !isOnOrigin(htu, target, origins))
    throw new AimsError('proof.target_mismatch', 'the proof was made for another target')
  return true
}

function checkTokens(claims: JsonObject, expected: ProofExpectations, rules: ProfileRules): void {
  if (rules.bindsAccessToken && !bindsToken(claims.ath, expected.accessToken)) {
    throw new AimsError('proof.access_token_mismatch', 'ath does not match the access token of the request')
  }
  if (!bindsToken(claims.tth, expected.txnToken)) {
    throw new AimsError('proof.txn_token_mismatch', 'tth does not match the Txn-Token of the request')
  }
  if (!bindsOthers(claims.oth, expected, rules)) {
    throw new AimsError('proof.other_token_mismatch', 'oth does not match the other tokens of the request')
  }
}

// Both or neither: a hash without its token is as wrong as a token without its hash.
function bindsToken(claim: unknown, token: string | undefined): boolean {
  if (token === undefined) return claim === undefined
  return typeof claim === 'string' && equalConstantTime(claim, sha256Base64url(token))
}

function bindsOthers(oth: JsonObject[string], expected: ProofExpectations, rules: ProfileRules): boolean {
  const { otherTokens: tokens = {}, findField } = expected
  const fields = Object.keys(tokens)
  if (oth === undefined) return fields.length === 0
  const find = (field: string): string | undefined =>
    trimmed(Object.hasOwn(tokens, field) ? tokens[field] : findField?.(field))
  if (typeof oth === 'string') {
    const [field] = fields
    return rules.othAsString && field !== undefined && fields.length === 1 && bindsToken(oth, find(field))
  }
  if (!isJsonObject(oth) || fields.some((field) => oth[field] === undefined)) return false
  return Object.keys(oth).every((field) => {
    const value = find(field)
    return value !== undefined && bindsToken(oth[field], value)
  })
}

function trimmed(value: string | undefined): string | undefined {
  return value === undefined ? undefined : trimBlanks(value)
}

function requiredText(claims: JsonObject, name: string): string {
  const value = optionalText(claims, name)
  if (value === undefined) throw new AimsError('proof.missing_claim', `the proof has no ${name}`)
  return value
}

function optionalText(claims: JsonObject, name: string): string | undefined {
  const value = claims[name]
  if (value !== undefined && typeof value !== 'string') {
    throw new AimsError('proof.invalid_claim', 'a claim is not a string')
  }
  return value
}

// Numbers beyond 2^53 are bigint and no time that anyone means.
function requiredTime(claims: JsonObject, name: 'exp' | 'nbf' | 'iat'): number {
  const value = claims[name]
  if (typeof value !== 'number') throw new AimsError('proof.invalid_claim', `${name} is not a number`)
  return value
}
