import { existsSync } from 'node:fs'
import type { DatabaseSync, SQLInputValue, SQLOutputValue, StatementSync } from 'node:sqlite'
import { AimsError } from '../base/errors.ts'
import { openDatabase, storing, transaction } from '../base/sqlite.ts'
import type { CleanEvent } from './record.ts'
import type { ReadTile, Tile } from './tiles.ts'

/** What the file is called in messages. */
export const LABEL = 'audit log'
// "AIMl"
const APPLICATION_ID = 0x41494d6c

// `record.bytes` and `checkpoint.note` are the log. `tile` is what tlog-tiles serves, byte for byte.
// The other columns of `record` repeat what is in `bytes`, to be searched.
const SCHEMA = [
  `CREATE TABLE log (id INTEGER PRIMARY KEY CHECK (id = 0), vkey TEXT NOT NULL) STRICT;
   CREATE TABLE record (
     idx INTEGER PRIMARY KEY,
     bytes BLOB NOT NULL,
     type TEXT NOT NULL,
     agent TEXT,
     correlation TEXT NOT NULL,
     decision TEXT NOT NULL
   ) STRICT;
   CREATE INDEX record_type ON record (type);
   CREATE INDEX record_agent ON record (agent) WHERE agent IS NOT NULL;
   CREATE INDEX record_correlation ON record (correlation);
   CREATE TABLE tile (
     level INTEGER NOT NULL, idx INTEGER NOT NULL, hashes BLOB NOT NULL, PRIMARY KEY (level, idx)
   ) STRICT;
   CREATE TABLE checkpoint (size INTEGER PRIMARY KEY, note TEXT NOT NULL) STRICT;`,
]

/** A record as it is stored. */
export interface StoredRecord {
  readonly index: number
  readonly bytes: Uint8Array
}

/** What records are searched by. */
export interface RecordLabels {
  readonly type: string
  readonly agent: string | null
  readonly correlation: string
  readonly decision: string
}

/** The labels of an event. */
export function labelsOf(event: Pick<CleanEvent, 'type' | 'agent' | 'correlationId' | 'decision'>): RecordLabels {
  const { type, agent, correlationId, decision } = event
  return { type, agent: agent?.id ?? null, correlation: correlationId, decision }
}

/** Which records are wanted, newest first. */
export interface RecordFilter {
  readonly type?: string
  /** The identifier of the agent. */
  readonly agent?: string
  readonly correlationId?: string
  readonly decision?: 'allow' | 'deny' | 'none'
  /** Only records before this index. */
  readonly before?: number
  /** At most this many. */
  readonly limit: number
}

/** The tables of one log. It keeps and finds; it does not know what the bytes mean. */
export class LogStore {
  readonly #db: DatabaseSync
  readonly #statements = new Map<string, StatementSync>()

  constructor(path: string, options: { readonly readOnly: boolean }) {
    if (options.readOnly && !existsSync(path)) throw new AimsError('storage.unwritable', `${LABEL}: no file ${path}`)
    this.#db = openDatabase(path, { schema: SCHEMA, label: LABEL, applicationId: APPLICATION_ID, ...options })
  }

  /** The verifier key the log was made with, or `undefined` for a new file. */
  vkey(): string | undefined {
    return optionalText(this.#get('SELECT vkey FROM log WHERE id = 0')?.vkey)
  }

  create(vkey: string): void {
    this.#run('INSERT INTO log VALUES (0, ?)', vkey)
  }

  /** How many records there are, and the index after the last one: the same number unless some are missing. */
  extent(): { readonly count: number; readonly end: number } {
    const row = this.#get('SELECT count(*) AS count, coalesce(max(idx) + 1, 0) AS end FROM record')
    return { count: Number(row?.count), end: Number(row?.end) }
  }

  insert({ index, bytes }: StoredRecord, { type, agent, correlation, decision }: RecordLabels): void {
    this.#run('INSERT INTO record VALUES (?, ?, ?, ?, ?, ?)', index, bytes, type, agent, correlation, decision)
  }

  /** The records from index `from` up to `to`. */
  *records(from: number, to: number): Generator<StoredRecord & { readonly labels: RecordLabels }> {
    const sql = 'SELECT * FROM record WHERE idx >= ? AND idx < ? ORDER BY idx LIMIT 256'
    for (let rows = this.#all(sql, from, to); rows.length > 0; rows = this.#all(sql, from, to)) {
      for (const { idx, bytes, type, agent, correlation, decision } of rows) {
        const labels = { type: text(type), agent: optionalText(agent) ?? null, correlation: text(correlation) }
        yield { index: Number(idx), bytes: blob(bytes), labels: { ...labels, decision: text(decision) } }
        from = Number(idx) + 1
      }
    }
  }

  find({ limit, before, ...filter }: RecordFilter): StoredRecord[] {
    const wanted = Object.entries(COLUMNS).flatMap(([name, condition]) => {
      const value = name === 'before' ? before : filter[name as keyof typeof filter]
      return value === undefined ? [] : [{ condition, value }]
    })
    const where = wanted.length === 0 ? '' : `WHERE ${wanted.map(({ condition }) => condition).join(' AND ')}`
    const sql = `SELECT idx, bytes FROM record ${where} ORDER BY idx DESC LIMIT ?`
    const rows = this.#all(sql, ...wanted.map(({ value }) => value), limit)
    return rows.map(({ idx, bytes }) => ({ index: Number(idx), bytes: blob(bytes) }))
  }

  readonly tile: ReadTile = (level, index) => {
    const row = this.#get('SELECT hashes FROM tile WHERE level = ? AND idx = ?', level, index)
    return row === undefined ? undefined : blob(row.hashes)
  }

  putTile({ level, index, hashes }: Tile): void {
    this.#run(
      'INSERT INTO tile VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET hashes = excluded.hashes',
      level,
      index,
      hashes,
    )
  }

  /** The newest signed checkpoint. */
  checkpoint(): string | undefined {
    return optionalText(this.#get('SELECT note FROM checkpoint ORDER BY size DESC LIMIT 1')?.note)
  }

  /** All checkpoints that were kept, from the smallest size up. */
  checkpoints(): string[] {
    return this.#all('SELECT note FROM checkpoint ORDER BY size').map(({ note }) => text(note))
  }

  putCheckpoint(size: number, note: string): void {
    this.#run('INSERT INTO checkpoint VALUES (?, ?)', size, note)
  }

  dropCheckpoint(size: number): void {
    this.#run('DELETE FROM checkpoint WHERE size = ?', size)
  }

  /** Everything read until {@link close} is of one moment, whatever a writer does meanwhile. */
  freeze(): void {
    this.#db.exec('BEGIN')
  }

  /** True when SQLite finds the file whole: pages, and indexes that agree with their tables. */
  isWhole(): boolean {
    return this.#get('PRAGMA integrity_check(1)')?.integrity_check === 'ok'
  }

  transaction<T>(work: () => T): T {
    return storing(LABEL, () => transaction(this.#db, work))
  }

  close(): void {
    if (this.#db.isOpen) this.#db.close()
  }

  #get(sql: string, ...values: SQLInputValue[]): Record<string, SQLOutputValue> | undefined {
    return storing(LABEL, () => this.#prepare(sql).get(...values))
  }

  #all(sql: string, ...values: SQLInputValue[]): Record<string, SQLOutputValue>[] {
    return storing(LABEL, () => this.#prepare(sql).all(...values))
  }

  #run(sql: string, ...values: SQLInputValue[]): void {
    this.#prepare(sql).run(...values)
  }

  #prepare(sql: string): StatementSync {
    const known = this.#statements.get(sql)
    if (known !== undefined) return known
    try {
      const statement = this.#db.prepare(sql)
      this.#statements.set(sql, statement)
      return statement
    } catch (cause) {
      const missing = cause instanceof Error && 'errcode' in cause && cause.errcode === 1
      throw missing ? new AimsError('storage.corrupt', `${LABEL}: a table is missing`, { cause }) : cause
    }
  }
}

const COLUMNS = {
  type: 'type = ?',
  agent: 'agent = ?',
  correlationId: 'correlation = ?',
  decision: 'decision = ?',
  before: 'idx < ?',
} as const

function text(value: SQLOutputValue | undefined): string {
  if (typeof value !== 'string') throw new AimsError('storage.corrupt', `${LABEL}: a column has the wrong type`)
  return value
}

function optionalText(value: SQLOutputValue | undefined): string | undefined {
  return value === undefined || value === null ? undefined : text(value)
}

function blob(value: SQLOutputValue | undefined): Uint8Array {
  if (!(value instanceof Uint8Array)) throw new AimsError('storage.corrupt', `${LABEL}: a column has the wrong type`)
  return value
}
