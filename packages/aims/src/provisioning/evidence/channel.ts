import { AimsError } from '../../base/errors.ts'
import type { Watcher } from '../workload-api/client.ts'

/** The newest state of something, told to all who watch. A failure leaves it as it was; a redaction takes it away. */
export class Channel<T> {
  readonly #watches = new Set<{ readonly watcher: Watcher<T>; readonly end: (error: AimsError | undefined) => void }>()
  #state: T | undefined

  /** Tells a new state. The same one again is no news. */
  publish(state: T): void {
    const isNews = state !== this.#state
    this.#state = state
    if (isNews) for (const { watcher } of this.#watches) watcher.onUpdate(state)
  }

  /** Tells why there is no newer state. */
  fail(error: AimsError): void {
    for (const { watcher } of this.#watches) watcher.onInvalid?.(error)
  }

  /** Takes the state away, and ends all watches with this error. */
  redact(error: AimsError): void {
    this.#state = undefined
    for (const { end } of [...this.#watches]) end(error)
  }

  /** Follows the state until it is aborted or taken away. */
  watch(watcher: Watcher<T>): Promise<void> {
    const { signal } = watcher
    return new Promise((resolve, reject) => {
      const end = (error: AimsError | undefined): void => {
        this.#watches.delete(watch)
        signal?.removeEventListener('abort', onAbort)
        if (error === undefined) resolve()
        else reject(error)
      }
      const onAbort = (): void => end(undefined)
      const watch = { watcher, end }
      if (signal?.aborted === true) return end(undefined)
      signal?.addEventListener('abort', onAbort)
      this.#watches.add(watch)
      if (this.#state !== undefined) watcher.onUpdate(this.#state)
    })
  }
}

/** What a closed source answers. */
export function closed(): AimsError {
  return new AimsError('provisioning.closed', 'the source was closed')
}
