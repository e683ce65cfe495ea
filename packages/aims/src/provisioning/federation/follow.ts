import { AimsError } from '../../base/errors.ts'
import type { BundleSource, TrustBundle } from '../../credentials/bundle/bundle.ts'
import { bundleContent } from '../../credentials/bundle/serialize.ts'
import type { TrustDomain } from '../../identifiers/spiffe-id.ts'
import { type BundleFetchOptions, fetchBundle, refuseForeignBundle } from './fetch.ts'
import { bootstrapOf, type FederationRelationship } from './relationship.ts'

/** Seconds between two fetches. */
const REFRESH = { default: 300, min: 60, max: 86_400 }

/** The seconds to wait after a fetch, also after one that failed: the hint of the bundle, from a minute to a day. */
export function refreshInterval(bundle: TrustBundle | undefined): number {
  return Math.min(Math.max(bundle?.refreshHint ?? REFRESH.default, REFRESH.min), REFRESH.max)
}

/** The bundle of one other trust domain, kept fresh. */
export interface FollowedBundle extends BundleSource {
  /** Why the last fetch brought nothing. The bundle held before stays. */
  readonly lastError: AimsError | undefined
  /** Fetches now. @throws {@link AimsError} as {@link fetchBundle} */
  refresh(): Promise<void>
  /** Calls `listener` after each change of the keys. Returns a function that ends that. */
  onUpdate(listener: () => void): () => void
  /** Ends the fetching and forgets the bundle: nobody of the trust domain is trusted any more. */
  close(): void
  [Symbol.dispose](): void
}

/** What to follow a bundle with. */
export interface FollowOptions extends Omit<BundleFetchOptions, 'current' | 'acceptRollback' | 'signal'> {
  /** Told about each fetch that failed. */
  readonly onFailure?: (error: AimsError) => void
}

/**
 * Follows the bundle of another trust domain for a service that has no agent: fetched at once, then as often as its hint says,
 * five minutes without one. A failure waits for the next time.
 *
 * @throws {@link AimsError} as {@link fetchBundle}, when the first fetch fails and there is no bundle to begin with;
 *   `bundle.wrong_trust_domain`, when the one to begin with is visibly another's
 */
export async function followBundle(
  relationship: FederationRelationship,
  options: FollowOptions,
): Promise<FollowedBundle> {
  const { trustDomain } = relationship
  const { onFailure, ...fetching } = options
  const listeners = new Set<() => void>()
  const stopping = new AbortController()
  let fetched: TrustBundle | undefined
  let held = bootstrapOf(relationship)
  if (held !== undefined) refuseForeignBundle(held, options.own)
  let lastError: AimsError | undefined
  let timer: NodeJS.Timeout | undefined
  let running: Promise<void> | undefined

  const take = (bundle: TrustBundle): void => {
    fetched = bundle
    // The same object while nothing changes: verifiers keep what they know of it.
    if (held !== undefined && bundleContent(held) === bundleContent(bundle)) return
    held = bundle
    for (const listener of listeners) listener()
  }
  const fetchNow = async (): Promise<void> => {
    clearTimeout(timer)
    try {
      const current = fetched === undefined ? {} : { current: fetched }
      const { bundle } = await fetchBundle(relationship, { ...fetching, ...current, signal: stopping.signal })
      if (stopping.signal.aborted) throw new AimsError('provisioning.closed', 'the source was closed')
      lastError = undefined
      take(bundle)
    } catch (error) {
      if (AimsError.is(error)) lastError = error
      throw error
    } finally {
      running = undefined
      if (!stopping.signal.aborted) timer = setTimeout(again, refreshInterval(fetched) * 1000).unref()
    }
  }
  const refresh = (): Promise<void> => (running ??= fetchNow())
  const again = (): void => {
    refresh().catch((error: unknown) => {
      if (AimsError.is(error)) onFailure?.(error)
    })
  }
  const close = (): void => {
    stopping.abort()
    clearTimeout(timer)
    listeners.clear()
    held = undefined
  }

  try {
    await refresh()
  } catch (error) {
    if (held === undefined || !AimsError.is(error)) {
      close()
      throw error
    }
    onFailure?.(error)
  }
  return {
    bundleFor: (wanted: TrustDomain) => (wanted === trustDomain ? held : undefined),
    get lastError() {
      return lastError
    },
    refresh,
    onUpdate(listener) {
      listeners.add(listener)
      return () => void listeners.delete(listener)
    },
    close,
    [Symbol.dispose]: close,
  }
}
