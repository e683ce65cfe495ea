import type { DatabaseSync, SQLOutputValue } from 'node:sqlite'
import { createJoinToken, type JoinTokenClaims, type JoinTokenStore, joinTokenHash } from 'aims/attestation'
import { AimsError, storing } from 'aims/base'
import type { Seal } from './seal.ts'

/** A join token that waits to be used, without the token. */
export interface WaitingToken extends JoinTokenClaims {
  /** SHA-256 of the token, base64url. */
  readonly id: string
  readonly createdAt: number
}

/** Join tokens of this store: only their hashes are kept. */
export interface JoinTokens extends JoinTokenStore {
  consume(tokenHash: string, now: number): JoinTokenClaims | undefined
  /** Makes a token. It is shown here and never again. @throws {@link AimsError} `operation.busy` */
  create(name: string, ttl: number, now: number): WaitingToken & { readonly token: string }
  list(now: number): readonly WaitingToken[]
  /** Takes one back. False: there was none. */
  revoke(id: string): boolean
  purge(now: number): void
}

const MAX_WAITING = 100_000

/** Opens the join tokens. Rows are sealed: a hash that somebody wrote into the database lets nobody in. */
export function openJoinTokens(db: DatabaseSync, seal: Seal): JoinTokens {
  const insert = db.prepare('INSERT INTO join_tokens VALUES ($id, $name, $createdAt, $expiresAt)')
  // The one place where a token ends: whoever gets the row has it.
  const take = db.prepare('DELETE FROM join_tokens WHERE id = ? RETURNING *')
  const all = db.prepare('SELECT * FROM join_tokens WHERE expires_at > ? ORDER BY created_at, name')
  const count = db.prepare('SELECT count(*) AS n FROM join_tokens')
  const expired = db.prepare('SELECT id FROM join_tokens WHERE expires_at <= ?')

  const find = db.prepare('SELECT 1 FROM join_tokens WHERE id = ?')

  const remove = (id: string): WaitingToken | undefined => {
    // Whoever makes tokens up causes no write.
    if (storing('store', () => find.get(id)) === undefined) return undefined
    let taken: WaitingToken | undefined
    seal.transaction(() =>
      seal.row('join_tokens', id, () => {
        const row = take.get(id)
        taken = row === undefined ? undefined : readRow(row)
      }),
    )
    return taken
  }

  return {
    consume(tokenHash, now) {
      const taken = remove(tokenHash)
      return taken === undefined || taken.expiresAt <= now ? undefined : taken
    },
    create(name, ttl, now) {
      if (Number(storing('store', () => count.get())?.n) >= MAX_WAITING) {
        throw new AimsError('operation.busy', 'too many join tokens wait to be used')
      }
      const token = createJoinToken()
      const row = { id: joinTokenHash(token), name, createdAt: now, expiresAt: now + ttl }
      const named = { $id: row.id, $name: name, $createdAt: row.createdAt, $expiresAt: row.expiresAt }
      seal.transaction(() => seal.row('join_tokens', row.id, () => insert.run(named)))
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
    createdAt: Number(row.created_at),
    expiresAt: Number(row.expires_at),
  }
}
