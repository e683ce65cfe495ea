import type { DatabaseSync } from 'node:sqlite'
import { AimsError, sha256Base64url, storing } from 'aims/base'
import { ASSURANCE_LEVELS, type Assurance } from 'aims/credentials'
import { type GroupCommit, groupCommit } from './group-commit.ts'
import type { Seal } from './seal.ts'

/** A machine, instance or job by what its evidence calls it, and the identity it was attested for. */
export interface AttestedThing {
  /** Type of evidence. */
  readonly type: string
  readonly attested: string
  readonly spiffeId: string
  /** The evidence is a bearer document: whoever came first with it has all its identities. */
  readonly isBearer: boolean
}

/** What is remembered of it. */
export interface AttestedState {
  /** RFC 7638 thumbprint of the last key that was certified for it. */
  readonly thumbprint: string
  readonly assurance: Assurance
  /** Of the entry, when that level was reached. */
  readonly revision: number
}

/** What was attested before, and statements that are good for one use. */
export interface AttestedThings {
  find(thing: AttestedThing): AttestedState | undefined
  /** Puts what belongs together, with what others put at that moment. */
  readonly together: GroupCommit
  /** Inside {@link together}. */
  put(thing: AttestedThing, state: AttestedState, now: number): void
  /** Forgets what was attested for an identity, so that its next attestation is a first one. Returns how many there were. */
  forget(spiffeId: string): number
  /**
   * Uses a statement up.
   *
   * @param statement - Its type and name.
   * @throws {@link AimsError} `attestation.replayed`
   */
  useOnce(statement: string, expiresAt: number, now: number): void
  purge(now: number): void
}

/** What was attested, in this store. Rows are sealed: removing one would make a second machine the first. */
export function openAttestedThings(db: DatabaseSync, seal: Seal): AttestedThings {
  const find = db.prepare('SELECT thumbprint, assurance, revision FROM attested WHERE id = ?')
  const put = db.prepare(`
    INSERT INTO attested VALUES ($id, $type, $attested, $spiffeId, $thumbprint, $assurance, $revision, $now, $now)
    ON CONFLICT (id) DO UPDATE SET
      thumbprint = $thumbprint, assurance = $assurance, revision = $revision, last_seen = $now`)
  const ofSubject = db.prepare('SELECT id, type, attested FROM attested WHERE spiffe_id = ?')
  const remove = db.prepare('DELETE FROM attested WHERE id = ?')
  const use = db.prepare(`
    INSERT INTO used_statements VALUES ($statement, $expires)
    ON CONFLICT (statement) DO UPDATE SET expires_at = $expires WHERE expires_at <= $now`)
  const expire = db.prepare('DELETE FROM used_statements WHERE expires_at <= ?')

  return {
    together: groupCommit(db, seal.transaction),
    find(thing) {
      const row = storing('store', () => find.get(idOf(thing)))
      if (row === undefined) return undefined
      const assurance = ASSURANCE_LEVELS.find((level) => level === row.assurance)
      if (assurance === undefined) throw new AimsError('operation.store_damaged', 'a row of attested is malformed')
      return { thumbprint: String(row.thumbprint), assurance, revision: Number(row.revision) }
    },
    put(thing, { thumbprint, assurance, revision }, now) {
      const id = idOf(thing)
      const names = { $id: id, $type: thing.type, $attested: thing.attested, $spiffeId: thing.spiffeId }
      const state = { $thumbprint: thumbprint, $assurance: assurance, $revision: revision, $now: now }
      seal.row('attested', id, () => put.run({ ...names, ...state }))
    },
    forget(spiffeId) {
      const rows = storing('store', () => ofSubject.all(spiffeId))
      if (rows.length === 0) return 0
      const things = rows.map(({ type, attested }) => ({ type: String(type), attested: String(attested), spiffeId }))
      // The holder of a bearer document is remembered under the identity it was shown for first.
      const holders = things.map((thing) => idOf({ ...thing, isBearer: true }))
      seal.transaction(() => {
        for (const id of new Set([...rows.map((row) => String(row.id)), ...holders])) {
          seal.row('attested', id, () => remove.run(id))
        }
      })
      return new Set(holders).size
    },
    useOnce(statement, expiresAt, now) {
      const names = { $statement: sha256Base64url(statement), $expires: expiresAt, $now: now }
      if (Number(storing('store', () => use.run(names)).changes) !== 1) {
        throw new AimsError('attestation.replayed', 'this statement was used before')
      }
    },
    purge: (now) => void storing('store', () => expire.run(now)),
  }
}

function idOf({ type, attested, spiffeId, isBearer }: AttestedThing): string {
  return sha256Base64url(JSON.stringify(isBearer ? [type, attested] : [type, attested, spiffeId]))
}
