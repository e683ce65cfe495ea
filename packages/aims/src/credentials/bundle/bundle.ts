import type { VerificationKey } from '../../base/keys.ts'
import type { Scheme, TrustDomain } from '../../identifiers/spiffe-id.ts'

/**
 * The keys of one origin, sorted by what they may authenticate. Never merged with another's, and never changed: other
 * keys are another bundle. Caches rely on it.
 *
 * An origin is a scheme and a trust domain: authorities of `spiffe://td` do not vouch for `wimse://td`.
 *
 * @see SPIFFE Trust Domain and Bundle, section 4; draft-ietf-wimse-identifier-03, section "Trust Domain"
 */
export interface TrustBundle {
  readonly trustDomain: TrustDomain
  /** The scheme of the identifiers these authorities vouch for. Default `spiffe`. */
  readonly scheme?: Scheme
  /** DER of CA certificates, `use: x509-svid`. */
  readonly x509Authorities: readonly Uint8Array[]
  /** By `kid`, `use: jwt-svid`. A key without kid (plain JWKS only) is under the empty string. */
  readonly jwtAuthorities: ReadonlyMap<string, VerificationKey>
  /** By `kid`, `use: wit-svid`. A key without kid (plain JWKS only) is under the empty string. */
  readonly witAuthorities: ReadonlyMap<string, VerificationKey>
  /** `spiffe_sequence`: grows with every change of content. */
  readonly sequence?: bigint
  /** `spiffe_refresh_hint`, seconds. */
  readonly refreshHint?: number
}

/** Gives the current bundle of a trust domain, or nothing: then nobody of that domain is trusted. */
export interface BundleSource {
  bundleFor(trustDomain: TrustDomain): TrustBundle | undefined
}
