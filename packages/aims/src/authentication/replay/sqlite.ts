import { sha256 } from '../../base/bytes.ts'
import { AimsError } from '../../base/errors.ts'
import { openDatabase, storing } from '../../base/sqlite.ts'
import type { ReplayStore } from './replay-store.ts'

/** A replay store in a file. */
export interface SqliteReplayStore extends ReplayStore {
  consume(key: string, expiresAt: number, now: number): boolean
  isFresh(key: string, expiresAt: number, now: number): boolean
  close(): void
}

/** How patient a replay store in a file is. */
export interface SqliteReplayStoreOptions {
  /**
   * How long `consume` waits, and the thread with it, for another process that is writing, in milliseconds. After that
   * the request is refused. Default 2000.
   */
  readonly busyTimeout?: number
}

const SCHEMA = [
  `CREATE TABLE used (key BLOB PRIMARY KEY, expires_at INTEGER NOT NULL) STRICT, WITHOUT ROWID;
   CREATE INDEX used_by_expiry ON used (expires_at);
   CREATE TABLE forgotten (until INTEGER NOT NULL) STRICT;
   INSERT INTO forgotten VALUES (0)`,
]
const APPLICATION_ID = 0x61696d72
const LABEL = 'replay store'
const SWEEP_EVERY = 30

/**
 * Opens a replay store in a SQLite file: it survives restarts, and processes of one machine share it.
 * A key is on disk before `consume` answers, which costs about as much as the disk needs for one write.
 *
 * Does not grow beyond what can still be replayed: expired keys are deleted while it is used.
 *
 * @throws {@link AimsError} `storage.*` when the file cannot be opened
 */
export function openSqliteReplayStore(path: string, options: SqliteReplayStoreOptions = {}): SqliteReplayStore {
  const { busyTimeout = 2000 } = options
  if (!Number.isSafeInteger(busyTimeout) || busyTimeout < 0)
    throw new TypeError('busyTimeout is a number of milliseconds')
  const db = openDatabase(path, { schema: SCHEMA, label: LABEL, applicationId: APPLICATION_ID })
  db.exec('PRAGMA busy_timeout = 0')
  const insert = db.prepare(
    `INSERT INTO used (key, expires_at) SELECT $key, $expiresAt WHERE $expiresAt > (SELECT until FROM forgotten)
     ON CONFLICT (key) DO UPDATE SET expires_at = excluded.expires_at WHERE used.expires_at < $now`,
  )
  const forgotten = db.prepare('SELECT until FROM forgotten')
  const find = db.prepare('SELECT 1 FROM used WHERE key = $key AND expires_at >= $now')
  const remember = db.prepare(
    'UPDATE forgotten SET until = max(until, coalesce((SELECT max(expires_at) FROM used WHERE expires_at < $now), 0))',
  )
  const forget = db.prepare('DELETE FROM used WHERE expires_at < $now')
  let sweptAt = Number.NEGATIVE_INFINITY

  // In this order, so that a crash in between forgets nothing unnoticed.
  const sweep = (now: number): void => {
    remember.run({ now })
    forget.run({ now })
    sweptAt = now
  }
  // After a clock jumped ahead and back, keys that were forgotten meanwhile would look new.
  const requireRemembered = (expiresAt: number): void => {
    if (Number(forgotten.get()?.until) >= expiresAt) {
      throw new AimsError('proof.replay_store_unavailable', 'the replay store has already forgotten that time')
    }
  }
  return {
    consume(key, expiresAt, now) {
      return answering(busyTimeout, () => {
        if (Math.abs(now - sweptAt) >= SWEEP_EVERY) sweep(now)
        const row = { key: sha256(key), expiresAt: Math.ceil(expiresAt), now }
        if (insert.run(row).changes === 1) return true
        requireRemembered(row.expiresAt)
        return false
      })
    },
    isFresh(key, expiresAt, now) {
      return answering(busyTimeout, () => {
        if (find.get({ key: sha256(key), now }) !== undefined) return false
        requireRemembered(Math.ceil(expiresAt))
        return true
      })
    },
    close: () => db.close(),
  }
}

function answering<T>(busyTimeout: number, work: () => T): T {
  try {
    return whenFree(busyTimeout, () => storing(LABEL, work))
  } catch (cause) {
    if (!AimsError.is(cause) || !cause.code.startsWith('storage.')) throw cause
    const isFull = cause.code === 'storage.full'
    throw new AimsError(
      isFull ? 'proof.replay_store_full' : 'proof.replay_store_unavailable',
      isFull ? 'the disk of the replay store is full' : 'the replay store did not answer',
      { cause },
    )
  }
}

// SQLite itself asks ever more rarely, after a while ten times a second, and so loses against a process that always
// writes. A statement that found the file in use has done nothing, and the ones before it do nothing the second time.
function whenFree<T>(busyTimeout: number, work: () => T): T {
  const until = performance.now() + busyTimeout
  for (;;) {
    try {
      return work()
    } catch (error) {
      if (!AimsError.is(error) || error.code !== 'storage.busy' || performance.now() >= until) throw error
      Atomics.wait(PAUSE, 0, 0, 1)
    }
  }
}

const PAUSE = new Int32Array(new SharedArrayBuffer(4))
