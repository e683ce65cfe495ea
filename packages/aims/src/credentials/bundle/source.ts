import { AimsError } from '../../base/errors.ts'
import type { TrustDomain } from '../../identifiers/spiffe-id.ts'
import type { BundleSource, TrustBundle } from './bundle.ts'
import { bundleContent } from './serialize.ts'

/** A source that always gives these bundles. @throws TypeError for two bundles of one trust domain: they are never merged. */
export function bundleSource(...bundles: readonly TrustBundle[]): BundleSource {
  const byDomain = new Map(bundles.map((bundle) => [bundle.trustDomain, bundle]))
  if (byDomain.size !== bundles.length) throw new TypeError('two bundles for one trust domain')
  return { bundleFor: (trustDomain) => byDomain.get(trustDomain) }
}

/** A bundle without authorities: nobody of this trust domain is trusted. */
export function emptyBundle(trustDomain: TrustDomain): TrustBundle {
  return { trustDomain, x509Authorities: [], jwtAuthorities: new Map(), witAuthorities: new Map() }
}

/**
 * Refuses to replace a bundle by an older one, which could bring back a revoked key. A bundle that lost its sequence
 * number counts as older; two without one cannot be compared. One number for two contents is refused, too: nobody could
 * say which of them is the newer one.
 *
 * @throws {@link AimsError} `bundle.rollback`, `bundle.sequence_reused`
 * @throws TypeError for bundles of two trust domains.
 * @see SPIFFE Federation, section on polling
 */
export function refuseRollback(current: TrustBundle, next: TrustBundle): void {
  refuseOlder(current, next)
  const isSame = current.sequence !== undefined && current.sequence === next.sequence
  if (isSame && bundleContent(current) !== bundleContent(next)) {
    throw new AimsError('bundle.sequence_reused', 'the bundle changed, and its sequence number did not')
  }
}

/** The first half of {@link refuseRollback}: for bundles that came on two ways, of which one may leave keys out. */
export function refuseOlder(current: TrustBundle, next: TrustBundle): void {
  if (current.trustDomain !== next.trustDomain) throw new TypeError('bundles of two trust domains')
  if (current.sequence !== undefined && (next.sequence === undefined || next.sequence < current.sequence)) {
    throw new AimsError('bundle.rollback', 'the bundle is older than the one already held')
  }
}
