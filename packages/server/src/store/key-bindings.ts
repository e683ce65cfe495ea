import type { DatabaseSync } from 'node:sqlite'
import { AimsError, importVerificationKey, parseJsonObject, storing } from 'aims/base'
import type { ConfirmationKey, ConfirmationRegistry, KeyBindings } from 'aims/provisioning'
import { groupCommit } from './group-commit.ts'

/** Most bindings kept at once: about 150 MB. Beyond it nothing is issued rather than unchecked. */
const MAX_BINDINGS = 1_000_000
/**
 * Of them, how many one subject may have: whoever has its credentials issued, such as one agent on another host, must not use
 * up what all need. Sub-agents are counted by the limits of their agent.
 */
const MAX_OF_ONE = 50_000

/** Remembers whose key is whose, as long as a credential for it can be valid. */
export interface StoredKeyBindings extends KeyBindings, ConfirmationRegistry {
  /** The key registered for a subject under `kid`, its thumbprint, when it has not expired. */
  find(subject: string, kid: string, now: number): string | undefined
  /** As `bind`, at once: inside a transaction of somebody else. */
  bindNow(binding: Parameters<KeyBindings['bind']>[0]): boolean
  /** Forgets what has expired. */
  purge(now: number): void
}

/**
 * Key bindings and `aims-00` confirmation keys in the store. Those that are asked for in one turn of the event loop share
 * a commit. `maxOfOne`: keys that one subject may have at a time.
 */
export function openKeyBindings(
  db: DatabaseSync,
  { maxOfOne = MAX_OF_ONE }: { readonly maxOfOne?: number } = {},
): StoredKeyBindings {
  // One statement decides and writes: two requests at once cannot both win.
  const bind = db.prepare(`
    INSERT INTO key_bindings VALUES ($thumbprint, $subject, $expires)
    ON CONFLICT (thumbprint) DO UPDATE SET subject = $subject, expires_at = max(expires_at, $expires)
    WHERE subject = $subject OR expires_at <= $now`)
  const register = db.prepare(`
    INSERT INTO confirmation_keys VALUES ($subject, $kid, $jwk, $expires)
    ON CONFLICT (subject, kid) DO UPDATE SET jwk = $jwk, expires_at = max(expires_at, $expires)`)
  const find = db.prepare('SELECT jwk FROM confirmation_keys WHERE subject = ? AND kid = ? AND expires_at > ?')
  const owner = db.prepare('SELECT subject, expires_at FROM key_bindings WHERE thumbprint = ?')
  const together = groupCommit(db)
  const expire = db.prepare('DELETE FROM key_bindings WHERE expires_at <= ? RETURNING subject')
  const held = new Map<string, number>()
  for (const row of db.prepare('SELECT subject, count(*) AS n FROM key_bindings GROUP BY subject').all()) {
    held.set(String(row.subject), Number(row.n))
  }
  const change = (subject: string, by: number): void => {
    const left = (held.get(subject) ?? 0) + by
    if (left > 0) held.set(subject, left)
    else held.delete(subject)
  }
  let count = Number(db.prepare('SELECT count(*) AS n FROM key_bindings').get()?.n)

  const bindNow: StoredKeyBindings['bindNow'] = ({ thumbprint, subject, expiresAt, now }) => {
    if (count >= MAX_BINDINGS) throw new AimsError('storage.full', 'too many key bindings')
    const { changes } = storing('store', () =>
      bind.run({ $thumbprint: thumbprint, $subject: subject, $expires: expiresAt, $now: now }),
    )
    // An upper bound: a renewed binding counts again until the next purge.
    count += Number(changes)
    return Number(changes) === 1
  }

  return {
    async bind(binding) {
      const { thumbprint, subject, expiresAt } = binding
      const known = storing('store', () => owner.get(thumbprint))
      // Two credentials for one key: what the first one wrote is enough for the one that ends earlier.
      if (known?.subject === subject && Number(known.expires_at) >= expiresAt) return true
      let undo = (): void => undefined
      const work = (): boolean => {
        const before = owner.get(thumbprint)?.subject
        if (before !== subject && (held.get(subject) ?? 0) >= maxOfOne) {
          throw new AimsError(
            'operation.busy',
            'the subject has too many keys at a time: they count until their credentials end',
          )
        }
        const isBound = bindNow(binding)
        if (isBound && before !== subject) {
          change(subject, 1)
          if (before !== undefined) change(String(before), -1)
          undo = () => {
            change(subject, -1)
            if (before !== undefined) change(String(before), 1)
          }
        }
        return isBound
      }
      try {
        return await together(work)
      } catch (error) {
        undo()
        throw error
      }
    },
    bindNow,
    register({ subject, kid, jwk, expiresAt }: ConfirmationKey) {
      return together(() => {
        register.run({ $subject: subject, $kid: kid, $jwk: JSON.stringify(jwk), $expires: expiresAt })
      })
    },
    find(subject, kid, now) {
      const jwk = find.get(subject, kid, now)?.jwk
      // The thumbprint is the name: under it, another key is nobody's.
      return typeof jwk === 'string' && thumbprintOf(jwk) === kid ? jwk : undefined
    },
    purge(now) {
      for (const { subject } of expire.all(now)) change(String(subject), -1)
      db.prepare('DELETE FROM confirmation_keys WHERE expires_at <= ?').run(now)
      count = Number(db.prepare('SELECT count(*) AS n FROM key_bindings').get()?.n)
    },
  }
}

function thumbprintOf(jwk: string): string | undefined {
  try {
    return importVerificationKey(parseJsonObject(jwk)).thumbprint
  } catch (error) {
    if (!AimsError.is(error)) throw error
    return undefined
  }
}
