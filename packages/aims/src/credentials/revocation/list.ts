import { SPIFFE_ALGORITHMS } from '../../base/algorithms.ts'
import { AimsError, type AimsErrorCode, refuseAs } from '../../base/errors.ts'
import { decodeUnverifiedCompactJws, signJws, verifyJws } from '../../base/jose.ts'
import { isJsonObject, type JsonObject, type JsonValue, parseJsonObject } from '../../base/json.ts'
import type { Signer } from '../../base/keys.ts'
import { parseWorkloadSpiffeId, type TrustDomain, trustDomainOf } from '../../identifiers/spiffe-id.ts'
import { trustDomainId } from '../../identifiers/trust-domain.ts'
import type { BundleSource } from '../bundle/bundle.ts'
import { DEFAULT_CLOCK_SKEW } from '../lifetime.ts'
import { pickAuthority } from '../token.ts'
import { REVOCATION_TYPES, type Revocation, type RevocationList } from './revocation.ts'

/** `typ` of a revocation list. No verifier of credentials accepts it, and this one accepts nothing else. */
const TYP = 'aims-revocations+jwt'
/** Revocations in one list. */
export const MAX_REVOCATIONS = 4096
/** Bytes of them as JSON: with base64url and a signature around them, readers still take the list. */
export const MAX_REVOCATION_BYTES = 1_500_000
const MAX_LENGTH = 2 * 1024 * 1024
const LIMITS = { maxLength: MAX_LENGTH, maxMembers: 8 * MAX_REVOCATIONS }
const VALUE = /^[A-Za-z0-9._~:-]{1,256}$/

/**
 * Signs a revocation list with a WIT authority of the trust domain: whoever has the bundle can check it, wherever it
 * comes from.
 *
 * @throws TypeError for a signer without `kid`, or too many revocations.
 * @see RFC 8725 section 3.11: `typ` keeps it apart from the tokens of the same key
 */
export async function signRevocationList(list: RevocationList, signer: Signer): Promise<string> {
  const { trustDomain, sequence, issuedAt, revocations } = list
  if (signer.kid === undefined || signer.kid === '') throw new TypeError('the signer needs a kid')
  if (revocations.length > MAX_REVOCATIONS) throw new TypeError(`a list has at most ${MAX_REVOCATIONS} revocations`)
  const claims = { iss: trustDomainId(trustDomain), seq: sequence, iat: issuedAt, revoked: revocations }
  return await signJws({ kid: signer.kid, typ: TYP }, claims, signer)
}

/** A list whose signature has been checked, and which authority made it. */
export interface VerifiedRevocationList extends RevocationList {
  /** `kid` of a WIT authority. */
  readonly signer: string
}

/** What a reader of lists knows for itself. */
export interface RevocationListExpectations {
  readonly trustDomain: TrustDomain
  /** The list must be signed by a WIT authority of the trust domain. */
  readonly bundles: BundleSource
  /** Seconds since the epoch. */
  readonly now: number
  /** How far ahead the issuer's clock may be, in seconds. Default 30. */
  readonly clockSkew?: number
}

/**
 * Verifies a revocation list: form, `typ`, trust domain, signature, that it is not from the future, and that it speaks of
 * its own trust domain only.
 *
 * Does not check that it is the newest, nor how old it is: whoever holds lists does.
 *
 * @throws {@link AimsError} `revocation.malformed`, `.too_large`, `.wrong_trust_domain`, `.untrusted`, `.issued_in_future`
 */
export function verifyRevocationList(token: string, expected: RevocationListExpectations): VerifiedRevocationList {
  const { trustDomain, bundles, now, clockSkew = DEFAULT_CLOCK_SKEW } = expected
  const jws = refuse('revocation.malformed', () =>
    decodeUnverifiedCompactJws(token, { typ: [TYP], maxLength: MAX_LENGTH }),
  )
  const bundle = bundles.bundleFor(trustDomain)
  if (!SPIFFE_ALGORITHMS.has(jws.alg) || jws.kid === undefined || bundle === undefined) throw untrusted()
  const authority = refuse('revocation.untrusted', () => pickAuthority(bundle.witAuthorities, jws.kid))
  if (!verifyJws(jws, authority)) throw untrusted()
  const claims = refuse('revocation.malformed', () => parseJsonObject(jws.payload, LIMITS))
  const { iss, seq, iat, revoked } = claims
  if (iss !== trustDomainId(trustDomain)) {
    throw new AimsError('revocation.wrong_trust_domain', 'the list is that of another trust domain')
  }
  if (!isTime(seq) || !isTime(iat) || !Array.isArray(revoked)) throw malformed()
  if (!(iat <= now + clockSkew)) {
    // It would look fresh for longer than it is.
    throw new AimsError('revocation.issued_in_future', 'the list is from the future')
  }
  if (revoked.length > MAX_REVOCATIONS) throw new AimsError('revocation.too_large', 'too many revocations in one list')
  return {
    trustDomain,
    sequence: seq,
    issuedAt: iat,
    revocations: revoked.map((one) => readRevocation(one, trustDomain)),
    signer: jws.kid,
  }
}

/**
 * Reads one revocation of a trust domain. What a reader does not understand could be what matters: the list as a whole is
 * refused, and the reader goes stale.
 *
 * @throws {@link AimsError} `revocation.malformed`, `revocation.wrong_trust_domain`
 */
export function readRevocation(value: JsonValue, trustDomain: TrustDomain): Revocation {
  if (!isJsonObject(value)) throw malformed()
  const { expiresAt, before } = value
  const type = REVOCATION_TYPES.find((one) => one === value.type)
  const names = type === 'subject' ? 4 : 3
  if (type === undefined || !isTime(expiresAt) || Object.keys(value).length !== names) throw malformed()
  if (type !== 'subject') return { type, value: readValue(value), expiresAt }
  if (!isTime(before)) throw malformed()
  const subject = refuse('revocation.malformed', () => parseWorkloadSpiffeId(String(value.value)))
  if (trustDomainOf(subject) !== trustDomain) {
    throw new AimsError('revocation.wrong_trust_domain', 'the list speaks of another trust domain')
  }
  return { type, value: subject, before, expiresAt }
}

function readValue({ value }: JsonObject): string {
  if (typeof value !== 'string' || !VALUE.test(value)) throw malformed()
  return value
}

function isTime(value: JsonValue | undefined): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0
}

function refuse<T>(code: AimsErrorCode, read: () => T): T {
  try {
    return refuseAs(code, 'the revocation list is not acceptable', read)
  } catch (error) {
    const cause = AimsError.is(error) && AimsError.is(error.cause) ? error.cause.code : ''
    if (cause !== 'jose.too_large' && cause !== 'json.too_large') throw error
    throw new AimsError('revocation.too_large', 'the revocation list is too large', { cause: error })
  }
}

function malformed(): AimsError {
  return new AimsError('revocation.malformed', 'the revocation list has another form')
}

function untrusted(): AimsError {
  return new AimsError('revocation.untrusted', 'no WIT authority of the trust domain signed the list')
}
