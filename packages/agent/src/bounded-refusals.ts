import type { Clock, Observer } from 'aims/base'
import { limitRefusals, type RefusalLimits } from 'aims/monitoring'

/** An observer that counts refusals beyond a limit, and tells how many there were when it is closed at the latest. */
export interface BoundedRefusals extends Observer {
  close(): Promise<void>
}

/** Milliseconds. */
const FLUSH = 15_000

/** Records so many refusals of each user in a minute, and counts the rest: a user is what the kernel says, and nobody chooses it. */
export function boundedRefusals(
  observer: Observer,
  { name, clock, types }: Pick<RefusalLimits, 'name'> & { readonly clock: Clock; readonly types: readonly string[] },
): BoundedRefusals {
  const limited = limitRefusals(observer, {
    name,
    clock,
    group: ({ type, details }) => (types.includes(type) ? String(details?.uid) : undefined),
  })
  // How many were left out is told when their minute is over.
  const flushing = setInterval(() => void limited.flush().catch(() => undefined), FLUSH).unref()
  return {
    record: (event) => limited.record(event),
    async close() {
      clearInterval(flushing)
      await limited.flush({ all: true }).catch(() => undefined)
    },
  }
}
