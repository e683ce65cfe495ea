import type { DatabaseSync, SQLOutputValue } from 'node:sqlite'
import {
  type ConsumedToken,
  createJoinToken,
  type EvidenceUse,
  type JoinTokenClaims,
  type JoinTokenStore,
  joinTokenHash,
} from 'aims/attestation'
import { AimsError, storing } from 'aims/base'
import type { Seal } from './seal.ts'

/** A join token that waits to be used, without the token. */
export interface WaitingToken extends JoinTokenClaims {
  /** SHA-256 of the token, base64url. */
  readonly id: string
  readonly createdAt: number
}

/** A token to be made. */
export interface NewToken {
  readonly name: string
  readonly use: EvidenceUse
  /** Seconds. */
  readonly ttl: number
}

/** Join tokens of this store: only their hashes are kept. */
export interface JoinTokens extends JoinTokenStore {
  consume(tokenHash: string, use: EvidenceUse, now: number): ConsumedToken
  /** Makes a token. It is shown here and never again. @throws {@link AimsError} `operation.busy` */
  create(wanted: NewToken, now: number): WaitingToken & { readonly token: string }
  list(now: number): readonly WaitingToken[]
  /** Takes one back. False: there was none. */
  revoke(id: string): boolean
  purge(now: number): void
}

const MAX_WAITING = 100_000
// Sealed rows do not change their shape, so that what a token is for stands beside it. Tokens of a server that did not ask
// let in workloads alone.
const ROWS = `SELECT t.*, coalesce(u.use, 'workload') AS use FROM join_tokens t LEFT JOIN join_token_uses u USING (id)`

/** Opens the join tokens. Rows are sealed: a hash that somebody wrote into the database lets nobody in. */
export function openJoinTokens(db: DatabaseSync, seal: Seal): JoinTokens {
  const insert = db.prepare('INSERT INTO join_tokens VALUES ($id, $name, $createdAt, $expiresAt)')
  const insertUse = db.prepare('INSERT INTO join_token_uses VALUES (?, ?)')
  // The one place where a token ends: whoever gets the row has it.
  const take = db.prepare('DELETE FROM join_tokens WHERE id = ? RETURNING *')
  const takeUse = db.prepare('DELETE FROM join_token_uses WHERE id = ?')
  const all = db.prepare(`${ROWS} WHERE expires_at > ? ORDER BY created_at, name`)
  const count = db.prepare('SELECT count(*) AS n FROM join_tokens')
  const expired = db.prepare('SELECT id FROM join_tokens WHERE expires_at <= ?')

  const find = db.prepare(`${ROWS} WHERE id = ?`)

  const look = (id: string): WaitingToken | undefined => {
    const row = storing('store', () => find.get(id))
    return row === undefined ? undefined : readRow(row)
  }
  const remove = (id: string): WaitingToken | undefined => {
    // Whoever makes tokens up causes no write.
    const waiting = look(id)
    if (waiting === undefined) return undefined
    let isTaken = false
    seal.transaction(() => {
      seal.row('join_tokens', id, () => {
        isTaken = take.get(id) !== undefined
      })
      seal.row('join_token_uses', id, () => takeUse.run(id))
    })
    return isTaken ? waiting : undefined
  }

  return {
    consume(tokenHash, use, now) {
      const waiting = look(tokenHash)
      if (waiting !== undefined && waiting.expiresAt > now && waiting.use !== use) return 'other-use'
      const taken = remove(tokenHash)
      return taken === undefined || taken.expiresAt <= now ? undefined : taken
    },
    create({ name, use, ttl }, now) {
      if (Number(storing('store', () => count.get())?.n) >= MAX_WAITING) {
        throw new AimsError('operation.busy', 'too many join tokens wait to be used')
      }
      const token = createJoinToken()
      const row = { id: joinTokenHash(token), name, use, createdAt: now, expiresAt: now + ttl }
      const named = { $id: row.id, $name: name, $createdAt: row.createdAt, $expiresAt: row.expiresAt }
      seal.transaction(() => {
        seal.row('join_tokens', row.id, () => insert.run(named))
        seal.row('join_token_uses', row.id, () => insertUse.run(row.id, use))
      })
      return { ...row, token }
    },
    list: (now) => storing('store', () => all.all(now)).map(readRow),
    revoke: (id) => remove(id) !== undefined,
    purge(now) {
      const ids = storing('store', () => expired.all(now)).map(({ id }) => String(id))
      for (const id of ids) remove(id)
    },
  }
}

function readRow(row: Record<string, SQLOutputValue>): WaitingToken {
  return {
    id: String(row.id),
    name: String(row.name),
    use: row.use === 'agent' ? 'agent' : 'workload',
    createdAt: Number(row.created_at),
    expiresAt: Number(row.expires_at),
  }
}
