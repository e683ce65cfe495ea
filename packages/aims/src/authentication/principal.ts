import { AimsError } from '../base/errors.ts'
import { createNotes } from '../base/notes.ts'
import { createSealer, type Sealed, type Unsealed } from '../base/seal.ts'
import type { AttestedFacts } from '../credentials/attested.ts'
import type { Delegation } from '../credentials/delegation/delegation.ts'
import type { VerifiedX509Svid } from '../credentials/x509-svid/x509-svid.ts'
import { type TrustDomain, trustDomainOf, type WorkloadId } from '../identifiers/spiffe-id.ts'
import type { ProofProfile } from './profile-policy.ts'

/**
 * How callers prove themselves, strongest first:
 *
 * - `http-signature`: the key in its WIT signed this request, and may demand the same of the answer;
 * - `wit+wpt`: the key in its WIT made a token for this audience, once;
 * - `mtls`: the connection is the workload's;
 * - `forwarded`: a proxy that proved itself by its certificate says whose request it passes on;
 * - `jwt-svid`: somebody holds the token.
 */
export const AUTHENTICATION_METHODS = ['http-signature', 'wit+wpt', 'mtls', 'forwarded', 'jwt-svid'] as const

/** How a caller proved itself. */
export type AuthenticationMethod = (typeof AUTHENTICATION_METHODS)[number]

/**
 * What a method comes down to. `proof`: the caller showed us that it has the key. `vouched`: somebody who did says so.
 * `bearer`: the caller knows a secret that whoever saw it knows too.
 */
export type AuthenticationAssurance = 'proof' | 'vouched' | 'bearer'

const ASSURANCES: { readonly [method in AuthenticationMethod]: AuthenticationAssurance } = {
  'http-signature': 'proof',
  'wit+wpt': 'proof',
  mtls: 'proof',
  forwarded: 'vouched',
  'jwt-svid': 'bearer',
}

/**
 * A caller that has proved who it is. Only `authenticate` makes one, and `authorize` accepts nothing else: neither a copy
 * nor an object of the same shape.
 */
export interface Principal extends Sealed<'Principal'> {
  readonly kind: 'principal'
  readonly id: WorkloadId
  readonly trustDomain: TrustDomain
  readonly method: AuthenticationMethod
  /** Follows from the method. Not that of attestation, which is in `attested`. */
  readonly assurance: AuthenticationAssurance
  /** `wit+wpt` and `http-signature` only. */
  readonly profile?: ProofProfile
  /** `forwarded` only: who vouches. */
  readonly via?: WorkloadId
  /** Names the credential without being one: serial number, `jti` or thumbprint of the confirmed key. */
  readonly credential: { readonly type: string; readonly id: string }
  /**
   * What the proof covered: a bearer token covers nothing, mTLS covers the connection. `response`: the caller can tell
   * that the answer is ours and to this request.
   */
  readonly covers: Covers
  /** Seconds since the epoch, of the credential. */
  readonly expiresAt: number
  /** What the issuer of the credential found out by attestation, where the credential says so. */
  readonly attested?: AttestedFacts
  /** For a sub-agent: its parent, and all it may do. `authorize` allows nothing beyond. */
  readonly delegation?: Delegation
}

/** What of the exchange a proof is about. */
export interface Covers {
  readonly method: boolean
  readonly target: boolean
  readonly body: boolean
  readonly response: boolean
}

/** What is known of a principal; the rest follows from its identifier and its method. `covers.response` defaults to false. */
export type PrincipalFacts = Omit<Unsealed<Principal>, 'kind' | 'trustDomain' | 'assurance' | 'covers'> & {
  readonly covers: Omit<Covers, 'response'> & { readonly response?: boolean }
}

/** Judges once more, at a later time, what a principal was made by. @throws {@link AimsError} what a new request with it gets */
export type JudgeAgain = (now: number) => void

const sealer = createSealer<Principal>()
const judges = createNotes<JudgeAgain>()

/**
 * Makes a principal. For the judges of this layer, once nothing is left to check.
 *
 * @param judgeAgain - For what goes on beyond its request. Default: until the credential expires.
 */
export function makePrincipal(
  { id, method, profile, via, credential, covers, expiresAt, attested, delegation }: PrincipalFacts,
  judgeAgain?: JudgeAgain,
): Principal {
  const principal: Unsealed<Principal> = {
    kind: 'principal',
    id,
    trustDomain: trustDomainOf(id),
    method,
    assurance: ASSURANCES[method],
    ...(profile === undefined ? {} : { profile }),
    ...(via === undefined ? {} : { via }),
    credential: Object.freeze({ type: credential.type, id: credential.id }),
    covers: Object.freeze({
      method: covers.method,
      target: covers.target,
      body: covers.body,
      response: covers.response ?? false,
    }),
    expiresAt,
    ...(attested === undefined ? {} : { attested }),
    ...(delegation === undefined ? {} : { delegation: frozen(delegation) }),
  }
  // Before it is frozen, when a note is cheap.
  if (judgeAgain !== undefined) judges.put(principal, judgeAgain)
  return sealer.seal(principal)
}

/**
 * Refuses a principal whose credential would not be accepted for a new request: it has expired, was revoked, its authority has
 * gone, or nobody knows.
 *
 * @throws {@link AimsError} `credential.*`, `x509.*`
 */
export function requireStanding(principal: Principal, now: number): void {
  const judgeAgain = judges.get(principal)
  if (judgeAgain !== undefined) judgeAgain(now)
  else if (!(now < principal.expiresAt)) throw new AimsError('credential.expired', 'the credential has expired')
}

function frozen({ parent, rights }: Delegation): Delegation {
  return Object.freeze({ parent, rights: Object.freeze([...rights]) })
}

/** The principal at the other end of a connection whose certificate was verified. */
export function certificatePrincipal(
  { subject, serialNumber, expiresAt }: VerifiedX509Svid,
  judgeAgain?: JudgeAgain,
): Principal {
  const facts: PrincipalFacts = {
    id: subject,
    method: 'mtls',
    credential: { type: 'x509-svid', id: serialNumber },
    covers: { method: true, target: true, body: true, response: true },
    expiresAt,
  }
  return makePrincipal(facts, judgeAgain)
}

/** True for a principal that `authenticate` or {@link assumePrincipal} has made. */
export function isPrincipal(value: unknown): value is Principal {
  return sealer.isSealed(value)
}

/**
 * Makes a principal out of somebody's word: **verifies nothing**. For a decision point that trusts the services which
 * ask it, for a rehearsal of policies, for tests. Whoever calls it vouches for every member.
 *
 * A service that is called never needs it: what its callers say about themselves proves nothing.
 */
export function assumePrincipal(facts: PrincipalFacts): Principal {
  return makePrincipal(facts)
}
