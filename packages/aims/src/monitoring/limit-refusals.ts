import { setInterval } from 'node:timers'
import type { Clock } from '../base/clock.ts'
import { createCorrelationId } from '../base/correlation-id.ts'
import type { AuditEvent, Observer } from '../base/event.ts'

/** How many refusals become records. */
export interface RefusalLimits {
  /** What the observer stands in front of, for the records about refusals that got none, e.g. `https`. */
  readonly name: string
  readonly clock: Clock
  /** Refusals of one group that are recorded in a window. Default 20. */
  readonly perWindow?: number
  /** Seconds. Default 60. */
  readonly window?: number
  /**
   * The group of an event; those of `undefined` are all recorded. It must not be made of what strangers choose.
   * Default: all of `authentication.refused` are one group, and nothing else is limited.
   */
  readonly group?: (event: AuditEvent) => string | undefined
  /** Told of each refusal that is counted only. */
  readonly onOmitted?: () => void
}

/** An observer that writes down what it left out. */
export interface LimitedObserver extends Observer {
  /** Records how many refusals were left out in windows that have ended; with `all`, in those that have not, too. */
  flush(options?: { readonly all?: boolean }): Promise<void>
}

/**
 * Puts a bound in front of an observer, for refusals that cost a stranger nothing: without one, whoever may connect fills
 * the disk of the log, and then nothing is issued any more.
 *
 * Nothing is left out in silence: the first refusal beyond the limit is replaced by `monitoring.refusals-limited`, and
 * once the window is over `monitoring.refusals-omitted` says how many there were. So one window makes at most two more
 * records than its limit. What was refused stays refused: only the record of it is missing.
 *
 * Call `flush` from time to time, and with `all` before the log is closed.
 */
export function limitRefusals(observer: Observer, limits: RefusalLimits): LimitedObserver {
  const { name, clock, perWindow = 20, window = 60, group = groupOf, onOmitted } = limits
  if (!Number.isSafeInteger(perWindow) || perWindow < 1) throw new TypeError('perWindow is a positive integer')
  if (!(window > 0 && Number.isFinite(window))) throw new TypeError('window is a number of seconds')
  const open = new Map<string, Window>()

  const about = (type: AuditEvent['type'], key: string, details: NonNullable<AuditEvent['details']>): AuditEvent => ({
    type,
    resource: { type: 'listener', id: name },
    action: 'limit',
    decision: 'none',
    correlationId: createCorrelationId(),
    details: { group: key, ...details },
  })
  const end = async (key: string, one: Window): Promise<void> => {
    open.delete(key)
    if (one.omitted === 0) return
    try {
      await observer.record(about('monitoring.refusals-omitted', key, { omitted: one.omitted, window }))
    } catch (error) {
      // Told again with the next window.
      windowOf(key).omitted += one.omitted
      throw error
    }
  }
  const windowOf = (key: string): Window => {
    let one = open.get(key)
    if (one === undefined) {
      one = { since: clock(), count: 0, omitted: 0 }
      open.set(key, one)
    }
    return one
  }
  // A clock that was set back does not keep a window open.
  const isOver = ({ since }: Window): boolean => Math.abs(clock() - since) >= window

  return {
    async record(event) {
      const key = event.decision === 'deny' ? group(event) : undefined
      if (key === undefined) return await observer.record(event)
      const before = open.get(key)
      if (before !== undefined && isOver(before)) await end(key, before)
      const one = windowOf(key)
      one.count += 1
      if (one.count <= perWindow) return await observer.record(event)
      one.omitted += 1
      onOmitted?.()
      if (one.count > perWindow + 1) return
      await observer.record(about('monitoring.refusals-limited', key, { perWindow, window }))
    },
    async flush({ all = false } = {}) {
      for (const [key, one] of [...open]) if (all || isOver(one)) await end(key, one)
    },
  }
}

/** A limited observer that flushes by itself until it is closed. */
export interface FlushingObserver extends Observer {
  /** Tells what was left out until now. */
  close(): Promise<void>
}

/** Milliseconds. */
const FLUSH = 15_000

/** As {@link limitRefusals}, for programs that run on: what was left out is told soon after its window, and at the end. */
export function flushingRefusals(observer: Observer, limits: RefusalLimits): FlushingObserver {
  const limited = limitRefusals(observer, limits)
  // What could not be told is told with the next window.
  const timer = setInterval(() => void limited.flush().catch(() => undefined), FLUSH).unref()
  return {
    record: (event) => limited.record(event),
    async close() {
      clearInterval(timer)
      await limited.flush({ all: true }).catch(() => undefined)
    },
  }
}

interface Window {
  readonly since: number
  count: number
  omitted: number
}

function groupOf({ type }: AuditEvent): string | undefined {
  return type === 'authentication.refused' ? type : undefined
}
