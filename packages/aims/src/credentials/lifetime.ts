import { requireTime } from '../base/clock.ts'
import { AimsError } from '../base/errors.ts'
import type { JsonObject } from '../base/json.ts'

/** When a token is valid. All in seconds since the epoch. */
export interface TokenTimes {
  readonly exp: number
  readonly nbf: number | undefined
  readonly iat: number | undefined
}

/** The verifier's side of the matter. */
export interface TimeExpectations {
  /** Seconds since the epoch. */
  readonly now: number
  /** How far ahead the issuer's clock may be: applies to `nbf` and `iat`, never to `exp`. */
  readonly clockSkew: number
  /** Seconds. */
  readonly maxLifetime: number
}

/**
 * Reads `exp`, `nbf` and `iat`; only `exp` is mandatory.
 *
 * @throws {@link AimsError} `credential.missing_claim`, `credential.invalid_claim`
 */
export function readTimes(claims: JsonObject): TokenTimes {
  const exp = readTime(claims, 'exp')
  if (exp === undefined) throw new AimsError('credential.missing_claim', 'exp is absent')
  return { exp, nbf: readTime(claims, 'nbf'), iat: readTime(claims, 'iat') }
}

function readTime(claims: JsonObject, name: string): number | undefined {
  const value = claims[name]
  if (value === undefined) return undefined
  if (typeof value !== 'number' || value < 0) {
    throw new AimsError('credential.invalid_claim', `${name} is not a number of seconds`)
  }
  return value
}

/**
 * Checks the times of a token. It is expired from the very second `exp` names, without leeway: a holder renews long
 * before, so leeway would only help a thief. The leeway is for issuers whose clock is ahead.
 *
 * @throws {@link AimsError} `credential.expired`, `.not_yet_valid`, `.issued_in_future`, `.lifetime_too_long`
 * @see RFC 7519 section 4.1.4
 */
export function checkTimes(times: TokenTimes, expected: TimeExpectations): void {
  const { exp, nbf, iat } = times
  const { now, clockSkew, maxLifetime } = expected
  // Written so that a NaN fails too.
  if (!(now < exp)) throw new AimsError('credential.expired', 'exp has passed')
  if (nbf !== undefined && !(nbf <= now + clockSkew))
    throw new AimsError('credential.not_yet_valid', 'nbf is in the future')
  if (iat !== undefined && !(iat <= now + clockSkew))
    throw new AimsError('credential.issued_in_future', 'iat is in the future')
  if (!(exp - (iat ?? nbf ?? now) <= maxLifetime)) {
    throw new AimsError('credential.lifetime_too_long', `the token lives longer than ${maxLifetime} s`)
  }
}

/** Default and largest leeway, in seconds. */
export const DEFAULT_CLOCK_SKEW = 30
const MAX_CLOCK_SKEW = 120

/** Refuses a configuration that would make time checks meaningless. @throws TypeError */
export function requireTimeOptions(now: number, clockSkew: number, maxLifetime: number): void {
  // Types first: text compares like a number, and `now + '5'` is ten times the time.
  requireTime(now)
  if (typeof clockSkew !== 'number' || !(clockSkew >= 0 && clockSkew <= MAX_CLOCK_SKEW)) {
    throw new TypeError(`clockSkew must be between 0 and ${MAX_CLOCK_SKEW} seconds`)
  }
  if (typeof maxLifetime !== 'number' || !(maxLifetime > 0)) throw new TypeError('maxLifetime must be positive')
}
