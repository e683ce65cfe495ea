import { openDatabase, storing } from '../../base/sqlite.ts'
import type { WorkloadId } from '../../identifiers/spiffe-id.ts'
import { type HighWaterMark, rankOf } from './high-water-mark.ts'

/** Marks in a file. */
export interface SqliteHighWaterMark extends HighWaterMark {
  close(): void
}

const SCHEMA = ['CREATE TABLE marks (caller TEXT PRIMARY KEY, rank INTEGER NOT NULL) STRICT, WITHOUT ROWID']
const APPLICATION_ID = 0x61696d68
const LABEL = 'high-water marks'
const MAX_PINNED = 100_000

/**
 * Keeps the marks in a SQLite file: they survive restarts, and processes of one machine share them.
 *
 * @throws {@link AimsError} `storage.*`, also from `admit`
 */
export function openSqliteHighWaterMark(path: string): SqliteHighWaterMark {
  const db = openDatabase(path, { schema: SCHEMA, label: LABEL, applicationId: APPLICATION_ID, busyTimeout: 2000 })
  const raise = db.prepare(
    `INSERT INTO marks (caller, rank) VALUES ($caller, $rank)
     ON CONFLICT (caller) DO UPDATE SET rank = excluded.rank WHERE excluded.rank < marks.rank`,
  )
  const read = db.prepare('SELECT rank FROM marks WHERE caller = $caller')
  // Callers at the top: nothing can change for them, so the file need not be asked again.
  const pinned = new Set<WorkloadId>()
  return {
    admit(caller, profile) {
      const rank = rankOf(profile)
      if (pinned.has(caller)) return rank === 0
      const mark = storing(LABEL, () => {
        if (Number(read.get({ caller })?.rank ?? Number.POSITIVE_INFINITY) > rank) raise.run({ caller, rank })
        return Number(read.get({ caller })?.rank)
      })
      if (mark === 0) {
        if (pinned.size >= MAX_PINNED) pinned.clear()
        pinned.add(caller)
      }
      return rank === mark
    },
    close: () => db.close(),
  }
}
