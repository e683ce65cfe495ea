import { AimsError } from '../base/errors.ts'
import { parseCheckpoint } from './checkpoint.ts'
import { LABEL, LogStore, type RecordFilter, type StoredRecord } from './log-store.ts'
import { consistencyProof, inclusionProof } from './merkle.ts'
import { parseUnverifiedNote } from './note.ts'
import type { InclusionReceipt } from './proof.ts'
import { type AuditRecord, decodeRecord } from './record.ts'
import { subtreesOf } from './tiles.ts'

/** A record of a log: its meaning, and the bytes that are hashed. */
export interface AuditEntry {
  readonly record: AuditRecord
  readonly bytes: Uint8Array
}

/**
 * Reads a log, also while another process writes it.
 *
 * Does not verify what it reads: `verifyLog` does.
 */
export class AuditReader {
  readonly #store: LogStore

  /** Opens a file for reading. @throws {@link AimsError} `storage.*` */
  static openFile(path: string): AuditReader {
    return new AuditReader(new LogStore(path, { readOnly: true }))
  }

  protected constructor(store: LogStore) {
    this.#store = store
  }

  /** The verifier key of the log as the log itself states it: compare it with one from elsewhere. */
  get vkey(): string {
    const vkey = this.#store.vkey()
    if (vkey === undefined) throw new AimsError('storage.corrupt', `${LABEL}: the file was never completed`)
    return vkey
  }

  /** How many records the newest checkpoint covers: all that were ever acknowledged. */
  get size(): number {
    return parseCheckpoint(parseUnverifiedNote(this.checkpoint()).text).size
  }

  /** The newest signed checkpoint. */
  checkpoint(): string {
    const note = this.#store.checkpoint()
    if (note === undefined) throw new AimsError('audit.missing_checkpoint', 'the log has no checkpoint')
    return note
  }

  /** The records from index `from` up to `to`, which is left out. */
  read(from: number, to: number): AuditEntry[] {
    return Array.from(this.#store.records(from, to), toEntry)
  }

  /** Records that have all the wanted properties, newest first. */
  list(filter: RecordFilter): AuditEntry[] {
    return this.#store.find(filter).map(toEntry)
  }

  /** The records of one transaction, oldest first. At most 1000. */
  find(correlationId: string): AuditEntry[] {
    return this.list({ correlationId, limit: 1000 }).reverse()
  }

  /**
   * The path from a record to the root of the tree of the first `size` records. Default size: the newest.
   *
   * @throws {@link AimsError} `audit.unknown_index`
   */
  inclusionProof(index: number, size: number = this.size): Uint8Array[] {
    if (!(index >= 0 && index < size && size <= this.size)) {
      throw new AimsError('audit.unknown_index', 'the log has no such record or size')
    }
    return inclusionProof(index, size, subtreesOf(this.#store.tile))
  }

  /**
   * What shows that the log of `to` records begins with the log of `from` records. Default `to`: the newest.
   *
   * @throws {@link AimsError} `audit.unknown_index`
   */
  consistencyProof(from: number, to: number = this.size): Uint8Array[] {
    if (!(from >= 0 && from <= to && to <= this.size)) {
      throw new AimsError('audit.unknown_index', 'the log had no such sizes')
    }
    return consistencyProof(from, to, subtreesOf(this.#store.tile))
  }

  /** All an outsider needs, beside the record and the key of the log, to check that the record is in it. */
  receipt(index: number): InclusionReceipt {
    const checkpoint = this.checkpoint()
    const { size } = parseCheckpoint(parseUnverifiedNote(checkpoint).text)
    return { index, hashes: this.inclusionProof(index, size), checkpoint }
  }

  /** The first hashes of a tile, as many as `width`. */
  tile(level: number, index: number, width: number): Uint8Array {
    const hashes = this.#store.tile(level, index)?.subarray(0, 32 * width)
    if (hashes?.length !== 32 * width) throw new AimsError('audit.unknown_index', 'the log has no such tile')
    return hashes
  }

  close(): void {
    this.#store.close()
  }

  [Symbol.dispose](): void {
    this.close()
  }
}

function toEntry({ bytes }: StoredRecord): AuditEntry {
  return { record: decodeRecord(bytes), bytes }
}
