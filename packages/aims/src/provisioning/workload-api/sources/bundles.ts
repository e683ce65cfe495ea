import type { BundleSource, TrustBundle } from '../../../credentials/bundle/bundle.ts'
import type { TrustDomain } from '../../../identifiers/spiffe-id.ts'
import type { TokenBundles, X509Bundles } from '../responses.ts'
import type { WorkloadStreams } from './streams.ts'
import { type SourceOptions, Subscription, sourceSettings } from './subscription.ts'

/** The current trust bundles of this workload's trust domain and of those it federates with. */
export class WorkloadBundleSource implements BundleSource {
  readonly #x509: Subscription<X509Bundles>
  readonly #jwt: Subscription<TokenBundles>
  readonly #wit: Subscription<TokenBundles>
  #bundles = new Map<TrustDomain, TrustBundle>()

  constructor(
    client: Pick<WorkloadStreams, 'watchX509Bundles' | 'watchJwtBundles' | 'watchWitBundles'>,
    options: SourceOptions = {},
  ) {
    const settings = sourceSettings(options)
    this.#x509 = new Subscription((watcher) => client.watchX509Bundles(watcher), settings)
    this.#jwt = new Subscription((watcher) => client.watchJwtBundles(watcher), settings)
    this.#wit = new Subscription((watcher) => client.watchWitBundles(watcher), settings)
    // The same object while nothing changes: verifiers keep what they know of it.
    this.onUpdate(() => this.#bundles.clear())
  }

  /** The keys of one trust domain, or nothing: then nobody of it is trusted. */
  bundleFor(trustDomain: TrustDomain): TrustBundle | undefined {
    const known = this.#bundles.get(trustDomain)
    if (known !== undefined) return known
    const x509 = this.#x509.state?.get(trustDomain)
    const jwt = this.#jwt.state?.get(trustDomain)
    const wit = this.#wit.state?.get(trustDomain)
    if (x509 === undefined && jwt === undefined && wit === undefined) return undefined
    const bundle: TrustBundle = {
      trustDomain,
      x509Authorities: x509 ?? [],
      jwtAuthorities: jwt ?? new Map(),
      witAuthorities: wit ?? new Map(),
    }
    this.#bundles.set(trustDomain, bundle)
    return bundle
  }

  /** The trust domains there are bundles for. */
  trustDomains(): readonly TrustDomain[] {
    const states = [this.#x509.state, this.#jwt.state, this.#wit.state]
    return [...new Set(states.flatMap((state) => [...(state?.keys() ?? [])]))]
  }

  /** The streams behind, for X.509, JWT and WIT. */
  get subscriptions(): readonly [Subscription<X509Bundles>, Subscription<TokenBundles>, Subscription<TokenBundles>] {
    return [this.#x509, this.#jwt, this.#wit]
  }

  /** Calls `listener` after each change of any bundle. Returns a function that ends that. */
  onUpdate(listener: () => void): () => void {
    const ends = this.subscriptions.map((subscription) => subscription.onUpdate(listener))
    return () => {
      for (const end of ends) end()
    }
  }

  close(): void {
    for (const subscription of this.subscriptions) subscription.close()
    this.#bundles.clear()
  }
}
