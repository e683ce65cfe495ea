import type { Wit, WitSource } from '../../../credentials/wit/source.ts'
import type { WorkloadStreams } from './streams.ts'
import { type ChooseIdentity, notReady, type SourceOptions, Subscription, sourceSettings } from './subscription.ts'

/** The current WIT of this workload and the key to prove it with, always fresh. */
export class WorkloadWitSource implements WitSource {
  readonly #subscription: Subscription<readonly Wit[]>
  readonly #now: () => number
  readonly #choose: ChooseIdentity

  /** @param options.choose - Default: the first identity. */
  constructor(
    client: Pick<WorkloadStreams, 'watchWits'>,
    options: SourceOptions & { readonly choose?: ChooseIdentity } = {},
  ) {
    const settings = sourceSettings(options)
    this.#now = settings.clock
    this.#choose = options.choose ?? (() => true)
    this.#subscription = new Subscription((watcher) => client.watchWits(watcher), settings)
  }

  /** @throws {@link AimsError} `provisioning.not_ready`: never given, taken away, or expired while the agent was gone */
  wit(): Wit {
    const wit = this.wits().find(({ subject: id, hint }) => this.#choose({ id, hint }))
    if (wit === undefined) throw notReady(this.#subscription.lastError)
    return wit
  }

  /** All WITs that have not expired, that of the default identity first. */
  wits(): readonly Wit[] {
    const now = this.#now()
    return (this.#subscription.state ?? []).filter(({ expiresAt }) => expiresAt > now)
  }

  /** The stream behind: its state, its readiness, its changes. */
  get subscription(): Subscription<readonly Wit[]> {
    return this.#subscription
  }

  close(): void {
    this.#subscription.close()
  }
}
