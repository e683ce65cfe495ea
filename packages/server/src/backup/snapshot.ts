import { createHash } from 'node:crypto'
import { createReadStream, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Clock, KeyEncryptionKey } from 'aims/base'
import { AuditReader } from 'aims/monitoring'
import type { Configuration } from '../config/settings.ts'
import { openMeta } from '../store/meta.ts'
import { BACKUP_FILES, type BackupManifest, formatManifest, MANIFEST } from './manifest.ts'

/** Pages per step, so that requests are answered in between. */
const RATE = 256

/**
 * Copies store and log of a running server into a new directory, each as it was at one moment: the store first, so that
 * every change in it has its record in the log. The key-encryption key is not copied.
 *
 * @throws what the disk and SQLite report
 */
export async function takeSnapshot(
  directory: string,
  {
    id,
    config,
    wrapping,
    clock,
  }: {
    readonly id: string
    readonly config: Configuration
    readonly wrapping: KeyEncryptionKey
    readonly clock: Clock
  },
): Promise<BackupManifest> {
  const { backup, DatabaseSync } = process.getBuiltinModule('node:sqlite')
  mkdirSync(directory, { recursive: true, mode: 0o700 })
  const sources = BACKUP_FILES.map((name) => {
    const db = new DatabaseSync(join(config.dataDirectory, name), { readOnly: true })
    // The first read fixes what the transaction sees, whatever is written meanwhile. The store's comes first.
    db.exec('BEGIN')
    db.prepare('SELECT count(*) FROM sqlite_schema').get()
    return { name, db }
  })
  try {
    for (const { name, db } of sources) {
      const path = join(directory, name)
      writeFileSync(path, '', { mode: 0o600, flag: 'wx' })
      await backup(db, path, { rate: RATE })
      // One file each: a reader needs no write-ahead log beside it.
      const copy = new DatabaseSync(path)
      copy.exec('PRAGMA journal_mode = DELETE')
      copy.close()
    }
  } finally {
    for (const { db } of sources) db.close()
  }
  const manifest = await describe(directory, id, config, wrapping, clock)
  writeFileSync(join(directory, MANIFEST), formatManifest(manifest, wrapping), { mode: 0o600 })
  return manifest
}

async function describe(
  directory: string,
  id: string,
  config: Configuration,
  wrapping: KeyEncryptionKey,
  clock: Clock,
): Promise<BackupManifest> {
  const { DatabaseSync } = process.getBuiltinModule('node:sqlite')
  using db = new DatabaseSync(join(directory, 'store.sqlite'), { readOnly: true })
  using log = AuditReader.openFile(join(directory, 'log.sqlite'))
  const meta = openMeta(db)
  return {
    format: 1,
    id,
    createdAt: new Date(clock() * 1000).toISOString(),
    trustDomain: config.trustDomain,
    logOrigin: config['log.origin'],
    keyFingerprint: wrapping.fingerprint,
    storeVersion: Number(db.prepare('PRAGMA user_version').get()?.user_version),
    revision: meta.counter('revision'),
    generation: meta.counter('generation'),
    logSize: log.size,
    checkpoint: log.checkpoint(),
    vkey: log.vkey,
    files: {
      'store.sqlite': await hashFile(join(directory, 'store.sqlite')),
      'log.sqlite': await hashFile(join(directory, 'log.sqlite')),
    },
  }
}

/** Lower-case hexadecimal SHA-256 of a file. */
export async function hashFile(path: string): Promise<string> {
  const hash = createHash('sha256')
  for await (const chunk of createReadStream(path)) hash.update(chunk)
  return hash.digest('hex')
}
