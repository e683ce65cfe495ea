import type { X509Svid, X509SvidSource } from '../../../credentials/x509-svid/source.ts'
import type { X509Context } from '../responses.ts'
import type { WorkloadStreams } from './streams.ts'
import { type ChooseIdentity, notReady, type SourceOptions, Subscription, sourceSettings } from './subscription.ts'

/** The current X.509-SVID of this workload, always fresh: the Workload API pushes a new one before the old one ends. */
export class WorkloadX509Source implements X509SvidSource {
  readonly #subscription: Subscription<X509Context>
  readonly #now: () => number
  readonly #choose: ChooseIdentity

  /** @param options.choose - Default: the first identity. */
  constructor(
    client: Pick<WorkloadStreams, 'watchX509Svids'>,
    options: SourceOptions & { readonly choose?: ChooseIdentity } = {},
  ) {
    const settings = sourceSettings(options)
    this.#now = settings.clock
    this.#choose = options.choose ?? (() => true)
    this.#subscription = new Subscription((watcher) => client.watchX509Svids(watcher), settings)
  }

  /** @throws {@link AimsError} `provisioning.not_ready`: never given, taken away, or expired while the agent was gone */
  x509Svid(): X509Svid {
    const svid = this.x509Svids().find(({ spiffeId: id, hint }) => this.#choose({ id, hint }))
    if (svid === undefined) throw notReady(this.#subscription.lastError)
    return svid
  }

  /** All identities that have not expired, the default one first. */
  x509Svids(): readonly X509Svid[] {
    const now = this.#now()
    return (this.#subscription.state?.svids ?? []).filter(({ expiresAt }) => expiresAt > now)
  }

  /** The stream behind: its state, its readiness, its changes. */
  get subscription(): Subscription<X509Context> {
    return this.#subscription
  }

  close(): void {
    this.#subscription.close()
  }
}
