import { type Clock, type Observer, systemClock } from 'aims/base'
import { ancestorsOf, isSpiffeId } from 'aims/identifiers'
import { type FlushingObserver, flushingRefusals } from 'aims/monitoring'

/**
 * The observer of a gateway, which anybody can make refuse: of each reason, and of each agent that the policies refuse, by itself
 * or as one of its sub-agents, so many refusals a minute are recorded, and those beyond are counted. What is let through is always recorded.
 */
export function boundedRecords(observer: Observer, name: string, clock: Clock = systemClock): FlushingObserver {
  return flushingRefusals(observer, {
    name,
    clock,
    // Reasons are ours, and there are not many; whoever the policies refuse has proven who it is.
    group: ({ type, reasons = [], agent }) => (type === 'authentication.refused' ? reasons[0] : agentOf(agent?.id)),
  })
}

// A sub-agent is one more name that its agent has given itself.
function agentOf(id: string | undefined): string | undefined {
  return id !== undefined && isSpiffeId(id) ? (ancestorsOf(id)[0] ?? id) : id
}
