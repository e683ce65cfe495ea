import type { DatabaseSync } from 'node:sqlite'
import {
  AimsError,
  isMacOf,
  type JsonObject,
  type KeyEncryptionKey,
  parseJson,
  parseJsonObject,
  storing,
} from 'aims/base'
import type { SpiffeId, TrustDomain } from 'aims/identifiers'
import { createEntryIndex, entryToJson, parseEntry, type RegistrationEntry } from 'aims/provisioning'
import type { Meta } from './meta.ts'
import type { Seal } from './seal.ts'

/** What is left of an entry that was deleted: its names, which are not given again. */
export interface RetiredEntry {
  readonly id: string
  readonly spiffeId: string
  /** Seconds since the epoch. */
  readonly retiredAt: number
  /** As it was last; absent for those that were deleted before entries were kept. */
  readonly entry?: JsonObject
}

/** One change of the store: an entry that is put in, in place of the one with its id, or one that is deleted. */
export type EntryWrite =
  | { readonly put: RegistrationEntry; readonly retire?: undefined }
  | { readonly put?: undefined; readonly retire: RegistrationEntry }

/** Registration entries, all in memory, every change on disk before it shows. Says nothing about who may change them. */
export interface EntryStore {
  find(id: string): RegistrationEntry | undefined
  findBySubject(subject: SpiffeId): RegistrationEntry | undefined
  /** The entries whose selectors are all among these, in the order of their ids. */
  match(selectors: readonly string[]): readonly RegistrationEntry[]
  size(): number
  /** In the order of their ids. */
  list(): readonly RegistrationEntry[]
  /** True for the id of an entry, or of one that was deleted. */
  isIdUsed(id: string): boolean
  /** True for the SPIFFE ID of a deleted entry. */
  isRetired(subject: SpiffeId): boolean
  /** The newest deleted entry that had this SPIFFE ID. */
  findRetired(subject: SpiffeId): RetiredEntry | undefined
  /** Entries that were deleted, the last first. */
  listRetired(): readonly RetiredEntry[]
  /** All of it in one transaction, or nothing. */
  apply(changes: readonly EntryWrite[], now: number): void
  insert(entry: RegistrationEntry): void
  replace(entry: RegistrationEntry): void
  /** Deletes an entry and remembers its id and subject for ever. */
  retire(entry: RegistrationEntry, now: number): void
}

// No cap here: entries were within the caps of their time when they were made.
const ANY_TTL = { default: 1, max: Number.MAX_SAFE_INTEGER }
const LABEL = 'entry'

/**
 * Opens the entries of the store. Each row carries a MAC under the key-encryption key, so that entries written by
 * somebody else into the database are found out.
 *
 * @throws {@link AimsError} `operation.store_damaged`, naming the entry
 */
export function openEntryStore(
  db: DatabaseSync,
  options: {
    readonly key: KeyEncryptionKey
    readonly meta: Meta
    readonly seal: Seal
    readonly trustDomain: TrustDomain
  },
): EntryStore {
  const { key, meta, seal, trustDomain } = options
  const entries = createEntryIndex()
  for (const row of db.prepare('SELECT id, body, mac FROM entries ORDER BY id').all()) {
    const body = String(row.body)
    if (!isMacOf(key, String(row.mac), LABEL, body)) {
      throw new AimsError('operation.store_damaged', `the entry ${String(row.id)} was not written by this server`)
    }
    const ttls = { x509: ANY_TTL, jwt: ANY_TTL, wit: ANY_TTL }
    const entry = parseEntry(parseJson(body), { trustDomain, ttls })
    entries.set(entry)
  }
  const put = db.prepare('INSERT OR REPLACE INTO entries VALUES (?, ?, ?, ?)')
  const remove = db.prepare('DELETE FROM entries WHERE id = ?')
  const tombstone = db.prepare('INSERT OR REPLACE INTO retired VALUES (?, ?, ?)')
  const keep = db.prepare('INSERT OR REPLACE INTO retired_entries VALUES (?, ?)')
  const retiredRow = db.prepare(`
    SELECT retired.id, spiffe_id, retired_at, body FROM retired LEFT JOIN retired_entries USING (id)
    WHERE spiffe_id = ? ORDER BY retired_at DESC LIMIT 1`)
  const allRetired = db.prepare('SELECT id, spiffe_id, retired_at FROM retired ORDER BY retired_at DESC, id')
  const retiredId = db.prepare('SELECT 1 FROM retired WHERE id = ?')
  const retiredSubject = db.prepare('SELECT 1 FROM retired WHERE spiffe_id = ?')

  const apply = (changes: readonly EntryWrite[], now: number): void => {
    seal.transaction(() => {
      for (const { put: entry, retire } of changes) {
        if (entry !== undefined) {
          const body = JSON.stringify(entryToJson(entry))
          const mac = key.mac(LABEL, body)
          seal.row('entries', entry.id, () => put.run(entry.id, entry.spiffeId, body, mac))
        } else {
          seal.row('entries', retire.id, () => remove.run(retire.id))
          const body = JSON.stringify(entryToJson(retire))
          seal.row('retired_entries', retire.id, () => keep.run(retire.id, body))
          seal.row('retired', retire.id, () => tombstone.run(retire.id, retire.spiffeId, now))
        }
      }
      meta.advance('revision')
    })
    for (const { put: entry, retire } of changes) {
      if (entry !== undefined) entries.set(entry)
      else entries.delete(retire.id)
    }
  }

  return {
    size: () => entries.size,
    find: entries.find,
    findBySubject: entries.findBySubject,
    match: entries.match,
    list: entries.list,
    isIdUsed: (id) => entries.find(id) !== undefined || retiredId.get(id) !== undefined,
    isRetired: (subject) => retiredSubject.get(subject) !== undefined,
    findRetired(subject) {
      const row = retiredRow.get(subject)
      if (row === undefined) return undefined
      const retired = { id: String(row.id), spiffeId: String(row.spiffe_id), retiredAt: Number(row.retired_at) }
      return typeof row.body === 'string' ? { ...retired, entry: parseJsonObject(row.body) } : retired
    },
    listRetired: () =>
      storing('store', () => allRetired.all()).map(({ id, spiffe_id: spiffeId, retired_at: retiredAt }) => ({
        id: String(id),
        spiffeId: String(spiffeId),
        retiredAt: Number(retiredAt),
      })),
    apply,
    insert: (entry) => apply([{ put: entry }], 0),
    replace: (entry) => apply([{ put: entry }], 0),
    retire: (entry, now) => apply([{ retire: entry }], now),
  }
}
