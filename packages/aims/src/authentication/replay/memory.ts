import { randomFillSync } from 'node:crypto'
import { sha256Base64url } from '../../base/bytes.ts'
import {
  type Bucket,
  bucketWords,
  hasSpilt,
  lock,
  look,
  requireRemembered,
  spilt,
  take,
  unlock,
  word,
} from './bucket.ts'
import type { ReplayStore } from './replay-store.ts'
import { sipHash128 } from './siphash.ts'

/** How much a replay store in memory holds. */
export interface MemoryReplayStoreOptions {
  /**
   * How many keys may be remembered at once: requests per second, times the seconds a proof can live, and the skew.
   * Default 1,000,000, which takes 23 MB.
   */
  readonly capacity?: number
}

/** A replay store that its owner may hand to worker threads. */
export interface MemoryReplayStore extends ReplayStore {
  consume(key: string, expiresAt: number, now: number): boolean
  isFresh(key: string, expiresAt: number, now: number): boolean
  /** Pass it to a worker and there to {@link openMemoryReplayStore}: both then use up keys for each other. */
  readonly memory: SharedArrayBuffer
}

// The memory begins with the secret; buckets of one size follow, and then one of another size, the spill, for the keys
// of buckets that are full.
const SECRET_WORDS = 4
const SLOTS = 128
const BUCKET_WORDS = bucketWords(SLOTS)
/** Keys per slot at capacity. */
const LOAD = 0.7
// Keys fall on buckets at random: at capacity one bucket in 18,000 has no room, and the keys that find none are one for
// every 6100 buckets. The spill takes 190 times as many, and 128 at least.
const BUCKETS_PER_SPILL_SLOT = 32
const MIN_SPILL_SLOTS = 128

/**
 * Makes a replay store in the memory of this process, of fixed size: 23 bytes a key. When it is full it refuses, and
 * not before it holds its capacity.
 *
 * Keeps a keyed fingerprint of 96 bits instead of the key: a false alarm would take more requests than can be made.
 * Forgets everything when the process ends: proofs made before a restart can be used once more after it, unless the
 * store is durable (`openSqliteReplayStore`).
 */
export function createMemoryReplayStore(options: MemoryReplayStoreOptions = {}): MemoryReplayStore {
  const { capacity = 1_000_000 } = options
  if (!Number.isSafeInteger(capacity) || capacity < 1) throw new TypeError('capacity is a positive integer')
  const buckets = Math.ceil(capacity / LOAD / SLOTS)
  const words = SECRET_WORDS + buckets * BUCKET_WORDS + bucketWords(spillSlots(buckets))
  const memory = new SharedArrayBuffer(4 * words)
  randomFillSync(new Uint8Array(memory, 0, 4 * SECRET_WORDS))
  return openMemoryReplayStore(memory)
}

/** Opens the store of another thread by its memory. */
export function openMemoryReplayStore(memory: SharedArrayBuffer): MemoryReplayStore {
  const words = new Uint32Array(memory)
  const locks = new Int32Array(memory)
  const secret = Int32Array.from(new Int32Array(memory, 0, SECRET_WORDS))
  const buckets = bucketsIn(words.length)
  const spill: Bucket = { at: SECRET_WORDS + buckets * BUCKET_WORDS, slots: spillSlots(buckets) }
  const table: Table = { words, locks, spill }
  const hash = new Int32Array(4)
  const print = new Uint32Array(hash.buffer)
  const inBucket = (ask: typeof consumeIn, key: string, expiresAt: number, now: number): boolean => {
    fingerprint(key, secret, hash)
    const at = SECRET_WORDS + Math.floor((word(print, 3) / 2 ** 32) * buckets) * BUCKET_WORDS
    const bucket: Bucket = { at, slots: SLOTS }
    lock(locks, bucket)
    try {
      return ask(table, bucket, print, Math.ceil(expiresAt), now)
    } finally {
      unlock(locks, bucket)
    }
  }
  return {
    memory,
    consume: (key, expiresAt, now) => inBucket(consumeIn, key, expiresAt, now),
    isFresh: (key, expiresAt, now) => inBucket(isFreshIn, key, expiresAt, now),
  }
}

interface Table {
  readonly words: Uint32Array
  readonly locks: Int32Array
  readonly spill: Bucket
}

function spillSlots(buckets: number): number {
  return MIN_SPILL_SLOTS + Math.ceil(buckets / BUCKETS_PER_SPILL_SLOT)
}

// The inverse of how large the memory was made.
function bucketsIn(words: number): number {
  const rest = words - SECRET_WORDS - bucketWords(MIN_SPILL_SLOTS)
  return Math.floor(rest / (BUCKET_WORDS + (bucketWords(1) - bucketWords(0)) / BUCKETS_PER_SPILL_SLOT))
}

// The bucket is locked: whoever brings the same key waits, also while the spill is looked at.
function consumeIn(table: Table, bucket: Bucket, hash: Uint32Array, expiresAt: number, now: number): boolean {
  const { words, locks, spill } = table
  const slot = look(words, bucket, hash, now)
  if (slot === undefined) return false
  if (slot !== -1 && !hasSpilt(words, bucket, now)) return take(words, bucket, slot, hash, expiresAt)
  lock(locks, spill)
  try {
    const beyond = look(words, spill, hash, now)
    if (beyond === undefined) return false
    // Neither may have forgotten the time of a key that is new.
    requireRemembered(words, bucket, expiresAt)
    requireRemembered(words, spill, expiresAt)
    if (slot !== -1) return take(words, bucket, slot, hash, expiresAt)
    take(words, spill, beyond, hash, expiresAt)
    spilt(words, bucket, expiresAt)
    return true
  } finally {
    unlock(locks, spill)
  }
}

function isFreshIn(table: Table, bucket: Bucket, hash: Uint32Array, expiresAt: number, now: number): boolean {
  const { words, locks, spill } = table
  if (look(words, bucket, hash, now) === undefined) return false
  if (hasSpilt(words, bucket, now)) {
    lock(locks, spill)
    try {
      if (look(words, spill, hash, now) === undefined) return false
      requireRemembered(words, spill, expiresAt)
    } finally {
      unlock(locks, spill)
    }
  }
  requireRemembered(words, bucket, expiresAt)
  return true
}

// Synchronous, so one per thread is enough.
const MAX_KEY = 1024
const scratch = Buffer.from(new ArrayBuffer(4 * MAX_KEY))
const scratchWords = new Int32Array(scratch.buffer)

function fingerprint(key: string, secret: Int32Array, out: Int32Array): void {
  const text = key.length <= MAX_KEY ? key : sha256Base64url(key)
  sipHash128(secret, scratchWords, scratch.write(text), out)
}
