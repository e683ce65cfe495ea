import { asBuffer } from '../base/bytes.ts'
import { type Clock, systemClock } from '../base/clock.ts'
import { AimsError } from '../base/errors.ts'
import type { AuditEvent, Observer } from '../base/event.ts'
import type { LocalSigner } from '../base/keys.ts'
import { type FileLock, lockFile } from '../base/sqlite.ts'
import { formatCheckpoint } from './checkpoint.ts'
import { LABEL, LogStore, labelsOf } from './log-store.ts'
import { CompactTree, leafHash } from './merkle.ts'
import { formatVerifierKey, signNote } from './note.ts'
import { AuditReader } from './reader.ts'
import { type CleanEvent, cleanEvent, encodeRecord } from './record.ts'
import { openTree, type TreeState } from './recovery.ts'
import { TILE_WIDTH } from './tiles.ts'

/** What a log needs to be written. */
export interface AuditLogOptions {
  /** The SQLite file. A lock file `PATH.lock` is put beside it. */
  readonly path: string
  /** The name of the log, e.g. `example.com/audit`. It never changes. */
  readonly origin: string
  /** An Ed25519 key. It never changes, and is kept apart from the file. */
  readonly signer: LocalSigner
  /** A checkpoint somebody kept: the log is refused when it does not continue it. Default: none. */
  readonly remembered?: string
  /** Default: the clock of the machine. */
  readonly clock?: Clock
}

/** Where a record is. */
export interface Appended {
  readonly index: number
}

interface Pending {
  readonly event: CleanEvent
  readonly index: number
  readonly bytes: Buffer
  readonly resolve: (appended: Appended) => void
  readonly reject: (error: unknown) => void
}

// One transaction holds so many that the disk is waited for rarely, and so few that nobody waits long.
const MAX_BATCH = 512

/**
 * A log that is written by one process and shows everyone the same: records in order, a Merkle tree over them, and a
 * signed checkpoint for every batch. A record is on the disk before its promise resolves. After a failure nothing
 * more is recorded until the log is opened again, because nobody knows what the disk kept.
 *
 * Does not stop who holds both file and key from writing another log: that takes witnesses, or a remembered checkpoint.
 *
 * @see RFC 6962; C2SP tlog-checkpoint, tlog-tiles
 */
export class AuditLog extends AuditReader implements Observer {
  readonly #store: LogStore
  readonly #lock: FileLock
  readonly #clock: Clock
  readonly #origin: string
  readonly #signer: LocalSigner
  readonly #state: TreeState
  #signedRoot: Buffer
  #queue: Pending[] = []
  #nextIndex: number
  #flushing: NodeJS.Immediate | undefined
  #failure: AimsError | undefined

  /**
   * Opens a log, or makes a new one.
   *
   * Checks the newest checkpoint, that the tree leads to it, and the newest records. All records are checked by
   * `verifyLog`, which takes time in proportion to the log.
   *
   * @throws {@link AimsError} `storage.*` (`storage.locked`: another process writes it), `audit.wrong_origin`,
   *   `audit.wrong_key`, `audit.missing_checkpoint`, `audit.invalid_signature`, `audit.rolled_back`, `audit.forked`,
   *   `audit.unsigned_records`, `audit.wrong_index`, `audit.hash_mismatch`
   */
  static open(options: AuditLogOptions): AuditLog {
    const lock = lockFile(`${options.path}.lock`, LABEL)
    let store: LogStore | undefined
    try {
      store = new LogStore(options.path, { readOnly: false })
      return new AuditLog(options, store, lock)
    } catch (error) {
      store?.close()
      lock.release()
      throw error
    }
  }

  private constructor(options: AuditLogOptions, store: LogStore, lock: FileLock) {
    super(store)
    const { origin, signer, remembered, clock = systemClock } = options
    const vkey = formatVerifierKey(origin, signer.publicKey)
    this.#store = store
    this.#lock = lock
    this.#clock = clock
    this.#origin = origin
    this.#signer = signer
    if (store.vkey() === undefined && store.extent().end === 0) {
      store.transaction(() => {
        store.create(vkey)
        store.putCheckpoint(0, this.#sign(new CompactTree()))
      })
    }
    this.#state = openTree(store, vkey, remembered)
    this.#signedRoot = asBuffer(this.#state.tree.root())
    this.#nextIndex = this.#state.tree.size
  }

  /** Records an event. Resolves when it is durable; see {@link append}. */
  async record(event: AuditEvent): Promise<void> {
    await this.append(event)
  }

  /**
   * Records an event and tells its place, when it is durable and covered by a signed checkpoint. Events that arrive in
   * one turn of the event loop share a transaction.
   *
   * @throws {@link AimsError} for this event only: `audit.missing_field`, `audit.unknown_field`, `audit.invalid_field`,
   *   `audit.too_large`, `audit.forbidden_value`; for this and all that follow: `audit.unavailable`, `audit.closed`
   */
  append(event: AuditEvent): Promise<Appended> {
    return new Promise((resolve, reject) => {
      if (this.#failure !== undefined) throw this.#failure
      const clean = cleanEvent(event)
      const index = this.#nextIndex
      const bytes = encodeRecord(clean, index, Math.round(this.#clock() * 1000))
      this.#nextIndex += 1
      this.#queue.push({ event: clean, index, bytes, resolve, reject })
      this.#flushing ??= setImmediate(() => this.#flush())
    })
  }

  /** Stores what is waiting, and lets go of the file. */
  override close(): void {
    while (this.#flushing !== undefined) this.#flush()
    this.#failure ??= new AimsError('audit.closed', 'the log has been closed')
    super.close()
    this.#lock.release()
  }

  #flush(): void {
    clearImmediate(this.#flushing)
    this.#flushing = undefined
    const batch = this.#queue.slice(0, MAX_BATCH)
    this.#queue = this.#queue.slice(MAX_BATCH)
    try {
      this.#signedRoot = this.#store.transaction(() => this.#write(batch))
    } catch (cause) {
      const failure = new AimsError('audit.unavailable', 'the log could not store a record', { cause })
      this.#failure = failure
      for (const { reject } of [...batch, ...this.#queue]) reject(failure)
      this.#queue = []
      return
    }
    if (this.#queue.length > 0) this.#flushing = setImmediate(() => this.#flush())
    for (const { index, resolve } of batch) resolve({ index })
  }

  // Everything that is signed was read back from the database, or led to the last signed root when it was used.
  #write(batch: readonly Pending[]): Buffer {
    const { tree, edge } = this.#state
    const before = tree.size
    if (!this.#signedRoot.equals(tree.root()))
      throw new AimsError('audit.rehash_failed', 'the tree in memory has changed')
    for (const { event, index, bytes } of batch) this.#store.insert({ index, bytes }, labelsOf(event))
    for (const { index, bytes } of this.#store.records(before, before + batch.length)) {
      const written = batch[index - before]
      if (index !== tree.size || written?.bytes.equals(bytes) !== true) {
        throw new AimsError('audit.rehash_failed', 'a record reads back otherwise than it was written')
      }
      const leaf = leafHash(bytes)
      tree.append(leaf)
      edge.append(leaf, (tile) => this.#store.putTile(tile))
    }
    if (tree.size !== before + batch.length) throw new AimsError('audit.rehash_failed', 'a record does not read back')
    for (const tile of edge.partial()) this.#store.putTile(tile)
    // One checkpoint is kept for every full tile, and the newest.
    if (Math.floor(before / TILE_WIDTH) === Math.floor(tree.size / TILE_WIDTH)) this.#store.dropCheckpoint(before)
    this.#store.putCheckpoint(tree.size, this.#sign(tree))
    return asBuffer(tree.root())
  }

  #sign(tree: CompactTree): string {
    const text = formatCheckpoint({ origin: this.#origin, size: tree.size, root: tree.root(), extensions: [] })
    return signNote(text, this.#origin, this.#signer)
  }
}
