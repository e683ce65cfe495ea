import { createSealer, type Sealed, type Unsealed } from '../base/seal.ts'
import type { AttestedFacts } from '../credentials/attested.ts'
import type { Delegation } from '../credentials/delegation/delegation.ts'
import type { Profile } from '../credentials/profile.ts'
import type { VerifiedX509Svid } from '../credentials/x509-svid/x509-svid.ts'
import { type TrustDomain, trustDomainOf, type WorkloadId } from '../identifiers/spiffe-id.ts'

/** How a caller proved itself. */
export type AuthenticationMethod = 'wit+wpt' | 'mtls' | 'jwt-svid'

/**
 * A caller that has proved who it is. Only `authenticate` makes one, and `authorize` accepts nothing else: neither a copy
 * nor an object of the same shape.
 */
export interface Principal extends Sealed<'Principal'> {
  readonly kind: 'principal'
  readonly id: WorkloadId
  readonly trustDomain: TrustDomain
  readonly method: AuthenticationMethod
  /** `wit+wpt` only. */
  readonly profile?: Profile
  /** Names the credential without being one: serial number, `jti` or thumbprint of the confirmed key. */
  readonly credential: { readonly type: string; readonly id: string }
  /** What the proof covered: a bearer token covers nothing, mTLS covers the connection. */
  readonly covers: { readonly method: boolean; readonly target: boolean; readonly body: boolean }
  /** Seconds since the epoch, of the credential. */
  readonly expiresAt: number
  /** What the issuer of the credential found out by attestation, where the credential says so. */
  readonly attested?: AttestedFacts
  /** For a sub-agent: its parent, and all it may do. `authorize` allows nothing beyond. */
  readonly delegation?: Delegation
}

/** What is known of a principal; the rest follows from its identifier. */
export type PrincipalFacts = Omit<Unsealed<Principal>, 'kind' | 'trustDomain'>

const sealer = createSealer<Principal>()

/** Makes a principal. For the judges of this layer, once nothing is left to check. */
export function makePrincipal({
  id,
  method,
  profile,
  credential,
  covers,
  expiresAt,
  attested,
  delegation,
}: PrincipalFacts): Principal {
  return sealer.seal({
    kind: 'principal',
    id,
    trustDomain: trustDomainOf(id),
    method,
    ...(profile === undefined ? {} : { profile }),
    credential: Object.freeze({ type: credential.type, id: credential.id }),
    covers: Object.freeze({ method: covers.method, target: covers.target, body: covers.body }),
    expiresAt,
    ...(attested === undefined ? {} : { attested }),
    ...(delegation === undefined ? {} : { delegation: frozen(delegation) }),
  })
}

function frozen({ parent, rights }: Delegation): Delegation {
  return Object.freeze({ parent, rights: Object.freeze([...rights]) })
}

/** The principal at the other end of a connection whose certificate was verified. */
export function certificatePrincipal({ subject, serialNumber, expiresAt }: VerifiedX509Svid): Principal {
  return makePrincipal({
    id: subject,
    method: 'mtls',
    credential: { type: 'x509-svid', id: serialNumber },
    covers: { method: true, target: true, body: true },
    expiresAt,
  })
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
