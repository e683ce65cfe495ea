import { AimsError } from '../base/errors.ts'
import { requireNotRevoked } from '../credentials/revocation/require.ts'
import type { IdMatcher } from '../identifiers/matcher.ts'
import { trustDomainOf } from '../identifiers/spiffe-id.ts'
import { readForwardedCertificate } from './forwarded-certificate.ts'
import { makePrincipal, type Principal, type PrincipalFacts, requireStanding } from './principal.ts'
import type { AuthenticatorOptions, Case } from './request.ts'

/** A proxy that ends TLS in front of this service, and whom it may speak for. */
export interface TrustedProxy {
  /** Which certificates are the proxy's. It must prove it on the very connection that the request comes on. */
  readonly proxy: IdMatcher
  /** Whom it may name in `X-Forwarded-Client-Cert`. It must take that field away from what its own clients send. */
  readonly vouchesFor: IdMatcher
}

/** The proxies that a peer is one of. A proxy is never the caller itself: whoever reaches it could then be. */
export function proxiesOf({ proxies = [] }: AuthenticatorOptions, peer: Principal): readonly TrustedProxy[] {
  return proxies.filter(({ proxy }) => proxy(peer.id) === true)
}

/**
 * Judges by what a proxy says that has proved itself by mTLS.
 *
 * @throws {@link AimsError} `authentication.missing` where it says nothing; `authentication.not_vouched`
 */
export function forwardedPrincipal(
  { bundles, revocations }: AuthenticatorOptions,
  proxies: readonly TrustedProxy[],
  peer: Principal,
  { request, binding, now }: Case,
): Principal {
  const forwarded = readForwardedCertificate(request.headers)
  if (forwarded === undefined)
    throw new AimsError('authentication.missing', 'the proxy does not say whose request it is')
  const { id, hash } = forwarded
  const isKnown = bundles.bundleFor(trustDomainOf(id)) !== undefined
  if (!isKnown || !proxies.some(({ vouchesFor }) => vouchesFor(id) === true)) {
    throw new AimsError('authentication.not_vouched', 'the proxy may not speak for this caller')
  }
  if (binding.method === true || binding.target === true || binding.body === true) {
    throw new AimsError('proof.binding_missing', 'what a proxy says names nothing of the request')
  }
  // Of its certificate nothing is known but whose it was, so any revocation of its identity counts.
  const requireLive = (at: number): void =>
    requireNotRevoked(revocations, { kind: 'x509-svid', subject: id, issuedAt: undefined }, at)
  requireLive(now)
  const facts: PrincipalFacts = {
    id,
    method: 'forwarded',
    via: peer.id,
    credential: { type: 'x509-svid', id: hash ?? 'unknown' },
    covers: { method: false, target: false, body: false },
    expiresAt: peer.expiresAt,
  }
  return makePrincipal(facts, (at) => {
    requireStanding(peer, at)
    requireLive(at)
  })
}
