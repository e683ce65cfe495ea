import { SPIFFE_ALGORITHMS } from '../../base/algorithms.ts'
import { AimsError, refuseAs } from '../../base/errors.ts'
import { verifyJws } from '../../base/jose.ts'
import type { JsonObject } from '../../base/json.ts'
import { sealInTypes } from '../../base/seal.ts'
import { parseWorkloadSpiffeId, type SpiffeId, type TrustDomain, trustDomainOf } from '../../identifiers/spiffe-id.ts'
import type { BundleSource } from '../bundle/bundle.ts'
import { checkTimes, DEFAULT_CLOCK_SKEW, readTimes, requireTimeOptions } from '../lifetime.ts'
import { decodeCredential, pickAuthority, requireAudiences, requireBundle } from '../token.ts'
import type { VerifiedJwtSvid } from './jwt-svid.ts'

/** What the receiving service knows for itself. None of it may come from the request. */
export interface JwtSvidExpectations {
  /** The authorities of each trust domain. The subject's own domain is looked up, never another one. */
  readonly bundles: BundleSource
  /** This service's own name; `aud` must contain it exactly. */
  readonly audience: string
  /** Seconds since the epoch. */
  readonly now: number
  /** How far ahead the issuer's clock may be, in seconds: for `nbf` and `iat`, never for `exp`. Default 30, at most 120. */
  readonly clockSkew?: number
  /** Refuse tokens that live longer than this, in seconds. Default 3600. */
  readonly maxLifetime?: number
  /** The only trust domain whose workloads are expected. Default: all that have a bundle. */
  readonly trustDomain?: TrustDomain
}

const HEADERS: ReadonlySet<string> = new Set(['alg', 'kid', 'typ'])

/**
 * Verifies a JWT-SVID: its form, trust domain, signature, times and audience.
 *
 * Does not tell who sent it: it is a bearer credential, valid in anybody's hands until it expires. Does not say what
 * the subject may do.
 *
 * @throws {@link AimsError} `credential.*`, the first check that failed
 * @throws TypeError for an empty audience, or times out of range.
 * @see JWT-SVID sections 2 to 5
 */
export function verifyJwtSvid(token: string, expected: JwtSvidExpectations): VerifiedJwtSvid {
  const { audience, now, clockSkew = DEFAULT_CLOCK_SKEW, maxLifetime = 3600 } = expected
  if (typeof audience !== 'string' || audience === '') throw new TypeError('audience must be this service')
  requireTimeOptions(now, clockSkew, maxLifetime)
  const jws = decodeCredential(token, { typ: [undefined, 'JWT', 'JOSE'] })
  if (!SPIFFE_ALGORITHMS.has(jws.alg)) {
    throw new AimsError('credential.unsupported_alg', 'not one of the nine algorithms of a JWT-SVID')
  }
  if (!Object.keys(jws.header).every((name) => HEADERS.has(name))) {
    throw new AimsError('credential.forbidden_header', 'a JWT-SVID has no header but alg, kid and typ')
  }
  if (jws.kid === undefined) throw new AimsError('credential.missing_kid', 'the token does not say which key signed it')
  const { claims } = jws
  const subject = readSubject(claims)
  const times = readTimes(claims)
  const audiences = requireAudiences(claims)
  const trustDomain = trustDomainOf(subject)
  if (expected.trustDomain !== undefined && expected.trustDomain !== trustDomain) {
    throw new AimsError('credential.wrong_trust_domain', 'the subject is in another trust domain than expected')
  }
  const bundle = requireBundle(expected.bundles, subject)
  if (!verifyJws(jws, pickAuthority(bundle.jwtAuthorities, jws.kid))) {
    throw new AimsError('credential.invalid_signature', 'the signature does not verify')
  }
  checkTimes(times, { now, clockSkew, maxLifetime })
  if (!audiences.includes(audience)) {
    throw new AimsError('credential.audience_mismatch', 'the token is for another audience')
  }
  const { exp: expiresAt, iat } = times
  const issued = iat === undefined ? {} : { issuedAt: iat }
  const verified = { kind: 'verified-jwt-svid', subject, trustDomain, audiences, expiresAt, ...issued, claims } as const
  return sealInTypes<VerifiedJwtSvid>(verified)
}

function readSubject(claims: JsonObject): SpiffeId {
  const { sub } = claims
  if (sub === undefined) throw new AimsError('credential.missing_claim', 'sub is absent')
  if (typeof sub !== 'string') throw new AimsError('credential.invalid_subject', 'sub is not a string')
  return refuseAs('credential.invalid_subject', 'sub is not the SPIFFE ID of a workload', () =>
    parseWorkloadSpiffeId(sub),
  )
}
