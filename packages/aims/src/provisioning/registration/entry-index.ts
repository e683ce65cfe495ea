import type { SpiffeId } from '../../identifiers/spiffe-id.ts'
import type { RegistrationEntry } from '../entry.ts'
import { isMatch } from '../match.ts'

/** Entries in memory, found by id, by SPIFFE ID and by selectors at a cost that does not grow with their number. */
export interface EntryIndex {
  readonly size: number
  find(id: string): RegistrationEntry | undefined
  findBySubject(subject: SpiffeId): RegistrationEntry | undefined
  /** Like `matchEntries`, in the order of their ids. */
  match(selectors: readonly string[]): readonly RegistrationEntry[]
  /** In the order of their ids. The same array until the next change. */
  list(): readonly RegistrationEntry[]
  /** Puts an entry in, in place of the one with its id. Does not check that its SPIFFE ID is free. */
  set(entry: RegistrationEntry): void
  delete(id: string): void
}

/**
 * Makes an index. An entry stands under one of its selectors only: the one with the fewest entries when it came, so that
 * a user or a namespace that a thousand entries name costs nothing when a workload shows it.
 */
export function createEntryIndex(entries: Iterable<RegistrationEntry> = []): EntryIndex {
  const byId = new Map<string, RegistrationEntry>()
  const bySubject = new Map<SpiffeId, RegistrationEntry>()
  const shelves = new Map<string, Map<string, RegistrationEntry>>()
  const shelfOf = new Map<string, string>()
  let sorted: readonly RegistrationEntry[] | undefined

  const shelfFor = ({ selectors }: RegistrationEntry): string | undefined => {
    let best: string | undefined
    let fewest = Number.POSITIVE_INFINITY
    for (const selector of selectors) {
      const count = shelves.get(selector)?.size ?? 0
      if (count >= fewest) continue
      best = selector
      fewest = count
    }
    return best
  }
  const remove = (id: string): void => {
    const entry = byId.get(id)
    if (entry === undefined) return
    byId.delete(id)
    if (bySubject.get(entry.spiffeId)?.id === id) bySubject.delete(entry.spiffeId)
    const name = shelfOf.get(id)
    shelfOf.delete(id)
    if (name === undefined) return
    const shelf = shelves.get(name)
    shelf?.delete(id)
    if (shelf?.size === 0) shelves.delete(name)
  }
  const index: EntryIndex = {
    get size() {
      return byId.size
    },
    find: (id) => byId.get(id),
    findBySubject: (subject) => bySubject.get(subject),
    match(selectors) {
      const present = new Set(selectors)
      const matching: RegistrationEntry[] = []
      for (const selector of present) {
        for (const entry of shelves.get(selector)?.values() ?? []) if (isMatch(entry, present)) matching.push(entry)
      }
      return matching.sort(byTheirIds)
    },
    list: () => (sorted ??= [...byId.values()].sort(byTheirIds)),
    set(entry) {
      remove(entry.id)
      sorted = undefined
      byId.set(entry.id, entry)
      bySubject.set(entry.spiffeId, entry)
      const name = shelfFor(entry)
      // An entry without selectors matches nothing.
      if (name === undefined) return
      shelfOf.set(entry.id, name)
      const shelf = shelves.get(name) ?? new Map<string, RegistrationEntry>()
      shelves.set(name, shelf.set(entry.id, entry))
    },
    delete(id) {
      sorted = undefined
      remove(id)
    },
  }
  for (const entry of entries) index.set(entry)
  return index
}

function byTheirIds(a: RegistrationEntry, b: RegistrationEntry): number {
  return a.id < b.id ? -1 : 1
}
