import { setTimeout as delay } from 'node:timers/promises'
import { type Clock, systemClock } from '../../../base/clock.ts'
import { AimsError, type AimsErrorCode } from '../../../base/errors.ts'
import type { Watcher } from '../client.ts'

/** What all sources have in common. */
export interface SourceOptions {
  /** Default: the machine's clock. */
  readonly clock?: Clock
  /** A number in [0, 1). Default `Math.random`: it only spreads load. */
  readonly random?: () => number
  /** Milliseconds between the second and the third attempt after a failure; grows by as much each time. Default 1000. */
  readonly backoff?: number
  /** Milliseconds between two attempts at most. Default 30,000. */
  readonly maxBackoff?: number
}

/** {@link SourceOptions} with everything decided. */
export type SourceSettings = Required<SourceOptions>

/** Fills in the defaults. */
export function sourceSettings(options: SourceOptions): SourceSettings {
  const { clock = systemClock, random = Math.random, backoff = 1000, maxBackoff = 30_000 } = options
  return { clock, random, backoff, maxBackoff }
}

// Asking again would get the same answer.
const FINAL: ReadonlySet<AimsErrorCode> = new Set([
  'provisioning.endpoint_refused',
  'provisioning.unimplemented',
  'provisioning.closed',
])

/**
 * Keeps the newest state of one stream of the Workload API, for as long as it may be used: a lost connection keeps it,
 * a refusal (no identity) takes it away at once. Connects again by itself.
 *
 * @see SPIFFE Workload API, section 4; go-spiffe's retry model
 */
export class Subscription<T> {
  readonly #settings: SourceSettings
  readonly #abort = new AbortController()
  readonly #listeners = new Set<() => void>()
  #state: T | undefined
  #lastError: AimsError | undefined
  #waiting: (() => void)[] = []

  constructor(watch: (watcher: Watcher<T>) => Promise<void>, settings: SourceSettings) {
    this.#settings = settings
    void this.#follow(watch)
  }

  /** The newest state, if there is one that may be used. */
  get state(): T | undefined {
    return this.#state
  }

  /** Why there is no newer state. `undefined` while the stream is well. */
  get lastError(): AimsError | undefined {
    return this.#lastError
  }

  /** Resolves when the server has answered once: with a state or with a refusal. */
  async answered(): Promise<void> {
    const isAnswered = (): boolean => this.#state !== undefined || isAnswer(this.#lastError)
    while (!isAnswered()) await new Promise<void>((resolve) => this.#waiting.push(resolve))
  }

  /** Resolves when there is a state, or the server has refused once more than until now; at once when it will not be asked again. */
  async answeredAnew(): Promise<void> {
    if (this.#state !== undefined || (this.#lastError !== undefined && FINAL.has(this.#lastError.code))) return
    do await new Promise<void>((resolve) => this.#waiting.push(resolve))
    while (this.#state === undefined && !isAnswer(this.#lastError))
  }

  /** Resolves with the first failure before there was a state; with nothing once there is one, or the signal is aborted. */
  async failed(signal: AbortSignal): Promise<AimsError | undefined> {
    while (!signal.aborted && this.#state === undefined && this.#lastError === undefined) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve))
    }
    return signal.aborted || this.#state !== undefined ? undefined : this.#lastError
  }

  /** Resolves with the first state. @throws {@link AimsError} when there will be none: `provisioning.closed`, `.unimplemented` ... */
  async ready(): Promise<T> {
    for (;;) {
      if (this.#state !== undefined) return this.#state
      if (this.#lastError !== undefined && FINAL.has(this.#lastError.code)) throw this.#lastError
      await new Promise<void>((resolve) => this.#waiting.push(resolve))
    }
  }

  /** Calls `listener`, which must not throw, after each change, also when the state is taken away. Returns its end. */
  onUpdate(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => {
      this.#listeners.delete(listener)
    }
  }

  /** Ends the stream and forgets the state. */
  close(): void {
    this.#abort.abort()
    this.#change(undefined, new AimsError('provisioning.closed', 'the source was closed'))
    this.#listeners.clear()
  }

  async #follow(watch: (watcher: Watcher<T>) => Promise<void>): Promise<void> {
    const { backoff, maxBackoff, random } = this.#settings
    const { signal } = this.#abort
    let failures = 0
    while (!signal.aborted) {
      try {
        await watch({
          signal,
          onUpdate: (state) => {
            failures = 0
            if (!signal.aborted) this.#change(state, undefined)
          },
          onInvalid: (error) => this.#change(this.#state, error),
        })
      } catch (error) {
        if (signal.aborted) return
        const known = asAimsError(error)
        // A refusal redacts what was there (section 4.2); every other failure leaves it as it was.
        this.#change(isAnswer(known) ? undefined : this.#state, known)
        if (FINAL.has(known.code)) return
      }
      failures += 1
      // The first attempt comes at once, spread a little: all workloads of a machine lose their agent in the same moment.
      const spread = backoff * (0.05 + 0.2 * random())
      const pause = Math.min(backoff * (failures - 1), maxBackoff) + spread
      await delay(pause, undefined, { signal }).catch(() => undefined)
    }
  }

  #change(state: T | undefined, error: AimsError | undefined): void {
    const isNews = state !== this.#state
    this.#state = state
    this.#lastError = error
    const waiting = this.#waiting
    this.#waiting = []
    for (const resolve of waiting) resolve()
    if (isNews) for (const listener of this.#listeners) listener()
  }
}

function isAnswer(error: AimsError | undefined): boolean {
  return error !== undefined && (error.code === 'provisioning.no_identity' || FINAL.has(error.code))
}

function asAimsError(error: unknown): AimsError {
  if (AimsError.is(error)) return error
  return new AimsError('provisioning.endpoint_unavailable', 'the call failed', { cause: error })
}

/** Which identity to use when a workload has several, by what the Workload API says about each. */
export type ChooseIdentity = (identity: { readonly id: string; readonly hint: string }) => boolean

/** The error of a source that has nothing to give. */
export function notReady(error: AimsError | undefined): AimsError {
  const options = error === undefined ? {} : { cause: error }
  return new AimsError('provisioning.not_ready', 'there is no current credential', options)
}
