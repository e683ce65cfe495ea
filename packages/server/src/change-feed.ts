import { AimsError } from 'aims/base'

/** Tells those who wait that entries or keys changed. */
export interface ChangeFeed {
  /** The number of the current state. It differs after every change, also over restarts. */
  revision(): number
  /** Resolves when the state is another one than `seen`, after `timeout` milliseconds, or when `signal` aborts. */
  wait(seen: number, options: { readonly timeout: number; readonly signal: AbortSignal }): Promise<void>
  /** Wakes all who wait. */
  notify(): void
}

/** Each waits on a connection of its own; more than this is not a fleet but a fault. */
const MAX_WAITING = 8192

/** Woken in one turn of the event loop. */
const AT_ONCE = 64

/** Makes the feed over a counter that every change advances. */
export function createChangeFeed(revision: () => number, maxWaiting: number = MAX_WAITING): ChangeFeed {
  const waiting = new Set<() => void>()
  return {
    revision,
    async wait(seen, { timeout, signal }) {
      if (revision() !== seen || signal.aborted) return
      if (waiting.size >= maxWaiting) throw new AimsError('operation.busy', 'too many agents wait for changes')
      await new Promise<void>((resolve) => {
        const done = (): void => {
          clearTimeout(timer)
          signal.removeEventListener('abort', done)
          waiting.delete(done)
          resolve()
        }
        const timer = setTimeout(done, timeout)
        signal.addEventListener('abort', done, { once: true })
        waiting.add(done)
      })
    },
    notify() {
      // Whoever waits is told a whole state: other requests are answered in between.
      const wakeSome = (all: readonly (() => void)[]): void => {
        for (const wake of all.slice(0, AT_ONCE)) wake()
        const left = all.slice(AT_ONCE)
        if (left.length > 0) setImmediate(() => wakeSome(left))
      }
      wakeSome([...waiting])
    },
  }
}
