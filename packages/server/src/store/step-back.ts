import { randomUUID } from 'node:crypto'
import type { DatabaseSync } from 'node:sqlite'
import { AimsError, type Clock, systemClock } from 'aims/base'
import type { Configuration } from '../config/settings.ts'
import { openDataDirectory } from '../data-directory.ts'
import { openStorage } from '../storage.ts'
import { SCHEMA, type SchemaStep } from './database.ts'
import type { Seal } from './seal.ts'

/** What going back did to a store. */
export interface SteppedBack {
  /** The version of the store before and after. */
  readonly from: number
  readonly to: number
  /** Tables that went, and how many rows each had. */
  readonly lost: { readonly [table: string]: number }
}

/**
 * Takes the last step of the schema back, so that the version of the program before can open the store. What the tables
 * of that step held is lost, and said. Everything else stays, in one transaction and under a seal of its own.
 *
 * @throws {@link AimsError} `operation.no_way_back`, `storage.*`
 */
export function stepBack(db: DatabaseSync, seal: Seal, steps: readonly SchemaStep[] = SCHEMA): SteppedBack {
  const from = steps.length
  const down = steps.at(-1)?.down
  if (down === undefined) throw new AimsError('operation.no_way_back', 'the last step of this store has no way back')
  const before = countRows(db)
  seal.rebuild(() => {
    db.exec(down)
    // Counted by newer programs only; the seal of an older one does not have it.
    db.exec(`DELETE FROM meta WHERE name = 'generation'; PRAGMA user_version = ${from - 1}`)
  })
  const after = countRows(db)
  const lost = Object.fromEntries([...before].filter(([table]) => !after.has(table)))
  return { from, to: from - 1, lost }
}

/**
 * Makes the store of a stopped server fit for the version of the program before. The log tells of it.
 *
 * @throws {@link AimsError} those of `startServer` until it listens, `operation.no_way_back`
 */
export async function downgradeStore(
  config: Configuration,
  { clock = systemClock }: { readonly clock?: Clock } = {},
): Promise<SteppedBack> {
  const data = openDataDirectory(config.dataDirectory)
  try {
    const storage = openStorage(data, config, clock)
    try {
      const { db, seal, log, rollback } = storage
      if (SCHEMA.at(-1)?.down === undefined) throw new AimsError('operation.no_way_back', 'nothing to take back')
      await log.record({
        type: 'operation.store-downgraded',
        resource: { type: 'server', id: config.trustDomain },
        action: 'downgrade-store',
        decision: 'none',
        correlationId: randomUUID(),
        details: { from: SCHEMA.length, to: SCHEMA.length - 1 },
      })
      // First: whoever is killed in between has a store that is newer than remembered, which is no rollback.
      rollback.remember({ generation: 0 })
      return stepBack(db, seal)
    } finally {
      storage.close({ remember: false })
    }
  } finally {
    data.release()
  }
}

function countRows(db: DatabaseSync): ReadonlyMap<string, number> {
  const names = db.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'").all()
  return new Map(
    names.map(({ name }) => [String(name), Number(db.prepare(`SELECT count(*) AS n FROM "${name}"`).get()?.n)]),
  )
}
