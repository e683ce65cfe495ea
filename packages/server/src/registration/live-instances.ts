import type { AuditEvent, Observer } from 'aims/base'
import { isAgent, type RegistrationEntry } from 'aims/provisioning'

/** Who was given credentials of an entry: a place where its workload lives. */
export interface Instance {
  /** The agent that serves it, or the thumbprint of the key that was certified. */
  readonly name: string
  /** The key before, which vouched for that one: then it is the same instance. */
  readonly previous?: string | undefined
}

/** Notices that one agent identity lives in several places at a time. */
export interface LiveInstances {
  /**
   * Notes an instance, alive until `expiresAt`. Records each other one that is alive as well, once, before it returns.
   *
   * @throws what the observer throws
   */
  note(entry: RegistrationEntry, instance: Instance, times: Times, correlationId: string): Promise<void>
}

/** Seconds since the epoch. */
interface Times {
  readonly now: number
  readonly expiresAt: number
}

/** Entries and instances of each; the oldest make room. In memory: after a restart they are noticed again. */
const MAX = { entries: 10_000, instances: 64 }

/**
 * Makes it. Selectors that many workloads may show are allowed when nobody meant to share them, e.g. a service account: here
 * it shows that they are shared. An entry that says `shared`, and one that is no agent's, is not looked at.
 *
 * @see AIMS ID-5: a warning when one entry is used by several keys at a time
 */
export function createLiveInstances(options: {
  readonly observer: Observer
  /** Paths below which agents are. */
  readonly agentPrefixes: readonly string[]
}): LiveInstances {
  const { observer, agentPrefixes } = options
  const known = new Map<string, Map<string, number>>()

  return {
    async note(entry, { name, previous }, { now, expiresAt }, correlationId) {
      if (entry.shared || !isAgent(entry, agentPrefixes)) return
      const instances = known.get(entry.id) ?? new Map<string, number>()
      for (const [one, end] of instances) if (end <= now) instances.delete(one)
      const isKnown = instances.has(name) || (previous !== undefined && instances.has(previous))
      if (previous !== undefined) instances.delete(previous)
      const until = Math.max(expiresAt, instances.get(name) ?? 0)
      instances.delete(name)
      const others = instances.size
      instances.set(name, until)
      limit(instances, MAX.instances)
      known.delete(entry.id)
      known.set(entry.id, instances)
      limit(known, MAX.entries)
      if (!isKnown && others > 0) await observer.record(sharedEvent(entry, others + 1, correlationId))
    },
  }
}

function limit(map: Map<string, unknown>, size: number): void {
  for (const name of map.keys()) {
    if (map.size <= size) return
    map.delete(name)
  }
}

function sharedEvent(
  { id, spiffeId, revision }: RegistrationEntry,
  instances: number,
  correlationId: string,
): AuditEvent {
  return {
    type: 'provisioning.identity-shared',
    agent: { id: spiffeId },
    resource: { type: 'entry', id },
    action: 'issue',
    decision: 'none',
    reasons: ['provisioning.identity_shared'],
    correlationId,
    details: { instances, revision },
  }
}
