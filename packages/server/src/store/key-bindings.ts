import type { DatabaseSync } from 'node:sqlite'
import { AimsError, importVerificationKey, parseJsonObject, storing } from 'aims/base'
import type { ConfirmationKey, ConfirmationRegistry, KeyBindings } from 'aims/provisioning'

/** Most bindings kept at once: about 150 MB. Beyond it nothing is issued rather than unchecked. */
const MAX_BINDINGS = 1_000_000

/** Remembers whose key is whose, as long as a credential for it can be valid. */
export interface StoredKeyBindings extends KeyBindings, ConfirmationRegistry {
  /** The key registered for a subject under `kid`, its thumbprint, when it has not expired. */
  find(subject: string, kid: string, now: number): string | undefined
  /** As `bind`, at once: inside a transaction of somebody else. */
  bindNow(binding: Parameters<KeyBindings['bind']>[0]): boolean
  /** Forgets what has expired. */
  purge(now: number): void
}

/** Key bindings and `aims-00` confirmation keys in the store. */
export function openKeyBindings(db: DatabaseSync): StoredKeyBindings {
  // One statement decides and writes: two requests at once cannot both win.
  const bind = db.prepare(`
    INSERT INTO key_bindings VALUES ($thumbprint, $subject, $expires)
    ON CONFLICT (thumbprint) DO UPDATE SET subject = $subject, expires_at = max(expires_at, $expires)
    WHERE subject = $subject OR expires_at <= $now`)
  const register = db.prepare(`
    INSERT INTO confirmation_keys VALUES ($subject, $kid, $jwk, $expires)
    ON CONFLICT (subject, kid) DO UPDATE SET jwk = $jwk, expires_at = max(expires_at, $expires)`)
  const find = db.prepare('SELECT jwk FROM confirmation_keys WHERE subject = ? AND kid = ? AND expires_at > ?')
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
    bind: async (binding) => bindNow(binding),
    bindNow,
    async register({ subject, kid, jwk, expiresAt }: ConfirmationKey) {
      storing('store', () =>
        register.run({ $subject: subject, $kid: kid, $jwk: JSON.stringify(jwk), $expires: expiresAt }),
      )
    },
    find(subject, kid, now) {
      const jwk = find.get(subject, kid, now)?.jwk
      // The thumbprint is the name: under it, another key is nobody's.
      return typeof jwk === 'string' && thumbprintOf(jwk) === kid ? jwk : undefined
    },
    purge(now) {
      db.prepare('DELETE FROM key_bindings WHERE expires_at <= ?').run(now)
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
