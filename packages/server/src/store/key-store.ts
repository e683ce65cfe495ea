import { createPublicKey, randomUUID } from 'node:crypto'
import type { DatabaseSync } from 'node:sqlite'
import {
  AimsError,
  importPrivateKey,
  isJsonObject,
  type JsonObject,
  type JsonValue,
  type KeyEncryptionKey,
  parseJson,
  spkiBytes,
  storing,
  WorkloadKey,
} from 'aims/base'
import { splitDerChain } from 'aims/credentials'
import type { ConfiguredManager } from '../keys/managers/configured.ts'
import { type ManagedSigner, managedSigner } from '../keys/managers/key-manager.ts'
import type { Seal } from './seal.ts'

/** What a key of the server signs. Each has keys of its own; none signs for two. */
export type KeyPurpose = 'x509-ca' | 'jwt' | 'wit' | 'audit-log'

/**
 * Published before it signs; signing; no longer signing but still needed to check what it signed; the same, and not to be
 * relied on.
 */
export type KeyState = 'prepared' | 'active' | 'retired' | 'tainted'

/** A key here, or in a key manager. */
export type AuthorityKey = WorkloadKey | ManagedSigner

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
  /** CA certificates above it, DER, nearest first, the root last. Absent: it is a root. */
  readonly chain?: readonly Uint8Array[]
  readonly key: AuthorityKey
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
// The same for the place of a key in a key manager.
const MANAGED = 2

/**
 * Opens the keys of the store. {@link KeyStore.load} throws {@link AimsError} `operation.store_damaged`, and
 * `operation.key_manager_missing` when a key is in a manager other than `managed`.
 */
export function openKeyStore(
  db: DatabaseSync,
  wrapping: KeyEncryptionKey,
  seal: Seal,
  managed?: ConfiguredManager,
): KeyStore {
  const insert = db.prepare('INSERT INTO keys VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)')
  const update = db.prepare('UPDATE keys SET state = ?, activate_at = ?, expires_at = ?, drop_at = ? WHERE id = ?')
  const remove = db.prepare('DELETE FROM keys WHERE id = ?')
  const select = db.prepare('SELECT * FROM keys ORDER BY created_at, id')
  return {
    load: () => storing('store', () => select.all()).map((row) => readRow(row, wrapping, managed)),
    insert({ id, purpose, state, createdAt, activateAt, expiresAt, dropAt, certificate, chain = [], key }) {
      const version = key instanceof WorkloadKey ? VERSION : MANAGED
      const secret = key instanceof WorkloadKey ? key.tlsKey.export({ type: 'pkcs8', format: 'der' }) : placeOf(key)
      const wrapped = wrapping.wrap(secret, { purpose, id, version })
      secret.fill(0)
      const times = [createdAt, activateAt, expiresAt, dropAt] as const
      seal.row('keys', id, () =>
        insert.run(
          id,
          purpose,
          state,
          version,
          ...times,
          certificate === undefined ? null : Buffer.concat([certificate, ...chain]),
          wrapped,
        ),
      )
    },
    update({ id, state, activateAt, expiresAt, dropAt }) {
      seal.row('keys', id, () => update.run(state, activateAt, expiresAt, dropAt, id))
    },
    remove: ({ id }) => seal.row('keys', id, () => remove.run(id)),
  }
}

function readRow(
  row: Readonly<Record<string, unknown>>,
  wrapping: KeyEncryptionKey,
  managed: ConfiguredManager | undefined,
): StoredKey {
  const { id, purpose, state, version, certificate, wrapped } = row
  if (typeof id !== 'string' || !isPurpose(purpose) || !isState(state) || !(wrapped instanceof Uint8Array)) {
    throw new AimsError('operation.store_damaged', 'a row of the stored keys is malformed')
  }
  const secret = wrapping.unwrap(wrapped, { purpose, id, version: Number(version) })
  const key = version === MANAGED ? readPlace(secret, managed) : new WorkloadKey(importPrivateKey(secret))
  secret.fill(0)
  return {
    id,
    purpose,
    state,
    createdAt: Number(row.created_at),
    activateAt: Number(row.activate_at),
    expiresAt: Number(row.expires_at),
    dropAt: Number(row.drop_at),
    ...(certificate instanceof Uint8Array ? readChain(certificate) : {}),
    key,
  }
}

function readChain(concatenated: Uint8Array): Pick<StoredKey, 'certificate' | 'chain'> {
  const [certificate, ...chain] = splitDerChain(concatenated)
  if (certificate === undefined) throw new AimsError('operation.store_damaged', 'a stored certificate is empty')
  return chain.length === 0 ? { certificate } : { certificate, chain }
}

// Where a key in a manager is found, and what it must be.
function placeOf({ manager, reference, alg, publicKey }: ManagedSigner): Buffer {
  return Buffer.from(JSON.stringify({ manager, reference, alg, spki: spkiBytes(publicKey).toString('base64') }))
}

function readPlace(place: Buffer, managed: ConfiguredManager | undefined): ManagedSigner {
  const { manager, reference, alg, spki } = requireObject(parseJson(place.toString()))
  if (typeof reference !== 'string' || typeof spki !== 'string' || (alg !== 'ES256' && alg !== 'ES384')) {
    throw new AimsError('operation.store_damaged', 'the place of a stored key is malformed')
  }
  if (managed === undefined || managed.manager.name !== manager) {
    throw new AimsError('operation.key_manager_missing', '"keys.manager": a stored key is in a manager that is not set')
  }
  const publicKey = createPublicKey({ key: Buffer.from(spki, 'base64'), format: 'der', type: 'spki' })
  return managedSigner(managed.manager, { reference, publicKey }, { alg, timeout: managed.timeout })
}

function requireObject(value: JsonValue): JsonObject {
  if (isJsonObject(value)) return value
  throw new AimsError('operation.store_damaged', 'the place of a stored key is malformed')
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
  if (found?.key instanceof WorkloadKey) return found.key
  if (found !== undefined) throw new AimsError('operation.store_damaged', 'the key of the log is not in the store')
  const key = WorkloadKey.generate('Ed25519')
  const never = Number.MAX_SAFE_INTEGER
  const life = { createdAt: now, activateAt: now, expiresAt: never, dropAt: 0 }
  seal.transaction(() => store.insert({ id: randomUUID(), purpose: 'audit-log', state: 'active', ...life, key }))
  return key
}

/**
 * The key that signs the log, of a store whose other keys may be in a key manager that is not at hand.
 *
 * @throws {@link AimsError} `operation.store_damaged`
 */
export function readLogKey(db: DatabaseSync, wrapping: KeyEncryptionKey): WorkloadKey {
  const row = storing('store', () => db.prepare("SELECT * FROM keys WHERE purpose = 'audit-log'").get())
  const key = row === undefined ? undefined : readRow(row, wrapping, undefined).key
  if (!(key instanceof WorkloadKey))
    throw new AimsError('operation.store_damaged', 'the key of the log is not in the store')
  return key
}
