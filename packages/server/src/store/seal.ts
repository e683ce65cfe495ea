import type { DatabaseSync, SQLOutputValue } from 'node:sqlite'
import { AimsError, isMacOf, type KeyEncryptionKey, storing, transaction } from 'aims/base'
import type { Meta } from './meta.ts'

/** The tables that decide who is who and what is trusted. The first column is the key. */
type SealedTable =
  | 'entries'
  | 'retired'
  | 'retired_entries'
  | 'keys'
  | 'attested'
  | 'evidence_memory'
  | 'agents'
  | 'join_tokens'
  | 'join_token_uses'
  | 'revocations'
  | 'federation'
  | 'neighbours'

/** Keeps one value over all rows that matter, so that a row that went, came or was changed by others is found out. */
export interface Seal {
  /** Runs `work` in one transaction and seals what it leaves. @throws {@link AimsError} `storage.*`, and what `work` throws */
  transaction(work: () => void): void
  /** Runs `write`, which changes the row of `table` with this id and no other. Inside {@link transaction}. */
  row(table: SealedTable, id: string, write: () => void): void
  /** Runs `work`, which may change or drop whole tables, in one transaction and seals afresh what it leaves. */
  rebuild(work: () => void): void
  /** Calls `listener` after every change that is on disk. */
  onChange(listener: () => void): void
}

const TABLES: readonly SealedTable[] = [
  'entries',
  'retired',
  'keys',
  'attested',
  'evidence_memory',
  'agents',
  'join_tokens',
  'retired_entries',
  'revocations',
  'federation',
  'neighbours',
  'join_token_uses',
]
const LABEL = 'seal'
const ROW_LABEL = 'sealed row'
const HASH_BYTES = 32

/**
 * Opens the seal of a store and checks it. The sum of all rows is the XOR of their MACs, which nobody without the
 * key-encryption key knows, so that a change costs the same however many rows there are.
 *
 * Does not notice that the whole store is an older one of this server: the generation in it, which every change advances
 * once it has begun, is compared by the rollback guard with what is remembered elsewhere.
 *
 * @throws {@link AimsError} `operation.store_damaged`
 * @see threat model, identity server: edits of the database show
 */
export function openSeal(db: DatabaseSync, key: KeyEncryptionKey, meta: Meta): Seal {
  // A store of an older schema lacks the newer tables, and nothing in them is missing.
  const exists = db.prepare("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?")
  const present = (): readonly SealedTable[] => TABLES.filter((table) => exists.get(table) !== undefined)
  const find = Object.fromEntries(present().map((table) => [table, db.prepare(`SELECT * FROM ${table} WHERE id = ?`)]))
  const hash = (table: SealedTable, row: Row): Buffer =>
    Buffer.from(key.mac(ROW_LABEL, JSON.stringify([table, ...Object.values(row).map(plain)])), 'base64url')
  let sum = Buffer.alloc(HASH_BYTES)
  const toggle = (table: SealedTable, row: Row | undefined): void => {
    if (row !== undefined) sum = xor(sum, hash(table, row))
  }
  const content = (): string => {
    const generation = meta.counter('generation')
    const facts = [meta.counter('revision'), meta.counter('bundle_sequence'), sum.toString('base64url')]
    return [...facts, ...(generation === 0 ? [] : [generation])].join(' ')
  }
  const addUp = (): { readonly isEmpty: boolean } => {
    let isEmpty = true
    sum = Buffer.alloc(HASH_BYTES)
    for (const table of present()) {
      for (const row of storing('store', () => db.prepare(`SELECT * FROM ${table}`).all())) {
        toggle(table, row)
        isEmpty = false
      }
    }
    return { isEmpty }
  }
  const { isEmpty } = addUp()
  const kept = meta.get('seal')
  if (kept === undefined ? !isEmpty : !isMacOf(key, kept, LABEL, content())) {
    throw new AimsError('operation.store_damaged', 'rows of the store were changed, added or removed by others')
  }

  const listeners: (() => void)[] = []
  const seal = (work: () => void): void => {
    const before = sum
    try {
      storing('store', () =>
        transaction(db, () => {
          work()
          meta.set('seal', key.mac(LABEL, content()))
        }),
      )
    } catch (error) {
      sum = before
      throw error
    }
    for (const listener of listeners) listener()
  }
  return {
    transaction: (work) =>
      seal(() => {
        if (meta.counter('generation') > 0) meta.advance('generation')
        work()
      }),
    rebuild: (work) =>
      seal(() => {
        work()
        addUp()
      }),
    onChange: (listener) => void listeners.push(listener),
    row(table, id, write) {
      toggle(table, find[table]?.get(id))
      write()
      toggle(table, find[table]?.get(id))
    },
  }
}

type Row = Record<string, SQLOutputValue>

function plain(value: SQLOutputValue): string | number | null {
  if (value instanceof Uint8Array) return Buffer.from(value).toString('base64')
  return typeof value === 'bigint' ? String(value) : value
}

function xor(a: Buffer, b: Buffer): Buffer<ArrayBuffer> {
  return Buffer.from(a.map((byte, index) => byte ^ (b[index] ?? 0)))
}
