import { SPIFFE_ALGORITHMS } from '../../base/algorithms.ts'
import { sha256Base64url } from '../../base/bytes.ts'
import { AimsError, refuseAs } from '../../base/errors.ts'
import { verifyJws } from '../../base/jose.ts'
import type { JsonObject } from '../../base/json.ts'
import type { VerificationKey } from '../../base/keys.ts'
import type { Unsealed } from '../../base/seal.ts'
import { hidingSecrets } from '../../base/secret.ts'
import { parseWorkloadSpiffeId, type TrustDomain, trustDomainOf, type WorkloadId } from '../../identifiers/spiffe-id.ts'
import { parseWimseId } from '../../identifiers/wimse-id.ts'
import { readAttestedFacts } from '../attested.ts'
import type { BundleSource, TrustBundle } from '../bundle/bundle.ts'
import { readDelegation } from '../delegation/delegation.ts'
import { checkTimes, DEFAULT_CLOCK_SKEW, readTimes, requireTimeOptions, type TokenTimes } from '../lifetime.ts'
import type { Profile } from '../profile.ts'
import { decodeCredential, optionalString, pickAuthority, requireAudiences, requireBundle } from '../token.ts'
import { type KeyRegistry, readConfirmation } from './confirmation.ts'
import { WIT_SHAPES, type WitShape } from './profiles.ts'
import { VERIFIED_WITS, type VerifiedWit } from './wit.ts'

/** What the receiving service knows for itself, the time excepted. None of it may come from the request. */
export interface WitRules {
  /** The authorities of each trust domain. The subject's own domain is looked up, never another one. */
  readonly bundles: BundleSource
  /** The one generation of the drafts to judge by. */
  readonly profile: Profile
  /** The only trust domain whose workloads are expected. */
  readonly trustDomain?: TrustDomain
  /** The trust domains whose workloads are expected. Default: all that have a bundle. */
  readonly trustDomains?: readonly TrustDomain[]
  /** The only `iss` accepted. */
  readonly issuer?: string
  /** The `iss` values accepted, per trust domain. Needed for `aims-00`. */
  readonly issuers?: { readonly [trustDomain: string]: readonly string[] }
  /** This service's own audience. Needed for `aims-00`, and used only there: other WITs have no `aud`. */
  readonly audience?: string
  /** How far ahead the issuer's clock may be, in seconds: for `nbf` and `iat`, never for `exp`. Default 30, at most 120. */
  readonly clockSkew?: number
  /** Refuse WITs that live longer than this, in seconds. Default 86400. */
  readonly maxLifetime?: number
  /** Demand a WIT-SVID: SPIFFE ID, `kid`, one of the nine algorithms on both keys, no `aud`. Default false. */
  readonly svid?: boolean
  /** Keys behind `cnf.kid`, `aims-00` only. */
  readonly confirmationKeys?: KeyRegistry
}

/** The rules, and the time to judge by. */
export interface WitExpectations extends WitRules {
  /** Seconds since the epoch. */
  readonly now: number
}

/**
 * Verifies a WIT: its form, `typ`, trust domain, signature, times and confirmed key.
 *
 * Does not check that the sender holds the confirmed key: a WIT without a proof authenticates nobody. Does not say
 * what the subject may do. Makes no network call, whatever `iss` says.
 *
 * @throws {@link AimsError} `credential.*`, the first check that failed
 * @throws TypeError for rules that a profile cannot work with.
 * @see draft-ietf-wimse-workload-creds-03, section "Validating the WIT"; WIT-SVID section 5
 */
export function verifyWit(token: string, expected: WitExpectations): VerifiedWit {
  requireRules(expected)
  const checked = verifyWitContent(token, expected)
  checkWitTimes(checked.times, expected, expected.now)
  return VERIFIED_WITS.seal(checked.wit)
}

/** A WIT about which everything is checked except the time. For the cache. */
export interface TimelessWit {
  readonly wit: Unsealed<VerifiedWit>
  readonly times: TokenTimes
  /** The bundle that vouched for it, and its key that did. */
  readonly bundle: TrustBundle
  readonly authority: VerificationKey
  /** False when something outside token and bundle was asked: then the answer may change at any time. */
  readonly cacheable: boolean
}

/** {@link verifyWit} without the check of times. @throws {@link AimsError} `credential.*` */
export function verifyWitContent(token: string, rules: WitRules): TimelessWit {
  const { profile, svid = false } = rules
  const shape = WIT_SHAPES[profile]
  const jws = decodeCredential(token, { typ: [shape.typ] })
  if (svid && !SPIFFE_ALGORITHMS.has(jws.alg)) {
    throw new AimsError('credential.unsupported_alg', 'not one of the nine algorithms of a WIT-SVID')
  }
  if (svid && jws.kid === undefined) throw new AimsError('credential.missing_kid', 'a WIT-SVID names its key')
  const { claims } = jws
  // Read from bytes that are not verified yet, and used for one thing: to choose the keys to verify them with.
  const subject = readSubject(claims, svid || shape.aims)
  const trustDomain = trustDomainOf(subject)
  requireExpectedDomain(trustDomain, rules)
  const bundle = requireBundle(rules.bundles, subject)
  const authority = pickAuthority(bundle.witAuthorities, jws.kid)
  if (!verifyJws(jws, authority)) throw new AimsError('credential.invalid_signature', 'the signature does not verify')

  const times = readTimes(claims)
  const issuer = optionalString(claims, 'iss')
  const id = optionalString(claims, 'jti')
  requireIssuer(issuer, trustDomain, rules)
  requireAudience(claims, shape, rules)
  const attested = readAttestedFacts(claims)
  const delegation = readDelegation(claims, subject)
  const { key, kid, embedded } = readConfirmation(claims.cnf, shape, {
    svid,
    find: (name) => rules.confirmationKeys?.find(trustDomain, subject, name),
  })
  const wit = hidingSecrets(
    {
      kind: 'verified-wit' as const,
      profile,
      subject,
      trustDomain,
      // A cache hands the same one to every request.
      confirmation: Object.freeze(key),
      ...(kid === undefined ? {} : { confirmationKid: kid }),
      expiresAt: times.exp,
      ...(times.iat === undefined ? {} : { issuedAt: times.iat }),
      ...(attested === undefined ? {} : { attested }),
      ...(delegation === undefined ? {} : { delegation }),
      ...(issuer === undefined ? {} : { issuer }),
      ...(id === undefined ? {} : { id }),
      hash: sha256Base64url(token),
    },
    { token },
  )
  return { wit, times, bundle, authority, cacheable: embedded }
}

/** Checks the times of a WIT. @throws {@link AimsError} `credential.expired`, `.not_yet_valid`, `.issued_in_future`, `.lifetime_too_long` */
export function checkWitTimes(times: TokenTimes, rules: WitRules, now: number): void {
  const { clockSkew = DEFAULT_CLOCK_SKEW, maxLifetime = 86_400, svid = false } = rules
  // WIT-SVID section 4: `iat` must not be used to limit validity.
  checkTimes(svid ? { ...times, iat: undefined } : times, { now, clockSkew, maxLifetime })
}

/** Refuses rules that would leave a check out. @throws TypeError */
export function requireRules(expected: WitExpectations): void {
  const { profile, issuers, audience, svid = false, clockSkew = DEFAULT_CLOCK_SKEW, maxLifetime = 86_400 } = expected
  if (!Object.hasOwn(WIT_SHAPES, profile)) throw new TypeError('profile is not one of PROFILES')
  if (WIT_SHAPES[profile].aims && (issuers === undefined || audience === undefined || audience === '')) {
    throw new TypeError(`profile ${profile} needs issuers and audience`)
  }
  if (typeof svid !== 'boolean') throw new TypeError('svid is true or false')
  requireList(expected.trustDomains, 'trustDomains')
  requireTimeOptions(expected.now, clockSkew, maxLifetime)
}

// Text has `includes` too, and finds a part of a name in it.
function requireList(list: readonly string[] | undefined, what: string): void {
  if (list !== undefined && !Array.isArray(list)) throw new TypeError(`${what} is a list`)
}

function readSubject(claims: JsonObject, spiffeOnly: boolean): WorkloadId {
  const { sub } = claims
  if (sub === undefined) throw new AimsError('credential.missing_claim', 'sub is absent')
  if (typeof sub !== 'string') throw new AimsError('credential.invalid_subject', 'sub is not a string')
  return refuseAs('credential.invalid_subject', 'sub is not a well-formed workload identifier', () =>
    spiffeOnly ? parseWorkloadSpiffeId(sub) : parseWimseId(sub),
  )
}

function requireExpectedDomain(found: TrustDomain, { trustDomain, trustDomains }: WitRules): void {
  const expected = trustDomain === undefined || trustDomain === found
  if (!expected || trustDomains?.includes(found) === false) {
    throw new AimsError('credential.wrong_trust_domain', 'the subject is in another trust domain than expected')
  }
}

function requireIssuer(found: string | undefined, trustDomain: TrustDomain, { issuer, issuers }: WitRules): void {
  if (issuer === undefined && issuers === undefined) return
  const allowed = issuers === undefined || (Object.hasOwn(issuers, trustDomain) ? issuers[trustDomain] : undefined)
  if (allowed !== true) requireList(allowed, 'each member of issuers')
  const listed = allowed === true || (found !== undefined && allowed?.includes(found) === true)
  if (!listed || (issuer !== undefined && issuer !== found)) {
    throw new AimsError('credential.issuer_mismatch', 'iss is not the issuer configured for the trust domain')
  }
}

function requireAudience(claims: JsonObject, shape: WitShape, { svid, audience }: WitRules): void {
  if (svid === true && claims.aud !== undefined) {
    throw new AimsError('credential.forbidden_claim', 'a WIT-SVID has no aud')
  }
  if (shape.aims && !requireAudiences(claims).some((one) => one === audience)) {
    throw new AimsError('credential.audience_mismatch', 'the WIT is for another audience')
  }
}
