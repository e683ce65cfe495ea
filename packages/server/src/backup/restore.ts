import { randomUUID } from 'node:crypto'
import {
  chmodSync,
  closeSync,
  copyFileSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
} from 'node:fs'
import { basename, dirname, join } from 'node:path'
import {
  AimsError,
  type AuditEvent,
  type Clock,
  type KeyEncryptionKey,
  readKeyEncryptionKey,
  systemClock,
} from 'aims/base'
import { AuditLog } from 'aims/monitoring'
import type { Configuration } from '../config/settings.ts'
import { openDataDirectory } from '../data-directory.ts'
import { acceptedEvents } from '../rollback/guard.ts'
import { type Remembered, readRollbackMemory, type Withdrawal, writeRollbackMemory } from '../rollback/memory.ts'
import { LOG_FILE, RESTORING, STORE_FILE } from '../storage.ts'
import { openStore, SCHEMA } from '../store/database.ts'
import { readLogKey } from '../store/key-store.ts'
import { openMeta } from '../store/meta.ts'
import { openSeal } from '../store/seal.ts'
import { checkBackup } from './check.ts'
import { BACKUP_FILES, type BackupManifest, MANIFEST } from './manifest.ts'

/** What was put in place. */
export interface Restored {
  readonly manifest: BackupManifest
  /** What was withdrawn after the backup, as far as it is remembered: the restored store does not know it. */
  readonly lost: readonly Withdrawal[]
}

/** How to restore. */
export interface RestoreOptions {
  /** Directory of the backup. */
  readonly from: string
  /** The backup is older than what is remembered of this server, and right all the same. Default: refused. */
  readonly acceptRollback?: boolean
  readonly clock?: Clock
}

/**
 * Puts a backup into an empty data directory. All of it is checked first, on the copy that is then used; a server does not
 * start on a directory where this was interrupted, and doing it again goes on from the beginning. The log says what came from where.
 *
 * @throws {@link AimsError} those of `checkBackup`, `operation.data_directory_not_empty`, `operation.backup_foreign`,
 *   `operation.key_file_missing`, `operation.store_rolled_back`, `operation.rollback_memory_invalid`, `storage.locked`
 */
export async function restoreBackup(
  config: Configuration,
  { from, acceptRollback = false, clock = systemClock }: RestoreOptions,
): Promise<Restored> {
  const key = readKeyEncryptionKey(config.keyEncryptionKeyFile)
  if (key === undefined) {
    throw new AimsError(
      'operation.key_file_missing',
      `${config.keyEncryptionKeyFile}: no such file; it is in no backup`,
    )
  }
  const data = openDataDirectory(config.dataDirectory)
  try {
    makeRoom(config)
    const staging = data.file(RESTORING)
    mkdirSync(staging, { mode: 0o700 })
    try {
      return await restore(config, key, { from, acceptRollback, clock, staging })
    } catch (error) {
      // Nothing of it is in use yet; what was moved already is taken away by the next attempt.
      if (!isMoved(config)) rmSync(staging, { recursive: true, force: true })
      throw error
    }
  } finally {
    data.release()
  }
}

async function restore(
  config: Configuration,
  key: KeyEncryptionKey,
  { from, acceptRollback, clock, staging }: Required<RestoreOptions> & { readonly staging: string },
): Promise<Restored> {
  for (const name of [...BACKUP_FILES, MANIFEST]) copy(join(from, name), join(staging, name))
  const { manifest } = await checkBackup(staging, { key })
  if (manifest.trustDomain !== config.trustDomain || manifest.logOrigin !== config['log.origin']) {
    throw new AimsError('operation.backup_foreign', `the backup is one of ${manifest.trustDomain}`)
  }
  const file = config['rollback.file']
  const seen = readRollbackMemory(file, key)
  if (seen !== undefined && seen.trustDomain !== config.trustDomain) {
    throw new AimsError('operation.rollback_memory_invalid', `${file}: is about another trust domain`)
  }
  const problem = await findRollback(staging, manifest, seen)
  if (problem !== undefined && !acceptRollback) throw problem
  const lost = problem === undefined ? [] : (seen?.withdrawals ?? []).filter(({ index }) => index >= manifest.logSize)

  const events =
    problem === undefined
      ? []
      : acceptedEvents([problem], { seen, size: manifest.logSize, trustDomain: config.trustDomain, lost })
  await recordInto(staging, key, config, clock, [restoredEvent(manifest), ...events])
  const next: Remembered = {
    trustDomain: config.trustDomain,
    checkpoint: manifest.checkpoint,
    revision: manifest.revision,
    generation: manifest.generation,
    withdrawals: (seen?.withdrawals ?? []).filter((one) => !lost.includes(one)),
  }
  // Not lowered before the backup is in place, or a second attempt would not know what was lost.
  if (problem === undefined) writeRollbackMemory(file, key, next)
  for (const name of [LOG_FILE, STORE_FILE]) {
    sync(join(staging, name))
    renameSync(join(staging, name), join(config.dataDirectory, name))
  }
  if (problem !== undefined) writeRollbackMemory(file, key, next)
  sync(config.dataDirectory)
  rmSync(staging, { recursive: true })
  sync(config.dataDirectory)
  return { manifest, lost }
}

// Of what is there only the key and what belongs to it may stay, and the remains of a restore that was interrupted go.
function makeRoom({ dataDirectory, keyEncryptionKeyFile, 'rollback.file': memory }: Configuration): void {
  const own = [keyEncryptionKeyFile, memory]
    .filter((path) => dirname(path) === dataDirectory)
    .map((path) => basename(path))
  const found = readdirSync(dataDirectory)
  const remains = found.includes(RESTORING) ? [RESTORING, STORE_FILE, LOG_FILE] : []
  const others = found.filter((name) => ![...own, ...remains, 'lock'].includes(name))
  if (others.length > 0) {
    throw new AimsError('operation.data_directory_not_empty', `${dataDirectory}: holds ${others.length} things already`)
  }
  // The mark goes last.
  for (const name of [...remains].reverse()) rmSync(join(dataDirectory, name), { recursive: true, force: true })
}

function isMoved({ dataDirectory }: Configuration): boolean {
  return readdirSync(dataDirectory).includes(LOG_FILE)
}

async function findRollback(
  staging: string,
  manifest: BackupManifest,
  seen: Remembered | undefined,
): Promise<AimsError | undefined> {
  if (seen === undefined) return undefined
  if (seen.generation > manifest.generation || seen.revision > manifest.revision) {
    return new AimsError('operation.store_rolled_back', 'the backup is older than what is remembered of this server')
  }
  try {
    await checkBackup(staging, { remembered: [seen.checkpoint] })
    return undefined
  } catch (error) {
    if (AimsError.is(error) && (error.code === 'audit.rolled_back' || error.code === 'audit.forked')) return error
    throw error
  }
}

async function recordInto(
  staging: string,
  key: KeyEncryptionKey,
  config: Configuration,
  clock: Clock,
  events: readonly AuditEvent[],
): Promise<void> {
  using db = openStore(join(staging, STORE_FILE), { steps: SCHEMA })
  const signer = readLogKey(db, key)
  const meta = openMeta(db)
  // Partners and agents refuse a bundle that is older than one they have seen, and this one is right.
  openSeal(db, key, meta).transaction(() => meta.overtake(clock()))
  const log = AuditLog.open({ path: join(staging, LOG_FILE), origin: config['log.origin'], signer, clock })
  try {
    for (const event of events) await log.record(event)
  } finally {
    log.close()
  }
}

function restoredEvent({ id, createdAt, trustDomain, logSize }: BackupManifest): AuditEvent {
  return {
    type: 'operation.restored',
    resource: { type: 'server', id: trustDomain },
    action: 'restore',
    decision: 'none',
    correlationId: randomUUID(),
    details: { backup: id, createdAt, size: logSize },
  }
}

function copy(from: string, to: string): void {
  try {
    if (!statSync(from).isFile()) throw new Error('not a file')
    copyFileSync(from, to)
    // Whatever it was where the backup was kept.
    chmodSync(to, 0o600)
  } catch (cause) {
    throw new AimsError('operation.backup_invalid', `${from}: cannot be read`, { cause })
  }
}

function sync(path: string): void {
  const fd = openSync(path, 'r')
  fsyncSync(fd)
  closeSync(fd)
}
