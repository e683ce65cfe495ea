import { AimsError } from '../../base/errors.ts'
import type { TrustDomain } from '../../identifiers/spiffe-id.ts'
import { trustDomainOf } from '../../identifiers/spiffe-id.ts'
import type { BundleSource, TrustBundle } from '../bundle/bundle.ts'
import { indexRevocations, type RevocationIndex } from './index-list.ts'
import { verifyRevocationList } from './list.ts'
import type { RevocationList, RevocationSource } from './revocation.ts'

/** What holding revocation lists depends on. */
export interface HeldRevocationsOptions {
  readonly trustDomain: TrustDomain
  readonly bundles: BundleSource
  /**
   * Seconds since the issuer signed the newest list until nothing is known any more. With the time a list takes to
   * arrive it is how long a revoked credential can live.
   */
  readonly maxStaleness: number
  /**
   * What a stale list means. `refuse`: nobody of the trust domain is accepted. `accept`: only those that the last list
   * named are refused, for services that must go on while the identity server is away. Default `refuse`.
   */
  readonly whenStale?: 'refuse' | 'accept'
  /** Other trust domains whose credentials are accepted without a list, because they publish none. Default: none. */
  readonly uncheckedTrustDomains?: readonly TrustDomain[]
}

/** The newest revocation list of a trust domain, wherever it comes from. */
export interface HeldRevocations extends RevocationSource {
  /** Of the newest list; `undefined` before the first. */
  readonly current: Pick<RevocationList, 'sequence' | 'issuedAt'> | undefined
  /**
   * Takes a list, when it is good and not older than the one held.
   *
   * @returns true when it says something new.
   * @throws {@link AimsError} as `verifyRevocationList`, and `revocation.rollback`
   */
  accept(token: string, now: number): boolean
  /** Calls `listener` after each list that says something new. Returns a function that ends that. */
  onChange(listener: () => void): () => void
}

/**
 * Holds the newest revocation list. Before the first one, everything is unknown.
 *
 * A list with a lower sequence number than the one held is refused, unless another authority signed it, and later: numbers
 * that a thief of one key made up bind nobody once the server signs with the next. What a revoked authority signed says
 * nothing any more. After a restart nothing is held: then an old list is bounded by `maxStaleness` alone.
 *
 * @throws TypeError for a staleness that is not positive.
 */
export function holdRevocations(options: HeldRevocationsOptions): HeldRevocations {
  const { trustDomain, bundles, maxStaleness, whenStale = 'refuse', uncheckedTrustDomains = [] } = options
  if (!(typeof maxStaleness === 'number' && maxStaleness > 0)) throw new TypeError('maxStaleness is in seconds')
  const listeners = new Set<() => void>()
  let current: Pick<RevocationList, 'sequence' | 'issuedAt'> | undefined
  let isRevoked: RevocationIndex = () => false
  let heldSigner: string | undefined
  // Once the bundle is without the authority, the list is as if nobody had signed it.
  const stands = (): boolean => {
    const authorities = bundles.bundleFor(trustDomain)?.witAuthorities
    return authorities !== undefined && heldSigner !== undefined && isAuthority(authorities, heldSigner)
  }

  return {
    get current() {
      return current
    },
    accept(token, now) {
      const { sequence, issuedAt, revocations, signer } = verifyRevocationList(token, { trustDomain, bundles, now })
      const isLater = signer !== heldSigner && issuedAt > (current?.issuedAt ?? 0)
      if (current !== undefined && sequence < current.sequence && !isLater && stands()) {
        throw new AimsError('revocation.rollback', 'the revocation list is older than the one already held')
      }
      const isNew = sequence !== current?.sequence
      // The same state, said earlier, is no news of now.
      if (!isNew && issuedAt <= (current?.issuedAt ?? 0) && stands()) return false
      isRevoked = indexRevocations({ revocations })
      current = { sequence, issuedAt }
      heldSigner = signer
      if (isNew) for (const listener of listeners) listener()
      return isNew
    },
    statusOf(credential, now) {
      const domain = trustDomainOf(credential.subject)
      if (domain !== trustDomain) return uncheckedTrustDomains.includes(domain) ? 'good' : 'unknown'
      if (isRevoked(credential)) return 'revoked'
      if (current === undefined) return 'unknown'
      // Written so that a NaN is not good.
      return whenStale === 'accept' || (now - current.issuedAt <= maxStaleness && stands()) ? 'good' : 'unknown'
    },
    onChange(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
  }
}

// An issuer with one key may leave its name out.
function isAuthority(authorities: TrustBundle['witAuthorities'], kid: string): boolean {
  return authorities.has(kid) || (authorities.size === 1 && authorities.has(''))
}
