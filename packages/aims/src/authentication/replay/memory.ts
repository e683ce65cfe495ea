import { randomFillSync } from 'node:crypto'
import { sha256Base64url } from '../../base/bytes.ts'
import { AimsError } from '../../base/errors.ts'
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
  /** Pass it to a worker and there to {@link openMemoryReplayStore}: both then use up keys for each other. */
  readonly memory: SharedArrayBuffer
}

// The memory begins with the secret; buckets follow. A bucket is four words about itself, and then its slots of four
// words: the second until which the key is remembered, 0 for a slot that is free, and three words of fingerprint.
const SECRET_WORDS = 4
const LOCK = 0
/** How many slots are not free. */
const USED = 1
/** No key of the bucket expires before. */
const EARLIEST = 2
/** The latest time the bucket has forgotten. */
const FORGOTTEN = 3
const FIRST_SLOT = 4
const SLOT = 4
const SLOTS = 128
const BUCKET_WORDS = FIRST_SLOT + SLOTS * SLOT
const SWEEP_FROM = 96
/** Slots per key: buckets fill unevenly, and above this share one of them is full too early. */
const LOAD = 0.7

/**
 * Makes a replay store in the memory of this process, of fixed size: 23 bytes a key. When it is full it refuses.
 *
 * Keeps a keyed fingerprint of 96 bits instead of the key: a false alarm would take more requests than can be made.
 * Forgets everything when the process ends: proofs made before a restart can be used once more after it, unless the
 * store is durable (`openSqliteReplayStore`).
 */
export function createMemoryReplayStore(options: MemoryReplayStoreOptions = {}): MemoryReplayStore {
  const { capacity = 1_000_000 } = options
  if (!Number.isSafeInteger(capacity) || capacity < 1) throw new TypeError('capacity is a positive integer')
  const buckets = Math.ceil(capacity / LOAD / SLOTS)
  const memory = new SharedArrayBuffer(4 * (SECRET_WORDS + buckets * BUCKET_WORDS))
  randomFillSync(new Uint8Array(memory, 0, 4 * SECRET_WORDS))
  return openMemoryReplayStore(memory)
}

/** Opens the store of another thread by its memory. */
export function openMemoryReplayStore(memory: SharedArrayBuffer): MemoryReplayStore {
  const words = new Uint32Array(memory)
  const locks = new Int32Array(memory)
  const secret = Int32Array.from(new Int32Array(memory, 0, SECRET_WORDS))
  const buckets = Math.floor((words.length - SECRET_WORDS) / BUCKET_WORDS)
  const hash = new Int32Array(4)
  const print = new Uint32Array(hash.buffer)
  return {
    memory,
    consume(key, expiresAt, now) {
      fingerprint(key, secret, hash)
      const bucket = SECRET_WORDS + Math.floor((at(print, 3) / 2 ** 32) * buckets) * BUCKET_WORDS
      lock(locks, bucket + LOCK)
      try {
        return consumeIn(words, bucket, print, Math.ceil(expiresAt), now)
      } finally {
        unlock(locks, bucket + LOCK)
      }
    },
  }
}

function consumeIn(words: Uint32Array, bucket: number, hash: Uint32Array, expiresAt: number, now: number): boolean {
  if (at(words, bucket + USED) >= SWEEP_FROM && at(words, bucket + EARLIEST) < now) sweep(words, bucket, now)
  const slot = find(words, bucket, hash, now)
  if (slot === undefined) return false
  // After a clock jumped ahead and back, keys that were forgotten meanwhile would look new.
  if (expiresAt <= at(words, bucket + FORGOTTEN)) {
    throw new AimsError('proof.replay_store_unavailable', 'the replay store has already forgotten that time')
  }
  if (slot === -1) throw new AimsError('proof.replay_store_full', 'the replay store is full')
  put(words, bucket, slot, expiresAt, hash)
  return true
}

// The free slot for a new key, -1 when there is none, or nothing when the key is there.
function find(words: Uint32Array, bucket: number, hash: Uint32Array, now: number): number | undefined {
  const first = at(hash, 0)
  const second = at(hash, 1)
  const third = at(hash, 2)
  for (let step = 0; step < SLOTS; step += 1) {
    const slot = bucket + FIRST_SLOT + ((first + step) % SLOTS) * SLOT
    const until = at(words, slot)
    if (until === 0) return slot
    const same = words[slot + 1] === first && words[slot + 2] === second && words[slot + 3] === third
    if (same && until >= now) return undefined
  }
  return -1
}

function put(words: Uint32Array, bucket: number, slot: number, expiresAt: number, hash: Uint32Array): void {
  words[slot] = expiresAt
  words[slot + 1] = at(hash, 0)
  words[slot + 2] = at(hash, 1)
  words[slot + 3] = at(hash, 2)
  const used = at(words, bucket + USED)
  words[bucket + EARLIEST] = used === 0 ? expiresAt : Math.min(at(words, bucket + EARLIEST), expiresAt)
  words[bucket + USED] = used + 1
}

// A freed slot would end the search for keys that lie behind it: what lives is put in anew.
const swept = new Uint32Array(SLOTS * SLOT)

function sweep(words: Uint32Array, bucket: number, now: number): void {
  const start = bucket + FIRST_SLOT
  swept.set(words.subarray(start, start + SLOTS * SLOT))
  words.fill(0, start, start + SLOTS * SLOT)
  words[bucket + USED] = 0
  for (let from = 0; from < swept.length; from += SLOT) {
    const until = at(swept, from)
    if (until >= now) {
      const hash = swept.subarray(from + 1, from + SLOT)
      put(words, bucket, find(words, bucket, hash, now) ?? -1, until, hash)
    } else words[bucket + FORGOTTEN] = Math.max(at(words, bucket + FORGOTTEN), until)
  }
}

function at(words: Uint32Array, index: number): number {
  return words[index] ?? 0
}

// Synchronous, so one per thread is enough.
const MAX_KEY = 1024
const scratch = Buffer.from(new ArrayBuffer(4 * MAX_KEY))
const scratchWords = new Int32Array(scratch.buffer)

function fingerprint(key: string, secret: Int32Array, out: Int32Array): void {
  const text = key.length <= MAX_KEY ? key : sha256Base64url(key)
  sipHash128(secret, scratchWords, scratch.write(text), out)
}

const SPINS = 200
const WAIT_MS = 1
const MAX_WAITS = 100

function lock(locks: Int32Array, index: number): void {
  for (let tries = 0; tries < SPINS; tries += 1) {
    if (Atomics.compareExchange(locks, index, 0, 1) === 0) return
  }
  // Its holder was interrupted. One that was terminated never lets go, and then this bucket answers no more.
  for (let waits = 0; waits < MAX_WAITS; waits += 1) {
    Atomics.wait(locks, index, 1, WAIT_MS)
    if (Atomics.compareExchange(locks, index, 0, 1) === 0) return
  }
  throw new AimsError('proof.replay_store_unavailable', 'the replay store is locked')
}

function unlock(locks: Int32Array, index: number): void {
  Atomics.store(locks, index, 0)
}
