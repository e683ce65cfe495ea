import { AimsError } from '../../base/errors.ts'

/**
 * A stretch of shared memory that remembers keys by their fingerprints: words about itself, and then slots of four
 * words, the second until which the key is remembered, 0 for a slot that is free, and three words of fingerprint.
 */
export interface Bucket {
  /** Its first word. */
  readonly at: number
  readonly slots: number
}

/** How many words a bucket takes. */
export function bucketWords(slots: number): number {
  return FIRST_SLOT + slots * SLOT
}

const LOCK = 0
/** How many slots are not free. */
const USED = 1
/** No key of the bucket expires before. */
const EARLIEST = 2
/** The latest time the bucket has forgotten. */
const FORGOTTEN = 3
/** Until when a key of the bucket may lie elsewhere. */
const SPILT = 4
const FIRST_SLOT = 5
const SLOT = 4
/** The share of slots in use from which it pays to look for expired ones. */
const SWEEP_FROM = 0.75

/** Where a new key goes, -1 when nowhere, or nothing when the key is there already. Expired keys may be forgotten. */
export function look(words: Uint32Array, bucket: Bucket, hash: Uint32Array, now: number): number | undefined {
  const { at, slots } = bucket
  if (word(words, at + USED) >= SWEEP_FROM * slots && word(words, at + EARLIEST) < now) sweep(words, bucket, now)
  return find(words, bucket, hash, now)
}

/** Puts the key where {@link look} said. @throws {@link AimsError} `proof.replay_store_full`, `proof.replay_store_unavailable` */
export function take(words: Uint32Array, bucket: Bucket, slot: number, hash: Uint32Array, expiresAt: number): true {
  requireRemembered(words, bucket, expiresAt)
  if (slot === -1) throw new AimsError('proof.replay_store_full', 'the replay store is full')
  put(words, bucket.at, slot, expiresAt, hash)
  return true
}

/** After a clock jumped ahead and back, keys that were forgotten meanwhile would look new. */
export function requireRemembered(words: Uint32Array, bucket: Bucket, expiresAt: number): void {
  if (expiresAt <= word(words, bucket.at + FORGOTTEN)) {
    throw new AimsError('proof.replay_store_unavailable', 'the replay store has already forgotten that time')
  }
}

// The free slot for a new key, -1 when there is none, or nothing when the key is there.
function find(words: Uint32Array, { at, slots }: Bucket, hash: Uint32Array, now: number): number | undefined {
  const first = word(hash, 0)
  const second = word(hash, 1)
  const third = word(hash, 2)
  for (let step = 0; step < slots; step += 1) {
    const slot = at + FIRST_SLOT + ((first + step) % slots) * SLOT
    const until = word(words, slot)
    if (until === 0) return slot
    const same = words[slot + 1] === first && words[slot + 2] === second && words[slot + 3] === third
    if (same && until >= now) return undefined
  }
  return -1
}

function put(words: Uint32Array, bucket: number, slot: number, expiresAt: number, hash: Uint32Array): void {
  words[slot] = expiresAt
  words[slot + 1] = word(hash, 0)
  words[slot + 2] = word(hash, 1)
  words[slot + 3] = word(hash, 2)
  const used = word(words, bucket + USED)
  words[bucket + EARLIEST] = used === 0 ? expiresAt : Math.min(word(words, bucket + EARLIEST), expiresAt)
  words[bucket + USED] = used + 1
}

// A freed slot would end the search for keys that lie behind it: what lives is put in anew.
function sweep(words: Uint32Array, bucket: Bucket, now: number): void {
  const { at, slots } = bucket
  const start = at + FIRST_SLOT
  const swept = words.slice(start, start + slots * SLOT)
  words.fill(0, start, start + slots * SLOT)
  words[at + USED] = 0
  for (let from = 0; from < swept.length; from += SLOT) {
    const until = word(swept, from)
    if (until >= now) {
      const hash = swept.subarray(from + 1, from + SLOT)
      put(words, at, find(words, bucket, hash, now) ?? -1, until, hash)
    } else words[at + FORGOTTEN] = Math.max(word(words, at + FORGOTTEN), until)
  }
}

/** Whether a key that is not in the bucket may lie elsewhere. */
export function hasSpilt(words: Uint32Array, { at }: Bucket, now: number): boolean {
  return word(words, at + SPILT) >= now
}

/** Notes that a key of the bucket lies elsewhere. */
export function spilt(words: Uint32Array, { at }: Bucket, expiresAt: number): void {
  words[at + SPILT] = Math.max(word(words, at + SPILT), expiresAt)
}

export function word(words: Uint32Array, index: number): number {
  return words[index] ?? 0
}

const SPINS = 200
const WAIT_MS = 1
const MAX_WAITS = 100

/** @throws {@link AimsError} `proof.replay_store_unavailable` when another thread keeps the bucket too long */
export function lock(locks: Int32Array, { at }: Bucket): void {
  const index = at + LOCK
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

export function unlock(locks: Int32Array, { at }: Bucket): void {
  Atomics.store(locks, at + LOCK, 0)
}
