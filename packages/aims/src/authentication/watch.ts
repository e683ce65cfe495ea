import { setInterval } from 'node:timers'
import type { Clock } from '../base/clock.ts'
import { AimsError } from '../base/errors.ts'
import type { Observer } from '../base/event.ts'
import { endedOf } from './audit.ts'
import { type Principal, requireStanding } from './principal.ts'

/** Who was authenticated, and under which id. */
export interface WatchedCaller {
  readonly principal: Principal
  /** Ties the record of the end to those of the request. */
  readonly correlationId: string
}

/** Something that a caller has open, as long as its credential counts. */
export interface Watch {
  /** Looks now. @returns false when it has ended. For what can ask before each piece that it sends. */
  look(): boolean
  /** It was closed: nobody looks any more. Does nothing the second time. */
  stop(): void
}

/** What looking after open things needs. */
export interface WatchOptions {
  readonly clock: Clock
  readonly observer: Observer
}

/** Milliseconds. */
const INTERVAL = 1000

/**
 * Looks after what was authenticated once and goes on: every second, and only while there is something, whether a new request
 * with the same credential would be accepted. One timer for all, so that what ends before the next look has cost one entry of a set.
 */
export function createWatcher(
  options: WatchOptions,
): (caller: WatchedCaller, onEnd: (reason: AimsError) => void) => Watch {
  const { clock } = options
  const open = new Set<Watch>()
  let timer: NodeJS.Timeout | undefined

  const lookAtAll = (): void => {
    for (const watch of open) watch.look()
    if (open.size > 0) return
    clearInterval(timer)
    timer = undefined
  }

  return (caller, onEnd) => {
    const watch: Watch = {
      look() {
        if (!open.has(watch)) return false
        const reason = findEnd(caller.principal, clock())
        if (reason === undefined) return true
        open.delete(watch)
        // On its own: one that throws must not keep the others open.
        queueMicrotask(() => onEnd(reason))
        void record(caller, reason, options)
        return false
      },
      stop: () => void open.delete(watch),
    }
    open.add(watch)
    timer ??= setInterval(lookAtAll, INTERVAL).unref()
    return watch
  }
}

function findEnd(principal: Principal, now: number): AimsError | undefined {
  try {
    requireStanding(principal, now)
    return undefined
  } catch (cause) {
    // A source that fails has not said that the credential is good.
    return AimsError.is(cause)
      ? cause
      : new AimsError('credential.revocation_unknown', 'the credential could not be judged again', { cause })
  }
}

// It has ended already: a log that is away keeps nothing open.
async function record(caller: WatchedCaller, { code }: AimsError, { observer }: WatchOptions): Promise<void> {
  try {
    await observer.record(endedOf(caller.principal, code, caller.correlationId))
  } catch (cause) {
    const why = AimsError.is(cause) ? ` [${cause.code}]` : ''
    process.emitWarning(`what a caller had open was ended, and not recorded${why}`, { code: 'AIMS_WATCH' })
  }
}
