import type { DatabaseSync } from 'node:sqlite'
import { parseJson, storing } from 'aims/base'
import { type Revocation, readRevocation } from 'aims/credentials'
import type { TrustDomain } from 'aims/identifiers'
import type { Seal } from './seal.ts'

/** Revocations on disk. Their number is never lower than it was, also when rows have gone. */
export interface RevocationStore {
  /** Of the newest change; 0 before the first. */
  sequence(): number
  list(): readonly Revocation[]
  /** Adds revocations, or replaces those of the same things, under this sequence number: all of them, or none. */
  put(revocations: readonly Revocation[], sequence: number): void
  /** Forgets those that can mean nothing any more. */
  purge(now: number): void
}

const SEQUENCE = 'sequence'

/** Opens the revocations of the store. @throws {@link AimsError} `storage.*` */
export function openRevocationStore(db: DatabaseSync, seal: Seal, trustDomain: TrustDomain): RevocationStore {
  const rows = new Map<string, Revocation>()
  let sequence = 0
  for (const { id, body } of storing('store', () => db.prepare('SELECT id, body FROM revocations').all())) {
    if (id === SEQUENCE) sequence = Number(body)
    else rows.set(String(id), readRevocation(parseJson(String(body)), trustDomain))
  }
  const upsert = db.prepare('INSERT OR REPLACE INTO revocations VALUES (?, ?, ?)')
  const remove = db.prepare('DELETE FROM revocations WHERE id = ?')
  const write = (id: string, body: string, expiresAt: number): void => {
    seal.row('revocations', id, () => upsert.run(id, body, expiresAt))
  }

  return {
    sequence: () => sequence,
    list: () => [...rows.values()],
    put(revocations, next) {
      seal.transaction(() => {
        for (const one of revocations) write(idOf(one), JSON.stringify(one), one.expiresAt)
        write(SEQUENCE, String(next), Number.MAX_SAFE_INTEGER)
      })
      for (const one of revocations) rows.set(idOf(one), one)
      sequence = next
    },
    purge(now) {
      const gone = [...rows].filter(([, { expiresAt }]) => expiresAt <= now)
      if (gone.length === 0) return
      seal.transaction(() => {
        for (const [id] of gone) seal.row('revocations', id, () => remove.run(id))
      })
      for (const [id] of gone) rows.delete(id)
    },
  }
}

function idOf({ type, value }: Revocation): string {
  return `${type} ${value}`
}
