import type { SpiffeId } from 'aims/identifiers'
import { isServedBy } from 'aims/provisioning'
import type { Actor, EntryRegistry } from '../entries.ts'
import type { Retirement } from '../revocation/retirement.ts'
import type { RegisteredAgent } from '../store/agent-store.ts'
import type { AgentRegistry } from './agent-registry.ts'
import type { EntryChanges } from './entry-changes.ts'

/** A banned agent, and which identities were revoked with it. */
export interface BannedAgent extends RegisteredAgent {
  readonly revoked: readonly SpiffeId[]
}

/**
 * Bans an agent; with `revoke` also ends the credentials of every identity that it may serve, and its own. The keys of
 * its workloads were made in its memory: whoever has the machine may have them, also of entries that named it until they were
 * changed or deleted. The ban comes first and stands also when the revocation fails.
 *
 * @throws {@link AimsError} `provisioning.agent_not_found`, `provisioning.revocations_full`, and what the observer throws
 */
export type BanAgent = (id: string, options: { readonly revoke: boolean }, actor: Actor) => Promise<BannedAgent>

/** Makes the ban of agents. */
export function agentBan(options: {
  readonly agents: AgentRegistry
  readonly entries: Pick<EntryRegistry, 'list'>
  readonly entryChanges: Pick<EntryChanges, 'formerlyOf'>
  readonly retirement: Retirement
}): BanAgent {
  const { agents, entries, entryChanges, retirement } = options
  return async (id, { revoke }, actor) => {
    const agent = await agents.ban(id, actor)
    if (!revoke) return { ...agent, revoked: [] }
    // What it may serve, not what it asked for: it may have been somebody else who asked.
    const served = entries.list().filter((entry) => isServedBy(entry, agent))
    const all = [agent.spiffeId, ...served.map(({ spiffeId }) => spiffeId), ...entryChanges.formerlyOf(agent)]
    const revoked = [...new Set(all)]
    await retirement.revokeSubjects(revoked, `agent ${id} was banned`, actor)
    return { ...agent, revoked }
  }
}
