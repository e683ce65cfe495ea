import { closeSync, existsSync, fsyncSync, openSync } from 'node:fs'
import { dirname } from 'node:path'
import type { DatabaseSync, DatabaseSyncOptions } from 'node:sqlite'
import { AimsError } from './errors.ts'

/** How to open a database file. */
export interface DatabaseOptions {
  /**
   * The steps that make the tables. Step `i` brings version `i` to `i + 1`; the version is kept in `user_version`.
   * Steps are only ever added at the end: files of users have run the old ones.
   */
  readonly schema: readonly string[]
  /** What the file is, for messages, e.g. `audit log`. */
  readonly label: string
  /** Marks the file as ours (`application_id`), so that another program's database is refused. Default: no mark. */
  readonly applicationId?: number
  /** Opens an existing file of exactly this schema version without writing to it. Default false. */
  readonly readOnly?: boolean
  /** How long a statement waits for another connection's lock, in milliseconds. Default 5000. */
  readonly busyTimeout?: number
}

/**
 * Opens a SQLite file so that what is committed stays: write-ahead log, `synchronous=FULL`, mode 0600,
 * and brings its tables to the newest version in one transaction. `:memory:` opens one that is not kept.
 *
 * Does not stop a second process from opening the file: {@link lockFile} does.
 *
 * @throws {@link AimsError} `storage.unwritable`, `storage.foreign`, `storage.newer_version`, `storage.older_version`,
 *   `storage.corrupt`, `storage.busy`, `storage.full`, `storage.io`
 */
export function openDatabase(path: string, options: DatabaseOptions): DatabaseSync {
  const { schema, label, applicationId = 0, readOnly = false, busyTimeout = 5000 } = options
  if (!readOnly) createPrivately(path, label)
  return storing(label, () => {
    const db = connect(path, { readOnly, timeout: busyTimeout, defensive: true })
    try {
      // First of all, and for readers too: views and triggers of somebody else's file get no say.
      db.exec('PRAGMA trusted_schema = OFF')
      requireOurs(db, label, applicationId)
      const version = pragma(db, 'user_version')
      if (version > schema.length) {
        throw new AimsError('storage.newer_version', `${label}: written by a newer version of this program`)
      }
      if (readOnly && version < schema.length) {
        throw new AimsError('storage.older_version', `${label}: written by an older version of this program`)
      }
      if (!readOnly) {
        db.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL')
        if (version < schema.length) migrate(db, schema, applicationId)
      }
      return db
    } catch (error) {
      db.close()
      throw error
    }
  })
}

/**
 * Runs `work` in one transaction: all of it is kept, or nothing. `work` must be synchronous.
 *
 * @throws whatever `work` throws, after rolling back
 */
export function transaction<T>(db: DatabaseSync, work: () => T): T {
  db.exec('BEGIN IMMEDIATE')
  try {
    const result = work()
    db.exec('COMMIT')
    return result
  } catch (error) {
    // A failed COMMIT may have ended the transaction already.
    if (db.isTransaction) db.exec('ROLLBACK')
    throw error
  }
}

/** A lock that lasts until it is released or the process ends, however it ends. */
export interface FileLock {
  /** Releasing twice does nothing. */
  release(): void
}

/**
 * Makes sure that one process at a time, and one owner in it, works on something. `path` is a small file of its own,
 * which stays behind empty; the lock itself is the kernel's and cannot be left over by a process that was killed.
 *
 * @throws {@link AimsError} `storage.locked`, `storage.unwritable`, `storage.io`
 */
export function lockFile(path: string, label: string): FileLock {
  createPrivately(path, label)
  return storing(label, () => {
    const db = connect(path, { timeout: 0 })
    try {
      db.exec('PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE')
    } catch (cause) {
      db.close()
      if (sqliteCode(cause) !== BUSY) throw cause
      throw new AimsError('storage.locked', `${label}: another process is using it`, { cause })
    }
    return {
      release: () => {
        if (db.isOpen) db.close()
      },
    }
  })
}

/**
 * Runs `work` and turns what SQLite and the disk complain about into errors with a code of `storage.*`.
 * Broken constraints and programming errors pass through as they are.
 */
export function storing<T>(label: string, work: () => T): T {
  try {
    return work()
  } catch (cause) {
    const reason = STORAGE_REASONS[sqliteCode(cause)]
    if (reason === undefined) throw cause
    throw new AimsError(reason[0], `${label}: ${reason[1]}`, { cause })
  }
}

const BUSY = 5

// SQLite's primary result codes, https://sqlite.org/rescode.html
const STORAGE_REASONS: { readonly [code: number]: readonly [`storage.${StorageReason}`, string] } = {
  3: ['storage.unwritable', 'no permission'],
  5: ['storage.busy', 'the database is in use'],
  6: ['storage.busy', 'the database is in use'],
  8: ['storage.unwritable', 'the file or its directory is read-only'],
  10: ['storage.io', 'the disk reports an error'],
  11: ['storage.corrupt', 'the database file is damaged'],
  13: ['storage.full', 'the disk is full'],
  14: ['storage.unwritable', 'the file cannot be opened or created'],
  26: ['storage.corrupt', 'the file is not a database'],
}

type StorageReason = 'unwritable' | 'busy' | 'io' | 'corrupt' | 'full'

// The lower byte of an extended result code is the primary one; -1 for errors that are not SQLite's.
function sqliteCode(error: unknown): number {
  if (!(error instanceof Error) || !('errcode' in error)) return -1
  return typeof error.errcode === 'number' ? error.errcode & 0xff : -1
}

// Loaded on first use: who keeps nothing on disk does not pay for SQLite.
function connect(path: string, options: DatabaseSyncOptions): DatabaseSync {
  const { DatabaseSync } = process.getBuiltinModule('node:sqlite')
  return new DatabaseSync(path, options)
}

// SQLite gives its -wal and -shm files the mode of the main file; made by SQLite, that would be 0644.
function createPrivately(path: string, label: string): void {
  if (path === ':memory:' || existsSync(path)) return
  try {
    closeSync(openSync(path, 'ax', 0o600))
    const directory = openSync(dirname(path), 'r')
    fsyncSync(directory)
    closeSync(directory)
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? cause.code : undefined
    if (code === 'EEXIST') return
    const full = code === 'ENOSPC' || code === 'EDQUOT'
    throw new AimsError(full ? 'storage.full' : 'storage.unwritable', `${label}: cannot create ${path}`, { cause })
  }
}

function requireOurs(db: DatabaseSync, label: string, applicationId: number): void {
  const fresh = pragma(db, 'user_version') === 0 && pragma(db, 'application_id') === 0
  const empty = db.prepare('SELECT count(*) AS n FROM sqlite_schema').get()?.n === 0
  const ours = fresh ? empty : pragma(db, 'application_id') === applicationId
  if (!ours) throw new AimsError('storage.foreign', `${label}: the file is a database of something else`)
}

function migrate(db: DatabaseSync, schema: readonly string[], applicationId: number): void {
  transaction(db, () => {
    // Read again: another process may have migrated while this one waited for the lock.
    for (const step of schema.slice(pragma(db, 'user_version'))) db.exec(step)
    db.exec(`PRAGMA application_id = ${applicationId}; PRAGMA user_version = ${schema.length}`)
  })
}

function pragma(db: DatabaseSync, name: 'user_version' | 'application_id'): number {
  return Number(db.prepare(`PRAGMA ${name}`).get()?.[name])
}
