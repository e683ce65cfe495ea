import { type Clock, type Observer, systemClock } from 'aims/base'
import { limitRefusals } from 'aims/monitoring'
import type { Running } from '../running.ts'

/** Milliseconds. */
const FLUSH = 15_000

/**
 * The observer of a gateway, which anybody can make refuse: of each reason, and of each known caller that the policies refuse,
 * so many refusals a minute are recorded, and those beyond are counted. What is let through is always recorded.
 */
export function boundedRecords(observer: Observer, name: string, clock: Clock = systemClock): Observer & Running {
  const limited = limitRefusals(observer, {
    name,
    clock,
    // Reasons are ours, and there are not many; whoever the policies refuse has proven who it is.
    group: ({ type, reasons = [], agent }) => (type === 'authentication.refused' ? reasons[0] : agent?.id),
  })
  const flushing = setInterval(() => void limited.flush().catch(() => undefined), FLUSH).unref()
  return {
    record: (event) => limited.record(event),
    async close() {
      clearInterval(flushing)
      await limited.flush({ all: true }).catch(() => undefined)
    },
  }
}
