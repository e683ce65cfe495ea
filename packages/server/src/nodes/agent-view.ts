import { AimsError } from 'aims/base'
import { type AgentGroup, isServedBy, type RegistrationEntry } from 'aims/provisioning'
import type { EntryRegistry } from '../entries.ts'
import type { Caller } from '../http/route.ts'
import type { EntryChanges } from './entry-changes.ts'

/** What one agent may know. */
export interface AgentView {
  /** True for entries that it may serve. */
  isVisible(entry: { readonly agents?: readonly AgentGroup[] }): boolean
  entries(): readonly RegistrationEntry[]
  /**
   * What changed for this agent after a revision: entries as they are, ids of those it may not serve any more.
   * `undefined`: that cannot be told, and it needs everything.
   */
  changes(
    after: number,
  ): { readonly entries: readonly RegistrationEntry[]; readonly removed: readonly string[] } | undefined
}

/**
 * The view of a caller with access `agent`: on the Unix socket of the server, all entries that name no agents; over HTTPS,
 * those that name this agent.
 *
 * @throws {@link AimsError} `operation.not_permitted`, for anybody else
 */
export function viewOf(caller: Caller, entries: EntryRegistry, log: EntryChanges): AgentView {
  const isVisible = visibility(caller)
  return {
    isVisible,
    entries: () => entries.list().filter(isVisible),
    changes(after) {
      const changed = log.since(after)
      if (changed === undefined) return undefined
      const now: RegistrationEntry[] = []
      const removed: string[] = []
      for (const { id, former } of changed) {
        const entry = entries.find(id)
        if (entry !== undefined && isVisible(entry)) now.push(entry)
        // An agent hears of what it knew, and of nothing else.
        else if (former.some((agents) => isVisible(agents === undefined ? {} : { agents }))) removed.push(id)
      }
      return { entries: now, removed }
    },
  }
}

function visibility({ method, agent }: Caller): AgentView['isVisible'] {
  if (agent !== undefined) return (entry) => isServedBy(entry, agent)
  if (method === 'unix') return ({ agents }) => agents === undefined
  throw new AimsError('operation.not_permitted', 'only agents ask for this')
}
