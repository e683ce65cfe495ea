import type { DatabaseSync } from 'node:sqlite'
import { AimsError, storing } from 'aims/base'
import { parseBundle, type TrustBundle } from 'aims/credentials'
import type { TrustDomain } from 'aims/identifiers'
import type { Seal } from './seal.ts'

/** The server above this one; all other neighbours are servers below it, by their SPIFFE ID. */
export const UPSTREAM = 'upstream'

/**
 * The keys of this server that a server above keeps to their end. In no bundle by this row: it tells them from those of others
 * when they come back from there.
 */
export const PUBLISHED = 'published'

/** Keys of another server of the trust domain. They stand in the bundle beside those of this one. */
export interface Neighbour {
  /** {@link UPSTREAM}, {@link PUBLISHED}, or a SPIFFE ID. */
  readonly id: string
  /** A SPIFFE bundle, with the keys of WITs. */
  readonly document: string
  readonly bundle: TrustBundle
}

/** What other servers of the trust domain have published here. Changes are made inside a transaction of the seal. */
export interface NeighbourStore {
  /** All but {@link PUBLISHED}. */
  list(): readonly Neighbour[]
  find(id: string): Neighbour | undefined
  put(id: string, document: string, now: number): void
  remove(id: string): void
}

/** Opens them. Rows are sealed: they say which keys the trust domain believes. @throws {@link AimsError} `operation.store_damaged` */
export function openNeighbours(db: DatabaseSync, seal: Seal, trustDomain: TrustDomain): NeighbourStore {
  const known = new Map<string, Neighbour>()
  const read = (id: string, document: string): Neighbour => {
    return { id, document, bundle: parseBundle(document, trustDomain).bundle }
  }
  for (const { id, document } of storing('store', () => db.prepare('SELECT * FROM neighbours ORDER BY id').all())) {
    try {
      known.set(String(id), read(String(id), String(document)))
    } catch (cause) {
      throw new AimsError('operation.store_damaged', 'the keys of another server cannot be read', { cause })
    }
  }
  const put = db.prepare('INSERT OR REPLACE INTO neighbours VALUES (?, ?, ?)')
  const remove = db.prepare('DELETE FROM neighbours WHERE id = ?')
  return {
    list: () => [...known.values()].filter(({ id }) => id !== PUBLISHED),
    find: (id) => known.get(id),
    put(id, document, now) {
      const neighbour = read(id, document)
      seal.row('neighbours', id, () => put.run(id, document, now))
      known.set(id, neighbour)
    },
    remove(id) {
      seal.row('neighbours', id, () => remove.run(id))
      known.delete(id)
    },
  }
}
