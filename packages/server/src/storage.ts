import { existsSync } from 'node:fs'
import type { DatabaseSync } from 'node:sqlite'
import { AimsError, type Clock, createKeyEncryptionKey, type KeyEncryptionKey, readKeyEncryptionKey } from 'aims/base'
import { AuditLog } from 'aims/monitoring'
import type { Configuration } from './config/settings.ts'
import type { DataDirectory } from './data-directory.ts'
import { type ConfiguredManager, configuredManager } from './keys/managers/configured.ts'
import { openRollbackGuard, type RollbackGuard } from './rollback/guard.ts'
import { openStore } from './store/database.ts'
import { type KeyStore, loadOrCreateLogKey, openKeyStore } from './store/key-store.ts'
import { type Meta, openMeta, requireUnchanged } from './store/meta.ts'
import { type NeighbourStore, openNeighbours } from './store/neighbours.ts'
import { openSeal, type Seal } from './store/seal.ts'

/** What an operator says about the data. */
export interface StorageOptions {
  /** An older store or log than the one remembered is right. Default false. */
  readonly acceptOlderStore?: boolean
}

/** Everything a server keeps on disk, open and found to belong together. */
export interface Storage {
  readonly db: DatabaseSync
  readonly meta: Meta
  readonly keys: KeyStore
  readonly wrapping: KeyEncryptionKey
  readonly seal: Seal
  readonly log: AuditLog
  readonly neighbours: NeighbourStore
  readonly keyManager: ConfiguredManager | undefined
  readonly rollback: RollbackGuard
  /** @param options.remember - Whether the last state is remembered. Default true. */
  close(options?: { readonly remember?: boolean }): void
}

/** Names in the data directory. */
export const STORE_FILE = 'store.sqlite'
export const LOG_FILE = 'log.sqlite'
/** Is there while a restore is under way, or was interrupted. */
export const RESTORING = 'restoring'
/** Seconds that the clock may be behind the last record. */
const MAX_STEP_BACK = 60

/**
 * Opens store and log in a data directory, and makes them at the first start.
 *
 * @throws {@link AimsError} `operation.key_file_*`, `operation.store_damaged`, `operation.config_invalid` (another trust
 *   domain or log origin), `operation.clock_went_back`, `operation.restore_unfinished`, `operation.store_rolled_back`,
 *   `operation.rollback_*`, `storage.*`, `audit.*`
 */
export function openStorage(
  data: DataDirectory,
  config: Configuration,
  clock: Clock,
  { acceptOlderStore = false }: StorageOptions = {},
): Storage {
  if (existsSync(data.file(RESTORING))) {
    throw new AimsError('operation.restore_unfinished', `${data.path}: a restore has not come to its end`)
  }
  const wrapping = openWrappingKey(data, config.keyEncryptionKeyFile)
  const db = openStore(data.file(STORE_FILE))
  let log: AuditLog | undefined
  try {
    const meta = openMeta(db)
    requireSameKey(meta, wrapping)
    requireUnchanged(meta, 'trust_domain', config.trustDomain, 'trustDomain')
    requireUnchanged(meta, 'log_origin', config['log.origin'], 'log.origin')
    const seal = openSeal(db, wrapping, meta)
    const keyManager = configuredManager(config['keys.manager'], config.trustDomain)
    const keys = openKeyStore(db, wrapping, seal, keyManager)
    const rollback = openRollbackGuard({
      file: config['rollback.file'],
      key: wrapping,
      trustDomain: config.trustDomain,
      meta,
      seal,
      db,
      clock,
      accept: acceptOlderStore,
    })
    const signer = loadOrCreateLogKey(keys, seal, clock())
    const settings = { path: data.file(LOG_FILE), origin: config['log.origin'], signer, clock }
    const opened = rollback.openLog((remembered) =>
      AuditLog.open({ ...settings, ...(remembered === undefined ? {} : { remembered }) }),
    )
    log = opened
    requireForwardClock(log, clock)
    const close: Storage['close'] = ({ remember = true } = {}) => {
      // Its session ends with the process at the latest.
      void keyManager?.manager.close().catch(() => undefined)
      if (remember) rollback.close()
      opened.close()
      db.close()
    }
    const neighbours = openNeighbours(db, seal, config.trustDomain)
    return { db, meta, keys, neighbours, wrapping, seal, log, keyManager, rollback, close }
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
  if (existsSync(data.file(STORE_FILE))) throw new AimsError('operation.key_file_missing', `${file}: no such file`)
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
    const at = new Date((clock() + behind - MAX_STEP_BACK) * 1000).toISOString()
    const facts = `the clock is ${Math.round(behind)} s behind the last record`
    throw new AimsError('operation.clock_went_back', `${facts}: set it right, or wait: from ${at} on the server starts`)
  }
}
