import type { WorkloadId } from '../../identifiers/spiffe-id.ts'
import { ancestorsOf } from '../../identifiers/sub-agent-id.ts'

/** Which identity each of some ids belongs to: sessions, or tasks. */
export interface Owned {
  ownerOf(id: string): WorkloadId | undefined
  open(id: string, owner: WorkloadId): void
  close(id: string): void
}

/** How many ids are kept. */
export interface OwnedLimits {
  /** For one identity. Default 100. */
  readonly perOwner?: number | undefined
  /** For all. Default 10,000. */
  readonly total?: number
  /** Told of an id that had to go for another. */
  readonly onForgotten?: ((id: string) => void) | undefined
}

/**
 * In memory, as the SDK keeps what the ids are for. Who has too many loses its own oldest first. When there is no more room at
 * all, the agent with most of them does, counted with its sub-agents: nobody drives out who has fewer.
 */
export function createOwned({ perOwner = 100, total = 10_000, onForgotten }: OwnedLimits = {}): Owned {
  const owners = new Map<string, WorkloadId>()
  const opened = createGroups()
  const shares = createGroups()
  const close = (id: string): void => {
    const owner = owners.get(id)
    if (owner === undefined) return
    owners.delete(id)
    opened.remove(owner, id)
    shares.remove(agentOf(owner), id)
  }
  const forgetOldest = (ids: Iterable<string>): void => {
    const [oldest] = ids
    if (oldest === undefined) return
    close(oldest)
    onForgotten?.(oldest)
  }
  return {
    ownerOf: (id) => owners.get(id),
    close,
    open(id, owner) {
      // An id that a server gives out twice stays with the first.
      if (owners.has(id)) return
      if (opened.of(owner).size >= perOwner) forgetOldest(opened.of(owner))
      if (owners.size >= total) forgetOldest(shares.largest())
      owners.set(id, owner)
      opened.add(owner, id)
      shares.add(agentOf(owner), id)
    },
  }
}

// A sub-agent is one more name that its agent has given itself.
function agentOf(id: WorkloadId): WorkloadId {
  return ancestorsOf(id)[0] ?? id
}

/** Ids by whom they count for, each group in the order in which they came. */
interface Groups {
  of(whom: WorkloadId): ReadonlySet<string>
  largest(): ReadonlySet<string>
  add(whom: WorkloadId, id: string): void
  remove(whom: WorkloadId, id: string): void
}

const NONE: ReadonlySet<string> = new Set()

function createGroups(): Groups {
  const groups = new Map<WorkloadId, Set<string>>()
  return {
    of: (whom) => groups.get(whom) ?? NONE,
    // Asked only when all is full.
    largest() {
      let largest = NONE
      for (const group of groups.values()) if (group.size > largest.size) largest = group
      return largest
    },
    add(whom, id) {
      const group = groups.get(whom)
      if (group === undefined) groups.set(whom, new Set([id]))
      else group.add(id)
    },
    remove(whom, id) {
      const group = groups.get(whom)
      group?.delete(id)
      if (group?.size === 0) groups.delete(whom)
    },
  }
}
