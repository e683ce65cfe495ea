import type { WorkloadId } from '../../identifiers/spiffe-id.ts'

/** Which identity each of some ids belongs to: sessions, or tasks. */
export interface Owned {
  ownerOf(id: string): WorkloadId | undefined
  open(id: string, owner: WorkloadId): void
  close(id: string): void
}

const MAX_TOTAL = 10_000

/** In memory, as the SDK keeps what the ids are for. Who has too many loses its own oldest first. */
export function createOwned(perOwner = 100, total: number = MAX_TOTAL): Owned {
  const owners = new Map<string, WorkloadId>()
  const opened = new Map<WorkloadId, Set<string>>()
  const close = (id: string): void => {
    const owner = owners.get(id)
    if (owner === undefined) return
    owners.delete(id)
    const own = opened.get(owner)
    own?.delete(id)
    if (own?.size === 0) opened.delete(owner)
  }
  return {
    ownerOf: (id) => owners.get(id),
    close,
    open(id, owner) {
      // An id that a server gives out twice stays with the first.
      if (owners.has(id)) return
      const own = opened.get(owner) ?? new Set()
      if (own.size >= perOwner) closeOldest(own, close)
      if (owners.size >= total) closeOldest(owners.keys(), close)
      owners.set(id, owner)
      opened.set(owner, own.add(id))
    },
  }
}

function closeOldest(ids: Iterable<string>, close: (id: string) => void): void {
  const [oldest] = ids
  if (oldest !== undefined) close(oldest)
}
