import type { JwsAlgorithm } from '../../base/algorithms.ts'
import { asBuffer, sha256 } from '../../base/bytes.ts'
import { requireTime } from '../../base/clock.ts'
import { AimsError, type AimsErrorCode } from '../../base/errors.ts'
import { type DecodeOptions, decodeUnverifiedJws, type UnverifiedJws, verifyJws } from '../../base/jose.ts'
import type { JsonObject } from '../../base/json.ts'
import { optionalTextClaim, singleAudience, textClaim, timeClaim } from './claims.ts'
import { type IssuerKeys, pickIssuerKey } from './issuer-keys.ts'

/** What tokens of one platform may look like. */
export interface TokenProfile {
  readonly algorithms: readonly JwsAlgorithm[]
  /** Header parameters that the platform writes and nobody here looks at. */
  readonly ignoredHeaders?: NonNullable<DecodeOptions['ignoredHeaders']>
  /** Seconds from the earlier of `iat` and `nbf` to `exp`. */
  readonly maxLifetime: number
}

/** A token of a platform, read and NOT verified. */
export interface UnverifiedPlatformToken {
  readonly jws: UnverifiedJws
  readonly issuer: string
  /** The only one. */
  readonly audience: string
  /** Seconds since the epoch, as all times here. */
  readonly issuedAt: number
  readonly notBefore: number
  readonly expiresAt: number
}

/** A token whose issuer, signature and times hold. */
export interface PlatformToken extends Omit<UnverifiedPlatformToken, 'jws'> {
  readonly claims: JsonObject
  /** Names this one token: its `jti`, or a hash of what was signed. */
  readonly statement: string
}

/** Bytes of a token, with what testers leave around it. */
export const MAX_TOKEN = 16_384
const CLOCK_SKEW = 60

const CODES: { readonly [code in AimsErrorCode]?: AimsErrorCode } = {
  'jose.too_large': 'attestation.too_large',
  'json.too_large': 'attestation.too_large',
  'jose.unsupported_alg': 'attestation.unsupported',
}

/**
 * Takes the token of a platform apart: three canonical parts, no header that names a key, one audience, whole times.
 * Blanks and line ends after it do no harm.
 *
 * Does not verify anything.
 *
 * @param refuse - Says why this kind of token is none of the platform's, before anything of it is missed.
 * @throws {@link AimsError} `attestation.malformed`, `.too_large`, `.unsupported`, `.binding_mismatch`
 * @see RFC 7519; RFC 8725 section 3
 */
export function parsePlatformToken(
  evidence: Uint8Array,
  profile: TokenProfile,
  refuse: (claims: JsonObject) => void = () => undefined,
): UnverifiedPlatformToken {
  const text = asBuffer(evidence).toString('latin1').trimEnd()
  const jws = decode(text, profile)
  const { claims } = jws
  refuse(claims)
  const issuedAt = timeClaim(claims, 'iat')
  const expiresAt = timeClaim(claims, 'exp')
  const notBefore = claims.nbf === undefined ? issuedAt : timeClaim(claims, 'nbf')
  if (issuedAt >= expiresAt || notBefore >= expiresAt) {
    throw new AimsError('attestation.malformed', 'the token ends before it begins')
  }
  return { jws, issuer: textClaim(claims, 'iss'), audience: singleAudience(claims), issuedAt, notBefore, expiresAt }
}

/**
 * Verifies a token: exactly this issuer, a key of exactly this set, by `kid` and by the algorithm of the key, and times.
 * Says nothing about the audience: `checkBoundAudience` does.
 *
 * @throws {@link AimsError} `attestation.issuer_unknown`, `.key_unknown`, `.invalid_signature`,
 *   `.not_yet_valid`, `.expired`, `.lifetime_too_long`
 */
export function verifyPlatformToken(
  token: UnverifiedPlatformToken,
  trust: { readonly issuer: string; readonly keys: IssuerKeys; readonly profile: TokenProfile; readonly now: number },
): PlatformToken {
  const { keys, profile, now } = trust
  requireIssuer(token, trust.issuer)
  const key = pickIssuerKey(keys, token.jws.kid)
  if (!verifyJws(token.jws, key)) {
    throw new AimsError('attestation.invalid_signature', 'the signature of the token does not verify')
  }
  requireTimes(token, profile, now)
  return believe(token)
}

/** @throws {@link AimsError} `attestation.issuer_unknown` */
export function requireIssuer(token: UnverifiedPlatformToken, issuer: string): void {
  if (token.issuer !== issuer) {
    throw new AimsError('attestation.issuer_unknown', 'the token is of another issuer than the one configured')
  }
}

/** @throws {@link AimsError} `attestation.not_yet_valid`, `.expired`, `.lifetime_too_long` */
export function requireTimes(token: UnverifiedPlatformToken, { maxLifetime }: TokenProfile, now: number): void {
  requireTime(now)
  const { issuedAt, notBefore, expiresAt } = token
  if (notBefore > now + CLOCK_SKEW) throw new AimsError('attestation.not_yet_valid', 'the token is not valid yet')
  if (expiresAt <= now) throw new AimsError('attestation.expired', 'the token has expired')
  if (expiresAt - Math.min(issuedAt, notBefore) > maxLifetime) {
    throw new AimsError('attestation.lifetime_too_long', `the token lives longer than ${maxLifetime} seconds`)
  }
}

/** The claims of a token that was verified, by its signature here or by the platform itself. */
export function believe({ jws, ...token }: UnverifiedPlatformToken): PlatformToken {
  const { claims } = jws
  const jti = optionalTextClaim(claims, 'jti')
  // What was signed, not the token: an ECDSA signature can be written in two ways.
  const statement = jti ?? sha256(jws.token.slice(0, jws.token.lastIndexOf('.'))).toString('hex')
  return { ...token, claims, statement }
}

function decode(text: string, { algorithms, ignoredHeaders }: TokenProfile): UnverifiedJws {
  let jws: UnverifiedJws
  try {
    const options = { maxLength: MAX_TOKEN, typ: ['JWT', undefined] }
    jws = decodeUnverifiedJws(text, ignoredHeaders === undefined ? options : { ...options, ignoredHeaders })
  } catch (cause) {
    if (!AimsError.is(cause)) throw cause
    throw new AimsError(CODES[cause.code] ?? 'attestation.malformed', `the token: ${cause.message}`, { cause })
  }
  if (!algorithms.includes(jws.alg)) {
    throw new AimsError('attestation.unsupported', 'the token is signed with an algorithm its platform does not use')
  }
  return jws
}
