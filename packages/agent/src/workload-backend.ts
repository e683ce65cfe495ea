import type { AttestationResult } from 'aims/attestation'
import type { Check, JsonObject } from 'aims/base'
import type { RevocationSource, TrustBundle } from 'aims/credentials'
import type { SpiffeId } from 'aims/identifiers'

/** One identity of a workload with everything the Workload API hands out for it, keys included. Never log it. */
export interface WorkloadIdentity {
  readonly spiffeId: SpiffeId
  /** Operator's hint, unique in the snapshot unless empty. At most 1024 bytes. */
  readonly hint: string
  /** Absent when the entry does not give X.509-SVIDs. */
  readonly x509?: {
    /** DER, leaf first, without the root. */
    readonly certificates: readonly Uint8Array[]
    /** PKCS#8 DER, unencrypted. */
    readonly privateKey: Uint8Array
  }
  /** Absent when the entry does not give WITs. */
  readonly wit?: {
    readonly token: string
    /** The private JWK as JSON, with `kty`, `alg` and the private members. */
    readonly privateJwk: string
  }
}

/**
 * What one workload may have now. Immutable.
 *
 * The server encodes each snapshot object once and shares the bytes between all streams that got the same object. So
 * give back the same object for all workloads with the same entries until something changes. A new object with equal
 * content is correct, only dearer: streams are not woken for equal bytes.
 */
export interface WorkloadSnapshot {
  /** The default identity first. Empty: the workload has no identity, and every call is refused. */
  readonly identities: readonly WorkloadIdentity[]
  /** The bundle of each identity's own trust domain and of every domain these identities federate with. */
  readonly bundles: readonly TrustBundle[]
}

/** A JWT-SVID made for one call. It is a bearer credential. Never log it. */
export interface WorkloadJwtSvid {
  readonly spiffeId: SpiffeId
  readonly token: string
  readonly hint: string
}

/**
 * What has changed: anything there is, or only that identities are due or were renewed. A fleet renews at a time that
 * each identity has for itself: who looks at everybody each time looks at 10,000 workloads 10,000 times.
 */
export type ChangeScope = 'everything' | 'identities'

/**
 * Where the Workload API server gets identities from. It attests; the backend decides who that is, issues, and records
 * issuance.
 *
 * A rejection with an {@link AimsError} whose code is `provisioning.not_entitled` becomes PermissionDenied; from
 * `validateJwtSvid` a code `credential.*`, `jose.*` or `identifier.*` becomes InvalidArgument; anything else becomes
 * Unavailable, and the client tries again. Messages do not reach the client; codes do.
 *
 * @see SPIFFE Workload API, sections 4 to 6
 */
export interface WorkloadBackend {
  /** Says which credentials of others are revoked. Default: nobody knows, and none is checked. */
  readonly revocations?: RevocationSource | undefined
  /** Current identities of a workload with these selectors, and the bundles they need. No identity is an empty list, not an error. */
  snapshot(attestation: AttestationResult): Promise<WorkloadSnapshot>
  /** Why a workload with these selectors has no identity, for the record of its refusal. Default: nothing more is said. */
  whyNone?(attestation: AttestationResult): readonly Check[]
  /**
   * Calls `listener` whenever any snapshot may have changed: entries, rotation, bundles. Calls may be coalesced.
   *
   * @returns A function that ends the subscription.
   */
  onChange(listener: (scope: ChangeScope) => void): () => void
  /** Whether this snapshot is still what `snapshot` gives, as far as identities go. Default: not known, so no. */
  isCurrent?(snapshot: WorkloadSnapshot): boolean
  /**
   * Issues one JWT-SVID per identity, or only for `spiffeId` when given. `audiences` has at least one non-empty member.
   *
   * @throws {@link AimsError} `provisioning.not_entitled`, when the workload has no such identity (or none at all)
   */
  jwtSvids(
    attestation: AttestationResult,
    audiences: readonly string[],
    spiffeId?: SpiffeId,
  ): Promise<readonly WorkloadJwtSvid[]>
  /**
   * Validates a JWT-SVID with the bundles that this workload would get.
   *
   * @throws {@link AimsError} `credential.*`, `jose.*`; `provisioning.not_entitled`, when the workload has no identity
   */
  validateJwtSvid(
    attestation: AttestationResult,
    audience: string,
    token: string,
  ): Promise<{ readonly spiffeId: SpiffeId; readonly claims: JsonObject }>
}
