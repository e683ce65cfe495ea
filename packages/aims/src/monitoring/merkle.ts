import { hash } from 'node:crypto'
import { asBuffer, sha256 } from '../base/bytes.ts'

/** Bytes of a SHA-256 hash. */
export const HASH_LENGTH = 32

/** The root of a tree without leaves. */
export const EMPTY_ROOT: Uint8Array = sha256('')

/**
 * Gives the root of the complete subtree over the leaves from `index * 2^level` up to `(index + 1) * 2^level`.
 * It is only asked for subtrees that lie inside the tree.
 */
export type ReadSubtree = (level: number, index: number) => Uint8Array

/** Hash of an entry. @see RFC 6962 section 2.1 */
export function leafHash(entry: Uint8Array): Buffer {
  const input = Buffer.allocUnsafe(entry.length + 1)
  input[0] = 0
  input.set(entry, 1)
  return hash('sha256', input, 'buffer')
}

/** Hash of an inner node. @see RFC 6962 section 2.1 */
export function nodeHash(left: Uint8Array, right: Uint8Array): Buffer {
  const input = Buffer.allocUnsafe(1 + 2 * HASH_LENGTH)
  input[0] = 1
  input.set(left, 1)
  input.set(right, 1 + HASH_LENGTH)
  return hash('sha256', input, 'buffer')
}

/** A growing tree that remembers only what it needs for its root: one hash for each bit that is set in its size. */
export class CompactTree {
  // By level: the complete subtree of that size at the right edge, where there is one.
  readonly #edge: (Uint8Array | undefined)[] = []
  #size = 0

  /** The tree of `size` leaves, from its stored subtrees. */
  static load(size: number, read: ReadSubtree): CompactTree {
    const tree = new CompactTree()
    tree.#size = size
    for (let level = 0, rest = size; rest > 0; level += 1, rest = Math.floor(rest / 2)) {
      if (rest % 2 === 1) tree.#edge[level] = read(level, rest - 1)
    }
    return tree
  }

  get size(): number {
    return this.#size
  }

  append(leaf: Uint8Array): void {
    let subtree = leaf
    let level = 0
    for (let left = this.#edge[0]; left !== undefined; left = this.#edge[level]) {
      subtree = nodeHash(left, subtree)
      this.#edge[level] = undefined
      level += 1
    }
    this.#edge[level] = subtree
    this.#size += 1
  }

  root(): Uint8Array {
    let root: Uint8Array | undefined
    for (const subtree of this.#edge) {
      if (subtree !== undefined) root = root === undefined ? subtree : nodeHash(subtree, root)
    }
    return root ?? EMPTY_ROOT
  }
}

/** The path from leaf `index` to the root of the tree of `size` leaves. @see RFC 6962 section 2.1.1 */
export function inclusionProof(index: number, size: number, read: ReadSubtree): Uint8Array[] {
  if (!isCount(index) || !isCount(size) || index >= size) throw new TypeError('the tree has no leaf of this index')
  return pathTo(index, 0, size, read)
}

function pathTo(index: number, start: number, end: number, read: ReadSubtree): Uint8Array[] {
  if (end - start === 1) return []
  const middle = start + largestPowerBelow(end - start)
  return index < middle
    ? [...pathTo(index, start, middle, read), rootOf(middle, end, read)]
    : [...pathTo(index, middle, end, read), rootOf(start, middle, read)]
}

/** What shows that the tree of `to` leaves begins with the tree of `from` leaves. @see RFC 6962 section 2.1.2 */
export function consistencyProof(from: number, to: number, read: ReadSubtree): Uint8Array[] {
  if (!isCount(from) || !isCount(to) || from > to) throw new TypeError('a tree begins with smaller trees only')
  return from === 0 ? [] : boundaryTo(from, 0, to, true, read)
}

// SUBPROOF of RFC 6962: `known` while the verifier has the root of the left part already.
function boundaryTo(from: number, start: number, end: number, known: boolean, read: ReadSubtree): Uint8Array[] {
  if (from === end) return known ? [] : [rootOf(start, end, read)]
  const middle = start + largestPowerBelow(end - start)
  return from <= middle
    ? [...boundaryTo(from, start, middle, known, read), rootOf(middle, end, read)]
    : [...boundaryTo(from, middle, end, false, read), rootOf(start, middle, read)]
}

function rootOf(start: number, end: number, read: ReadSubtree): Uint8Array {
  const split = largestPowerBelow(end - start)
  if (2 * split === end - start || end - start === 1) return read(Math.log2(end - start), start / (end - start))
  return nodeHash(rootOf(start, start + split, read), rootOf(start + split, end, read))
}

/** The largest power of two smaller than `n`; 1 for 1. */
function largestPowerBelow(n: number): number {
  let power = 1
  while (2 * power < n) power *= 2
  return power
}

/** A claim that a tree has a leaf. None of its fields is believed before it is checked. */
export interface InclusionClaim {
  readonly index: number
  readonly size: number
  readonly leaf: Uint8Array
  readonly root: Uint8Array
  readonly proof: readonly Uint8Array[]
}

/** True when the proof leads from the leaf to the root. @see RFC 9162 section 2.1.3.2 */
export function verifyInclusion(claim: InclusionClaim): boolean {
  const { index, size, leaf, root, proof } = claim
  if (!isCount(index) || !isCount(size) || index >= size || !areHashes([leaf, root, ...proof])) return false
  let position = index
  let last = size - 1
  let subtree = leaf
  for (const sibling of proof) {
    if (last === 0) return false
    if (isOdd(position) || position === last) {
      subtree = nodeHash(sibling, subtree)
      // A node at the right edge without a sibling moves up unchanged.
      while (!isOdd(position) && position !== 0) {
        position = half(position)
        last = half(last)
      }
    } else subtree = nodeHash(subtree, sibling)
    position = half(position)
    last = half(last)
  }
  return last === 0 && asBuffer(subtree).equals(root)
}

/** A claim that a tree begins with a smaller one. None of its fields is believed before it is checked. */
export interface ConsistencyClaim {
  readonly from: number
  readonly to: number
  readonly fromRoot: Uint8Array
  readonly toRoot: Uint8Array
  readonly proof: readonly Uint8Array[]
}

/** True when the proof ties both roots together. Every tree begins with the empty one. @see RFC 9162 section 2.1.4.2 */
export function verifyConsistency(claim: ConsistencyClaim): boolean {
  const { from, to, fromRoot, toRoot, proof } = claim
  if (from !== 0) return verifySubtree({ start: 0, end: from, size: to, subtreeRoot: fromRoot, root: toRoot, proof })
  const empty = areHashes([fromRoot, toRoot]) && asBuffer(fromRoot).equals(EMPTY_ROOT)
  return isCount(to) && empty && proof.length === 0 && (to > 0 || asBuffer(toRoot).equals(EMPTY_ROOT))
}

/** A claim that a tree contains the subtree over its leaves from `start` up to `end`. */
export interface SubtreeClaim {
  readonly start: number
  readonly end: number
  readonly size: number
  readonly subtreeRoot: Uint8Array
  readonly root: Uint8Array
  readonly proof: readonly Uint8Array[]
}

/**
 * True when the proof ties the root of the subtree to the root of the tree. Consistency of trees is the case `start` 0.
 *
 * @see draft-ietf-plants-merkle-tree-certs, section "Subtree Consistency Proofs"
 */
export function verifySubtree(claim: SubtreeClaim): boolean {
  const { start, end, size, subtreeRoot, root, proof } = claim
  if (!isSubtree(start, end) || !isCount(size) || end > size) return false
  if (!areHashes([subtreeRoot, root, ...proof])) return false
  let first = start
  let edge = end - 1
  let last = size - 1
  // Up to the largest node that ends where the subtree ends: the proof begins with it, unless it is the subtree itself.
  while (first !== edge && (edge === last || isOdd(edge))) {
    first = half(first)
    edge = half(edge)
    last = half(last)
  }
  const path = [...proof]
  const begin = first === edge ? subtreeRoot : path.shift()
  if (begin === undefined) return false
  let inner = begin
  let outer = begin
  for (const sibling of path) {
    if (last === 0) return false
    if (isOdd(edge) || edge === last) {
      if (first < edge) inner = nodeHash(sibling, inner)
      outer = nodeHash(sibling, outer)
      while (!isOdd(edge) && edge !== 0) {
        first = half(first)
        edge = half(edge)
        last = half(last)
      }
    } else outer = nodeHash(outer, sibling)
    first = half(first)
    edge = half(edge)
    last = half(last)
  }
  return last === 0 && asBuffer(inner).equals(subtreeRoot) && asBuffer(outer).equals(root)
}

// A subtree begins at a multiple of its size, rounded up to a power of two.
function isSubtree(start: number, end: number): boolean {
  if (!isCount(start) || !isCount(end) || start >= end) return false
  const length = end - start
  return start % (length === 1 ? 1 : 2 * largestPowerBelow(length)) === 0
}

// Not bit operators: they end at 2^31.
const half = (n: number): number => Math.floor(n / 2)
const isOdd = (n: number): boolean => n % 2 === 1
const isCount = (n: number): boolean => Number.isSafeInteger(n) && n >= 0
const areHashes = (hashes: readonly Uint8Array[]): boolean => hashes.every(({ length }) => length === HASH_LENGTH)
