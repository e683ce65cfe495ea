import { asBuffer } from '../base/bytes.ts'
import { AimsError } from '../base/errors.ts'
import { type Checkpoint, verifyCheckpoint } from './checkpoint.ts'
import type { LogStore } from './log-store.ts'
import { CompactTree, HASH_LENGTH, leafHash } from './merkle.ts'
import { parseVerifierKey, type VerifierKey } from './note.ts'
import { subtreesOf, TILE_WIDTH, TileEdge } from './tiles.ts'

/** What grows with every record. */
export interface TreeState {
  readonly tree: CompactTree
  readonly edge: TileEdge
}

/**
 * Loads the tree of a log that was closed, or whose process was killed, and refuses one that is not what was signed.
 *
 * Looks at as much as a start can afford: the newest checkpoint, the tree's right edge, the records of the last tile.
 *
 * @throws {@link AimsError} those of `AuditLog.open`
 */
export function openTree(store: LogStore, vkey: string, remembered: string | undefined): TreeState {
  const key = parseVerifierKey(vkey)
  requireSameLog(store.vkey(), key, vkey)
  const note = store.checkpoint()
  if (note === undefined) throw new AimsError('audit.missing_checkpoint', 'the log has records and no checkpoint')
  const checkpoint = verifyCheckpoint(note, { origin: key.name, keys: [key] })
  const { count, end } = store.extent()
  if (end < checkpoint.size)
    throw new AimsError('audit.rolled_back', 'the log is shorter than its newest checkpoint says')
  if (end > checkpoint.size) throw new AimsError('audit.unsigned_records', 'the log has records nobody signed')
  if (count !== end) throw new AimsError('audit.wrong_index', 'the log lacks records in its middle')
  if (remembered !== undefined) {
    requireContinuation(store, end, verifyCheckpoint(remembered, { origin: key.name, keys: [key] }))
  }
  const tree = requireRoot(store, checkpoint)
  requireLastTile(store, end)
  return { tree, edge: TileEdge.load(end, store.tile) }
}

function requireSameLog(stored: string | undefined, key: VerifierKey, vkey: string): void {
  if (stored === vkey) return
  if (stored === undefined) throw new AimsError('audit.wrong_key', 'the log does not say which key signs it')
  if (parseVerifierKey(stored).name !== key.name) throw new AimsError('audit.wrong_origin', 'the log has another name')
  throw new AimsError('audit.wrong_key', 'the log is signed with another key')
}

function requireContinuation(store: LogStore, size: number, remembered: Checkpoint): void {
  if (remembered.size > size)
    throw new AimsError('audit.rolled_back', 'the log is shorter than a checkpoint that was kept')
  requireRoot(store, remembered)
}

function requireRoot(store: LogStore, { size, root }: Checkpoint): CompactTree {
  const tree = CompactTree.load(size, subtreesOf(store.tile))
  if (!asBuffer(root).equals(tree.root())) throw new AimsError('audit.forked', 'the log is not the one that was signed')
  return tree
}

function requireLastTile(store: LogStore, size: number): void {
  const index = Math.floor(Math.max(size - 1, 0) / TILE_WIDTH)
  const hashes = store.tile(0, index) ?? new Uint8Array()
  for (const record of store.records(index * TILE_WIDTH, size)) {
    const start = (record.index % TILE_WIDTH) * HASH_LENGTH
    if (!leafHash(record.bytes).equals(hashes.subarray(start, start + HASH_LENGTH))) {
      throw new AimsError('audit.hash_mismatch', 'one of the newest records does not have the hash stored for it')
    }
  }
}
