import { AimsError, type Observer } from 'aims/base'
import { pathOf, type SpiffeId } from 'aims/identifiers'
import { type Actor, serializer } from '../entries.ts'
import type { AgentStore, RegisteredAgent } from '../store/agent-store.ts'
import type { AttestedThings } from '../store/attested-things.ts'
import { decided } from './agent-events.ts'

/** SPIFFE IDs of agents begin with this path. */
const AGENT_PATH = '/aims/agent/'

/** True for the SPIFFE ID of an agent, known or not. */
export function isAgentId(id: SpiffeId): boolean {
  return pathOf(id).startsWith(AGENT_PATH)
}

/** The agents on other hosts. */
export interface AgentRegistry {
  find(id: string): RegisteredAgent | undefined
  list(): readonly RegisteredAgent[]
  /**
   * The agent as it is now.
   *
   * @throws {@link AimsError} `provisioning.agent_banned`, `provisioning.agent_unknown`
   */
  requireActive(spiffeId: string): RegisteredAgent
  /**
   * The agent that shows the SVID with this serial number. The first use of a new SVID ends the one before it, so that a
   * stolen one that was replaced is worth nothing.
   *
   * @throws {@link AimsError} `provisioning.agent_banned`, `provisioning.agent_unknown`
   */
  present(spiffeId: string, serial: string): RegisteredAgent
  /** Runs work that decides about agents one at a time. */
  oneAtATime: ReturnType<typeof serializer>
  /** Keeps an agent as it is now. */
  put(agent: RegisteredAgent): void
  /** Refuses the agent everywhere from now on. @throws {@link AimsError} `provisioning.agent_not_found` */
  ban(id: string, actor: Actor): Promise<RegisteredAgent>
  /** Forgets the agent, banned or not: it may be attested anew. @throws {@link AimsError} `provisioning.agent_not_found` */
  evict(id: string, actor: Actor): Promise<void>
  /** Calls `listener` when an agent was banned, evicted or attested anew. */
  onChange(listener: () => void): void
}

/** Makes the registry over a store. */
export function createAgentRegistry(options: {
  readonly store: AgentStore
  readonly things: AttestedThings
  readonly observer: Observer
}): AgentRegistry {
  const { store, things, observer } = options
  const listeners = new Set<() => void>()
  const oneAtATime = serializer()
  const existing = (id: string): RegisteredAgent => {
    const agent = store.find(id)
    if (agent === undefined) throw new AimsError('provisioning.agent_not_found', 'no agent has this id')
    return agent
  }
  const tell = (): void => {
    for (const listener of listeners) listener()
  }
  const requireActive = (spiffeId: string): RegisteredAgent => {
    const agent = store.findBySubject(spiffeId)
    if (agent === undefined) throw unknown()
    if (agent.state !== 'active') throw new AimsError('provisioning.agent_banned', 'an operator banned this agent')
    return agent
  }

  return {
    oneAtATime,
    find: (id) => store.find(id),
    list: () => store.list(),
    requireActive,
    present(spiffeId, serial) {
      const agent = requireActive(spiffeId)
      if (agent.serial === serial) return agent
      if (agent.nextSerial !== serial) throw unknown()
      const promoted = { ...agent, serial, nextSerial: undefined }
      store.put(promoted)
      return promoted
    },
    put(agent) {
      const before = store.find(agent.id)
      store.put(agent)
      // Whoever waits with the SVID before is to hear that it is worth nothing.
      if (before !== undefined && before.serial !== agent.serial) tell()
    },
    ban: (id, actor) =>
      oneAtATime(async () => {
        await observer.record(decided('provisioning.agent-banned', existing(id), actor))
        // As it is now: it may have shown a new SVID meanwhile.
        const banned: RegisteredAgent = { ...existing(id), state: 'banned' }
        store.put(banned)
        tell()
        return banned
      }),
    evict: (id, actor) =>
      oneAtATime(async () => {
        const agent = existing(id)
        await observer.record(decided('provisioning.agent-evicted', agent, actor))
        store.remove(agent)
        things.forget(agent.spiffeId)
        tell()
      }),
    onChange: (listener) => void listeners.add(listener),
  }
}

function unknown(): AimsError {
  return new AimsError('provisioning.agent_unknown', 'no agent that may act shows this SVID')
}
