import { asBuffer } from '../base/bytes.ts'
import { AimsError } from '../base/errors.ts'
import { HASH_LENGTH, nodeHash, type ReadSubtree } from './merkle.ts'

/** Hashes in a full tile. */
export const TILE_WIDTH = 256
const TILE_HEIGHT = 8

/**
 * Up to 256 consecutive hashes of one level: leaf hashes at level 0, roots of full tiles of the level below above it.
 *
 * @see C2SP tlog-tiles, section "Merkle Tree"
 */
export interface Tile {
  readonly level: number
  readonly index: number
  /** Up to 256 hashes of 32 bytes, one after the other. */
  readonly hashes: Uint8Array
}

/** Gives the hashes of a tile as far as they are stored, or `undefined`. */
export type ReadTile = (level: number, index: number) => Uint8Array | undefined

/**
 * Reads subtrees out of tiles.
 *
 * @throws {@link AimsError} `audit.forked` from the returned function, when a hash that should be there is not
 */
export function subtreesOf(readTile: ReadTile): ReadSubtree {
  return (level, index) => {
    const width = 2 ** (level % TILE_HEIGHT)
    const first = index * width
    const tile = readTile(Math.floor(level / TILE_HEIGHT), Math.floor(first / TILE_WIDTH))
    const start = first % TILE_WIDTH
    const hashes = tile?.subarray(start * HASH_LENGTH, (start + width) * HASH_LENGTH)
    if (hashes?.length !== width * HASH_LENGTH) throw new AimsError('audit.forked', 'a hash of the tree is missing')
    return rootOfHashes(hashes)
  }
}

// The number of hashes is a power of two.
function rootOfHashes(hashes: Uint8Array): Uint8Array {
  if (hashes.length === HASH_LENGTH) return hashes
  const middle = hashes.length / 2
  return nodeHash(rootOfHashes(hashes.subarray(0, middle)), rootOfHashes(hashes.subarray(middle)))
}

/** The tiles at the right edge of a growing tree. */
export class TileEdge {
  // By level: the hashes of the last tile, room for all 256, and how many hashes the level has.
  readonly #levels: { readonly hashes: Buffer; count: number }[] = []

  /** The edge of a tree of `size` leaves. @throws {@link AimsError} `audit.forked` when a tile is missing */
  static load(size: number, readTile: ReadTile): TileEdge {
    const edge = new TileEdge()
    for (let level = 0, count = size; count > 0; level += 1, count = Math.floor(count / TILE_WIDTH)) {
      const width = count % TILE_WIDTH
      const stored = width === 0 ? Buffer.alloc(0) : readTile(level, Math.floor(count / TILE_WIDTH))
      if (stored === undefined) throw new AimsError('audit.forked', 'a hash of the tree is missing')
      const hashes = Buffer.alloc(TILE_WIDTH * HASH_LENGTH)
      hashes.set(stored.subarray(0, width * HASH_LENGTH))
      edge.#levels.push({ hashes, count })
    }
    return edge
  }

  /** Adds a leaf and calls `full` for every tile that it fills, from level 0 up. */
  append(leaf: Uint8Array, full: (tile: Tile) => void): void {
    this.#push(0, leaf, full)
  }

  #push(level: number, hash: Uint8Array, full: (tile: Tile) => void): void {
    const at = this.#levels[level] ?? { hashes: Buffer.alloc(TILE_WIDTH * HASH_LENGTH), count: 0 }
    this.#levels[level] = at
    at.hashes.set(hash, (at.count % TILE_WIDTH) * HASH_LENGTH)
    at.count += 1
    if (at.count % TILE_WIDTH !== 0) return
    full({ level, index: at.count / TILE_WIDTH - 1, hashes: Buffer.from(at.hashes) })
    this.#push(level + 1, rootOfHashes(Buffer.from(at.hashes)), full)
  }

  /** The tiles that are not full, one for each level that has one. */
  *partial(): Generator<Tile> {
    for (const [level, { hashes, count }] of this.#levels.entries()) {
      const width = count % TILE_WIDTH
      if (width === 0) continue
      yield { level, index: Math.floor(count / TILE_WIDTH), hashes: hashes.subarray(0, width * HASH_LENGTH) }
    }
  }
}

/** Every tile of a tree of `size` leaves: its place, and how many hashes it has. */
export function* tilesOf(size: number): Generator<{ level: number; index: number; width: number }> {
  for (let level = 0, count = size; count > 0; level += 1, count = Math.floor(count / TILE_WIDTH)) {
    for (let index = 0; index * TILE_WIDTH < count; index += 1) {
      yield { level, index, width: Math.min(TILE_WIDTH, count - index * TILE_WIDTH) }
    }
  }
}

/** The place of a tile below the folder or address of a log, e.g. `tile/0/x001/067.p/12`. @see C2SP tlog-tiles */
export function tilePath(level: number, index: number, width: number): string {
  const groups = [index % 1000]
  for (let rest = Math.floor(index / 1000); rest > 0; rest = Math.floor(rest / 1000)) groups.unshift(rest % 1000)
  const [last = '', ...parents] = groups.map((group) => String(group).padStart(3, '0')).reverse()
  const folders = parents.reverse().map((group) => `x${group}/`)
  return `tile/${level}/${folders.join('')}${last}${width === TILE_WIDTH ? '' : `.p/${width}`}`
}

/** The first of two runs of hashes' places where they differ, or -1. A run that ends differs from one that goes on. */
export function firstDifference(ours: Uint8Array, theirs: Uint8Array): number {
  for (let start = 0; start < Math.max(ours.length, theirs.length); start += HASH_LENGTH) {
    const end = start + HASH_LENGTH
    if (!asBuffer(ours.subarray(start, end)).equals(theirs.subarray(start, end))) return start / HASH_LENGTH
  }
  return -1
}
