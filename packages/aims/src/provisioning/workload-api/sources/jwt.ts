import { AimsError } from '../../../base/errors.ts'
import type { JwtSvid, JwtSvidSource } from '../../../credentials/jwt-svid/source.ts'
import type { SpiffeId } from '../../../identifiers/spiffe-id.ts'
import type { WorkloadStreams } from './streams.ts'
import { type SourceOptions, type SourceSettings, sourceSettings } from './subscription.ts'

interface Held {
  readonly svid: JwtSvid
  /** Seconds since the epoch: half of its life, give or take a tenth. */
  readonly renewAt: number
  /** Seconds since the epoch: from here on it may end on its way, and a fresh one is worth waiting for. */
  readonly lateAt: number
}

const MAX_AUDIENCES = 1000

/** JWT-SVIDs of this workload by audience, fetched when first asked for and renewed at half of their life. */
export class WorkloadJwtSource implements JwtSvidSource {
  readonly #client: Pick<WorkloadStreams, 'fetchJwtSvids'>
  readonly #settings: SourceSettings
  readonly #spiffeId: SpiffeId | undefined
  readonly #held = new Map<string, Held>()
  readonly #fetching = new Map<string, Promise<JwtSvid>>()
  // Grows when everything is forgotten: what was asked for before is not kept after.
  #epoch = 0

  /** @param options.spiffeId - One identity of the workload. Default: the first. */
  constructor(
    client: Pick<WorkloadStreams, 'fetchJwtSvids'>,
    options: SourceOptions & { readonly spiffeId?: SpiffeId } = {},
  ) {
    this.#client = client
    this.#settings = sourceSettings(options)
    this.#spiffeId = options.spiffeId
  }

  /**
   * A JWT-SVID for `audience` with time left. From half of its life on a fresh one is fetched while the old one is
   * still given out, and in the last tenth the fresh one is waited for; callers that come at the same time share one fetch.
   *
   * @throws {@link AimsError} as `WorkloadApiClient.fetchJwtSvids`
   */
  async jwtSvid(audience: string): Promise<JwtSvid> {
    const held = this.#held.get(audience)
    const now = this.#settings.clock()
    if (held === undefined || held.svid.expiresAt <= now) return await this.#fetch(audience)
    if (held.renewAt <= now) {
      const fresh = this.#fetch(audience).catch((error: unknown) => {
        const isTaken = AimsError.is(error) && error.code === 'provisioning.no_identity'
        // Without an identity nothing is given out any more; other failures leave the time that is left to try again.
        if (isTaken) this.forget()
        if (isTaken || held.svid.expiresAt <= this.#settings.clock()) throw error
        return held.svid
      })
      if (held.lateAt <= now) return await fresh
      fresh.catch(() => undefined)
    }
    return held.svid
  }

  /** Forgets all tokens: the identity was taken away, or changed. */
  forget(): void {
    this.#epoch += 1
    this.#held.clear()
    this.#fetching.clear()
  }

  /** Forgets all tokens. The client stays open. */
  close(): void {
    this.forget()
  }

  #fetch(audience: string): Promise<JwtSvid> {
    const running = this.#fetching.get(audience)
    if (running !== undefined) return running
    const fetching = this.#fetchNow(audience, this.#epoch).finally(() => {
      if (this.#fetching.get(audience) === fetching) this.#fetching.delete(audience)
    })
    this.#fetching.set(audience, fetching)
    return fetching
  }

  async #fetchNow(audience: string, epoch: number): Promise<JwtSvid> {
    const spiffeId = this.#spiffeId
    const [svid] = await this.#client.fetchJwtSvids({ audience, ...(spiffeId === undefined ? {} : { spiffeId }) })
    const now = this.#settings.clock()
    if (svid === undefined || svid.expiresAt <= now) {
      throw new AimsError('provisioning.invalid_response', 'the Workload API sent no token that has time left')
    }
    const part = 0.5 + (this.#settings.random() - 0.5) * 0.2
    if (epoch === this.#epoch) {
      this.#held.delete(audience)
      const life = svid.expiresAt - now
      this.#held.set(audience, { svid, renewAt: now + life * part, lateAt: svid.expiresAt - life / 10 })
      const oldest = this.#held.keys().next().value
      if (this.#held.size > MAX_AUDIENCES && oldest !== undefined) this.#held.delete(oldest)
    }
    return svid
  }
}
