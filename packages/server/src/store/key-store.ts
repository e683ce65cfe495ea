import { randomUUID } from 'node:crypto'
import type { DatabaseSync } from 'node:sqlite'
import { AimsError, importPrivateKey, storing, WorkloadKey } from 'aims/base'
import type { KeyEncryptionKey } from '../keys/key-encryption-key.ts'
import type { Seal } from './seal.ts'

/** What a key of the server signs. Each has keys of its own; none signs for two. */
export type KeyPurpose = 'x509-ca' | 'jwt' | 'wit' | 'audit-log'

/**
 * Published before it signs; signing; no longer signing but still needed to check what it signed; the same, and not to be
 * relied on.
 */
export type KeyState = 'prepared' | 'active' | 'retired' | 'tainted'

/** A key of the server with its life. Times are seconds since the epoch. */
export interface StoredKey {
  readonly id: string
  readonly purpose: KeyPurpose
  readonly state: KeyState
  readonly createdAt: number
  /** Prepared keys sign from here on. */
  readonly activateAt: number
  /** It signs no longer than this. */
  readonly expiresAt: number
  /** Retired keys leave the bundle here, when everything they signed has expired. 0 before. */
  readonly dropAt: number
  /** CA certificate, DER. */
  readonly certificate?: Uint8Array
  readonly key: WorkloadKey
}

/** Keys on disk, wrapped. Changes are made inside a transaction of the seal. */
export interface KeyStore {
  load(): readonly StoredKey[]
  insert(key: StoredKey): void
  /** Changes state and times; key and certificate never change. */
  update(key: StoredKey): void
  remove(key: StoredKey): void
}

// Of the form in which keys are stored; goes into the additional data of the wrapping.
const VERSION = 1

/** Opens the keys of the store. {@link KeyStore.load} throws {@link AimsError} `operation.store_damaged`. */
export function openKeyStore(db: DatabaseSync, wrapping: KeyEncryptionKey, seal: Seal): KeyStore {
  const insert = db.prepare('INSERT INTO keys VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)')
  const update = db.prepare('UPDATE keys SET state = ?, activate_at = ?, expires_at = ?, drop_at = ? WHERE id = ?')
  const remove = db.prepare('DELETE FROM keys WHERE id = ?')
  const select = db.prepare('SELECT * FROM keys ORDER BY created_at, id')
  return {
    load: () => storing('store', () => select.all()).map((row) => readRow(row, wrapping)),
    insert({ id, purpose, state, createdAt, activateAt, expiresAt, dropAt, certificate, key }) {
      const secret = key.tlsKey.export({ type: 'pkcs8', format: 'der' })
      const wrapped = wrapping.wrap(secret, { purpose, id, version: VERSION })
      secret.fill(0)
      const times = [createdAt, activateAt, expiresAt, dropAt] as const
      seal.row('keys', id, () => insert.run(id, purpose, state, VERSION, ...times, certificate ?? null, wrapped))
    },
    update({ id, state, activateAt, expiresAt, dropAt }) {
      seal.row('keys', id, () => update.run(state, activateAt, expiresAt, dropAt, id))
    },
    remove: ({ id }) => seal.row('keys', id, () => remove.run(id)),
  }
}

function readRow(row: Readonly<Record<string, unknown>>, wrapping: KeyEncryptionKey): StoredKey {
  const { id, purpose, state, version, certificate, wrapped } = row
  if (typeof id !== 'string' || !isPurpose(purpose) || !isState(state) || !(wrapped instanceof Uint8Array)) {
    throw new AimsError('operation.store_damaged', 'a row of the stored keys is malformed')
  }
  const secret = wrapping.unwrap(wrapped, { purpose, id, version: Number(version) })
  const key = new WorkloadKey(importPrivateKey(secret))
  secret.fill(0)
  return {
    id,
    purpose,
    state,
    createdAt: Number(row.created_at),
    activateAt: Number(row.activate_at),
    expiresAt: Number(row.expires_at),
    dropAt: Number(row.drop_at),
    ...(certificate instanceof Uint8Array ? { certificate } : {}),
    key,
  }
}

function isPurpose(value: unknown): value is KeyPurpose {
  return value === 'x509-ca' || value === 'jwt' || value === 'wit' || value === 'audit-log'
}

function isState(value: unknown): value is KeyState {
  return value === 'prepared' || value === 'active' || value === 'retired' || value === 'tainted'
}

/** The key that signs the log: made at the first start, and the same ever after. */
export function loadOrCreateLogKey(store: KeyStore, seal: Seal, now: number): WorkloadKey {
  const found = store.load().find(({ purpose }) => purpose === 'audit-log')
  if (found !== undefined) return found.key
  const key = WorkloadKey.generate('Ed25519')
  const never = Number.MAX_SAFE_INTEGER
  const life = { createdAt: now, activateAt: now, expiresAt: never, dropAt: 0 }
  seal.transaction(() => store.insert({ id: randomUUID(), purpose: 'audit-log', state: 'active', ...life, key }))
  return key
}
