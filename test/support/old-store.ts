// Stores as older versions of the program left them, written the way those did: rows, MACs and the seal.
import assert from 'node:assert/strict'
import type { DatabaseSync } from 'node:sqlite'
import { parseTrustDomain } from 'aims/identifiers'
import { entryToJson, parseEntry } from 'aims/provisioning'
import type { KeyEncryptionKey } from '../../packages/aims/src/base/key-encryption-key.ts'
import { openStore, SCHEMA, type SchemaStep } from '../../packages/server/src/store/database.ts'
import { openEntryStore } from '../../packages/server/src/store/entry-store.ts'
import { loadOrCreateLogKey, openKeyStore } from '../../packages/server/src/store/key-store.ts'
import { type Meta, openMeta } from '../../packages/server/src/store/meta.ts'
import { openSeal, type Seal } from '../../packages/server/src/store/seal.ts'

const trustDomain = parseTrustDomain('example.com')

/** Opens a store as a program with these steps does, and its seal. */
export function openSealed(
  path: string,
  key: KeyEncryptionKey,
  steps: readonly SchemaStep[] = SCHEMA,
): { readonly db: DatabaseSync; readonly meta: Meta; readonly seal: Seal } {
  const db = openStore(path, { steps })
  try {
    const meta = openMeta(db)
    return { db, meta, seal: openSeal(db, key, meta) }
  } catch (error) {
    db.close()
    throw error
  }
}

/** Makes a store with so many entries, a retired one, and a key. */
export function fillStore(path: string, key: KeyEncryptionKey, steps: readonly SchemaStep[], entries = 2): void {
  const { db, seal } = openSealed(path, key, steps)
  loadOrCreateLogKey(openKeyStore(db, key, seal), seal, 1_800_000_000)
  const insert = db.prepare('INSERT INTO entries VALUES (?, ?, ?, ?)')
  seal.transaction(() => {
    for (let n = 0; n < entries; n += 1) {
      const spiffeId = `spiffe://example.com/agent/${n}`
      const entry = parseEntry({ id: `e${n}`, spiffeId, selectors: ['unix:uid:1'] }, { trustDomain })
      const body = JSON.stringify(entryToJson(entry))
      seal.row('entries', entry.id, () => insert.run(entry.id, spiffeId, body, key.mac('entry', body)))
    }
    const retire = db.prepare('INSERT INTO retired VALUES (?, ?, ?)')
    seal.row('retired', 'gone', () => retire.run('gone', 'spiffe://example.com/gone', 1_800_000_000))
  })
  db.close()
}

/** Fails unless all of {@link fillStore} is there, under its seal, for a program with these steps. */
export function requireAllThere(
  path: string,
  key: KeyEncryptionKey,
  steps: readonly SchemaStep[] = SCHEMA,
  entries = 2,
): void {
  const { db, meta, seal } = openSealed(path, key, steps)
  try {
    assert.equal(db.prepare('PRAGMA user_version').get()?.user_version, steps.length)
    assert.equal(db.prepare('SELECT count(*) AS n FROM entries').get()?.n, entries)
    assert.equal(db.prepare("SELECT count(*) AS n FROM retired WHERE id = 'gone'").get()?.n, 1)
    assert.equal(openKeyStore(db, key, seal).load().length, 1)
    // This program reads the entries, too.
    if (steps === SCHEMA) assert.equal(openEntryStore(db, { key, meta, seal, trustDomain }).list().length, entries)
  } finally {
    db.close()
  }
}
