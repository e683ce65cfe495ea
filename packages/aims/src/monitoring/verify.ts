import { asBuffer } from '../base/bytes.ts'
import { AimsError, type AimsErrorCode } from '../base/errors.ts'
import { type VerifiedCheckpoint, verifyCheckpoint } from './checkpoint.ts'
import { labelsOf, type RecordLabels, type StoredRecord } from './log-store.ts'
import { CompactTree, HASH_LENGTH, leafHash } from './merkle.ts'
import { parseVerifierKey } from './note.ts'
import { type AuditRecord, decodeRecord } from './record.ts'
import { firstDifference, type ReadTile, TILE_WIDTH, type Tile, TileEdge } from './tiles.ts'

/** A log as it was found: nothing in it is believed. */
export interface LogSource {
  /** The verifier key it claims to be signed with. */
  readonly vkey: string
  /** All records in the order they are kept. `index` is where a database keeps it; a file has only an order. */
  records(): Iterable<Pick<StoredRecord, 'bytes'> & { readonly index?: number; readonly labels?: RecordLabels }>
  readonly tile: ReadTile
  /** Signed checkpoints from the smallest size up. The last one is the newest. */
  checkpoints(): readonly string[]
}

/** What a verifier knows from elsewhere. */
export interface ExpectedLog {
  /** The verifier key, `name+id+key`; its name is the origin of the log. */
  readonly vkey: string
  /** Checkpoints that were kept: the log must continue each of them. Without one, a log that was cut at a checkpoint is
   * not told from a whole one. Default: none. */
  readonly remembered?: readonly string[]
}

/** What was found. */
export type LogVerdict =
  | {
      readonly ok: true
      readonly size: number
      /** The root, base64. */
      readonly root: string
      /** The first records, up to 100, that are dated before the record in front of them: a clock was set back. */
      readonly clockJumps: readonly number[]
    }
  | {
      readonly ok: false
      /** The first record that is not as it was signed. Absent when what is wrong is a key or a checkpoint. */
      readonly index?: number
      readonly code: AimsErrorCode
      readonly message: string
    }

/**
 * Checks a whole log with no server: hashes every record again, and compares their order, their form, the tree and
 * every signed checkpoint. Never throws for what is wrong with the log.
 *
 * Does not check that what the records say is true, nor that others are shown the same log.
 *
 * @throws {@link AimsError} `audit.malformed_key` and others of a key, for the `vkey` that is expected
 * @see RFC 6962 section 2.1; C2SP tlog-checkpoint, tlog-tiles
 */
export function verifyLog(source: LogSource, expected: ExpectedLog): LogVerdict {
  const key = parseVerifierKey(expected.vkey)
  const audit = new Audit(source)
  try {
    if (source.vkey !== expected.vkey) throw new AimsError('audit.wrong_key', 'the log names another key')
    const claims = { origin: key.name, keys: [key] }
    const kept = source.checkpoints().map((note) => verifyCheckpoint(note, claims))
    const remembered = (expected.remembered ?? []).map((note) => verifyCheckpoint(note, claims))
    return audit.run(kept, remembered)
  } catch (error) {
    if (!AimsError.is(error)) throw error
    const { code, message } = error
    return { ok: false, ...(audit.suspect === undefined ? {} : { index: audit.suspect }), code, message }
  }
}

// One pass over the records. `suspect` is the record being read, for the verdict when something throws.
class Audit {
  readonly #source: LogSource
  readonly #tree = new CompactTree()
  readonly #edge = new TileEdge()
  readonly #clockJumps: number[] = []
  #storedLeaves: Uint8Array = new Uint8Array()
  #lastTime = ''
  suspect: number | undefined

  constructor(source: LogSource) {
    this.#source = source
  }

  run(kept: readonly VerifiedCheckpoint[], remembered: readonly VerifiedCheckpoint[]): LogVerdict {
    const newest = kept.at(-1)
    if (newest === undefined) throw new AimsError('audit.missing_checkpoint', 'the log has no checkpoint')
    // A stable sort: the kept ones must be in order by themselves.
    const claims = [...kept, ...remembered].sort((a, b) => a.size - b.size)
    if (kept.some(({ size }, i) => size <= (kept[i - 1]?.size ?? -1))) {
      throw new AimsError('audit.malformed_checkpoint', 'the checkpoints are not in order')
    }
    let proven = 0
    let next = 0
    const checkClaims = (): void => {
      for (let claim = claims[next]; claim?.size === this.#tree.size; claim = claims[next]) {
        // Between the last root that was right and this one, any record may be the wrong one: the first is named.
        this.suspect = proven
        if (!asBuffer(claim.root).equals(this.#tree.root())) throw new AimsError('audit.forked', 'not the signed root')
        proven = claim.size
        next += 1
      }
    }
    checkClaims()
    this.suspect = 0
    for (const { bytes, index, labels } of this.#source.records()) {
      if (this.#tree.size === newest.size)
        throw new AimsError('audit.unsigned_records', 'more records than were signed')
      this.#add(bytes, index, labels)
      checkClaims()
      this.suspect = this.#tree.size
    }
    if (next < claims.length) throw new AimsError('audit.rolled_back', 'fewer records than were signed')
    for (const tile of this.#edge.partial()) this.#compare(tile)
    const root = asBuffer(this.#tree.root()).toString('base64')
    return { ok: true, size: this.#tree.size, root, clockJumps: this.#clockJumps }
  }

  #add(bytes: Uint8Array, index: number | undefined, labels: RecordLabels | undefined): void {
    const place = this.#tree.size
    const leaf = leafHash(bytes)
    const record = decodeRecord(bytes)
    if (record.index !== place || (index ?? place) !== place) {
      throw new AimsError('audit.wrong_index', 'a record is not at its place')
    }
    if (!leaf.equals(this.#storedLeaf(place))) {
      throw new AimsError('audit.hash_mismatch', 'a record does not have the hash stored for it')
    }
    if (labels !== undefined && !sameLabels(labels, record)) {
      throw new AimsError('audit.label_mismatch', 'a record is filed under what it does not say')
    }
    if (record.time < this.#lastTime && this.#clockJumps.length < 100) this.#clockJumps.push(place)
    this.#lastTime = record.time
    this.#tree.append(leaf)
    this.#edge.append(leaf, (tile) => this.#compare(tile))
  }

  #storedLeaf(place: number): Uint8Array {
    const start = (place % TILE_WIDTH) * HASH_LENGTH
    if (start === 0) this.#storedLeaves = this.#source.tile(0, place / TILE_WIDTH) ?? new Uint8Array()
    return this.#storedLeaves.subarray(start, start + HASH_LENGTH)
  }

  #compare({ level, index, hashes }: Tile): void {
    const at = firstDifference(hashes, this.#source.tile(level, index) ?? new Uint8Array())
    if (at === -1) return
    this.suspect = (index * TILE_WIDTH + at) * TILE_WIDTH ** level
    throw new AimsError('audit.hash_mismatch', 'a stored hash of the tree is not the one of its records')
  }
}

function sameLabels(labels: RecordLabels, record: AuditRecord): boolean {
  const { type, agent, correlation, decision } = labelsOf(record)
  return (
    labels.type === type && labels.agent === agent && labels.correlation === correlation && labels.decision === decision
  )
}
