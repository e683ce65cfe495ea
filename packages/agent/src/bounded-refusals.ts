import type { Clock, Observer } from 'aims/base'
import { type FlushingObserver, flushingRefusals, type RefusalLimits } from 'aims/monitoring'

/** Records so many refusals of each user in a minute, and counts the rest: a user is what the kernel says, and nobody chooses it. */
export function boundedRefusals(
  observer: Observer,
  { name, clock, types }: Pick<RefusalLimits, 'name'> & { readonly clock: Clock; readonly types: readonly string[] },
): FlushingObserver {
  return flushingRefusals(observer, {
    name,
    clock,
    group: ({ type, details }) => (types.includes(type) ? String(details?.uid) : undefined),
  })
}
