import { existsSync } from 'node:fs'
import type { DatabaseSync } from 'node:sqlite'
import { AimsError, type Clock } from 'aims/base'
import { AuditLog } from 'aims/monitoring'
import type { Configuration } from './config/settings.ts'
import type { DataDirectory } from './data-directory.ts'
import { createKeyEncryptionKey, type KeyEncryptionKey, readKeyEncryptionKey } from './keys/key-encryption-key.ts'
import { type ConfiguredManager, configuredManager } from './keys/managers/configured.ts'
import { openStore } from './store/database.ts'
import { type KeyStore, loadOrCreateLogKey, openKeyStore } from './store/key-store.ts'
import { type Meta, openMeta, requireUnchanged } from './store/meta.ts'
import { openSeal, type Seal } from './store/seal.ts'

/** Everything a server keeps on disk, open and found to belong together. */
export interface Storage {
  readonly db: DatabaseSync
  readonly meta: Meta
  readonly keys: KeyStore
  readonly wrapping: KeyEncryptionKey
  readonly seal: Seal
  readonly log: AuditLog
  readonly keyManager: ConfiguredManager | undefined
  close(): void
}

const STORE = 'store.sqlite'
const LOG = 'log.sqlite'
/** Seconds that the clock may be behind the last record. */
const MAX_STEP_BACK = 60

/**
 * Opens store and log in a data directory, and makes them at the first start.
 *
 * @throws {@link AimsError} `operation.key_file_*`, `operation.store_damaged`, `operation.config_invalid` (another trust
 *   domain or log origin), `operation.clock_went_back`, `storage.*`, `audit.*`
 */
export function openStorage(data: DataDirectory, config: Configuration, clock: Clock): Storage {
  const wrapping = openWrappingKey(data, config.keyEncryptionKeyFile)
  const db = openStore(data.file(STORE))
  let log: AuditLog | undefined
  try {
    const meta = openMeta(db)
    requireSameKey(meta, wrapping)
    requireUnchanged(meta, 'trust_domain', config.trustDomain, 'trustDomain')
    requireUnchanged(meta, 'log_origin', config['log.origin'], 'log.origin')
    const seal = openSeal(db, wrapping, meta)
    const keyManager = configuredManager(config['keys.manager'])
    const keys = openKeyStore(db, wrapping, seal, keyManager)
    const signer = loadOrCreateLogKey(keys, seal, clock())
    log = AuditLog.open({ path: data.file(LOG), origin: config['log.origin'], signer, clock })
    requireForwardClock(log, clock)
    const opened = log
    const close = (): void => {
      // Its session ends with the process at the latest.
      void keyManager?.manager.close().catch(() => undefined)
      opened.close()
      db.close()
    }
    return { db, meta, keys, wrapping, seal, log, keyManager, close }
  } catch (error) {
    log?.close()
    db.close()
    throw error
  }
}

function openWrappingKey(data: DataDirectory, file: string): KeyEncryptionKey {
  const found = readKeyEncryptionKey(file)
  if (found !== undefined) return found
  // A new key would not open the keys that are there.
  if (existsSync(data.file(STORE))) throw new AimsError('operation.key_file_missing', `${file}: no such file`)
  return createKeyEncryptionKey(file)
}

function requireSameKey(meta: Meta, { fingerprint }: KeyEncryptionKey): void {
  const kept = meta.get('key_encryption_key')
  if (kept === undefined) meta.set('key_encryption_key', fingerprint)
  else if (kept !== fingerprint) {
    throw new AimsError('operation.key_file_wrong', 'the stored keys were wrapped with another key-encryption key')
  }
}

// A clock that is behind would issue credentials that look old, and records out of order.
function requireForwardClock(log: AuditLog, clock: Clock): void {
  const last = log.read(log.size - 1, log.size).at(-1)
  if (last === undefined) return
  const behind = Date.parse(last.record.time) / 1000 - clock()
  if (behind > MAX_STEP_BACK) {
    throw new AimsError('operation.clock_went_back', `the clock is ${Math.round(behind)} s behind the last record`)
  }
}
