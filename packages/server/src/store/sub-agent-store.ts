import type { DatabaseSync } from 'node:sqlite'
import { AimsError, storing, transaction } from 'aims/base'
import type { SpiffeId } from 'aims/identifiers'
import type { SubAgentRegister } from 'aims/provisioning'
import type { StoredKeyBindings } from './key-bindings.ts'

/** Which sub-agents live, so that none has two keys and no agent has too many, also after a restart. */
export interface SubAgentStore extends SubAgentRegister {
  /** When the WIT of a sub-agent ends, in seconds since the epoch; `undefined`: none lives. */
  endOf(spiffeId: SpiffeId): number | undefined
  /** True while a sub-agent of this name, or below it, lives. */
  isAlive(spiffeId: SpiffeId, now: number): boolean
  /** Forgets those that have ended. */
  purge(now: number): void
}

/** Opens the sub-agents of the store. */
export function openSubAgentStore(db: DatabaseSync, bindings: StoredKeyBindings): SubAgentStore {
  const count = db.prepare('SELECT count(*) AS n FROM sub_agents WHERE root = ? AND expires_at > ?')
  const insert = db.prepare(`
    INSERT INTO sub_agents VALUES ($id, $root, $batch, $expires)
    ON CONFLICT (id) DO UPDATE SET batch = $batch, expires_at = $expires WHERE expires_at <= $now`)
  const end = db.prepare('SELECT expires_at FROM sub_agents WHERE id = ?')
  // From the first name below to the character after the slash.
  const alive = db.prepare(`
    SELECT 1 FROM sub_agents WHERE (id = $id OR (id > $id || '/' AND id < $id || '0')) AND expires_at > $now LIMIT 1`)
  const remove = db.prepare('DELETE FROM sub_agents WHERE expires_at <= ?')

  return {
    register({ id: batch, root, max, now, subAgents }) {
      storing('store', () =>
        // One commit for all: the disk is waited for once.
        transaction(db, () => {
          if (Number(count.get(root, now)?.n) + subAgents.length > max) {
            throw new AimsError('provisioning.too_many_sub_agents', `the agent may have ${max} sub-agents at a time`)
          }
          for (const { spiffeId, keyThumbprint, expiresAt } of subAgents) {
            const { changes } = insert.run({
              $id: spiffeId,
              $root: root,
              $batch: batch,
              $expires: expiresAt,
              $now: now,
            })
            if (Number(changes) !== 1) {
              throw new AimsError('provisioning.subject_taken', 'a sub-agent of this name lives')
            }
            if (!bindings.bindNow({ thumbprint: keyThumbprint, subject: spiffeId, expiresAt, now })) {
              throw new AimsError('credential.key_reuse', 'the key belongs to another subject')
            }
          }
        }),
      )
    },
    endOf(spiffeId) {
      const at = storing('store', () => end.get(spiffeId))?.expires_at
      return at === undefined ? undefined : Number(at)
    },
    isAlive: (spiffeId, now) => storing('store', () => alive.get({ $id: spiffeId, $now: now })) !== undefined,
    purge: (now) => void storing('store', () => remove.run(now)),
  }
}
