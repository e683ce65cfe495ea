import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Worker } from 'node:worker_threads'
import fc from 'fast-check'
import { replayStoreContract } from '../../../../../test/support/replay-store-contract.ts'
import { createMemoryReplayStore, openMemoryReplayStore } from './memory.ts'

replayStoreContract('memory', () => createMemoryReplayStore({ capacity: 500 }))

// [authentication.wpt.25]
test('a full store refuses, and takes keys again when old ones have expired', () => {
  const store = createMemoryReplayStore({ capacity: 1 })
  const fill = (expiresAt: number, now: number): number => {
    for (let taken = 0; ; taken += 1) {
      try {
        assert.equal(store.consume(`${expiresAt} ${taken}`, expiresAt, now), true)
      } catch (error) {
        assert.equal((error as { code: string }).code, 'proof.replay_store_full')
        return taken
      }
    }
  }
  const taken = fill(100, 10)
  assert.ok(taken >= 1)
  assert.throws(() => store.consume('one more', 100, 99), { code: 'proof.replay_store_full' })
  assert.equal(store.consume('100 0', 100, 99), false, 'a full store still knows what it has')
  assert.equal(fill(200, 101), taken)
})

test('holds the capacity it was made for, at 24 bytes a key at most', () => {
  for (const capacity of [1, 89, 90, 179, 1000, 100_000]) {
    const store = createMemoryReplayStore({ capacity })
    for (let i = 0; i < capacity; i += 1) assert.equal(store.consume(`key ${i}`, 100, 10), true)
    for (let i = 0; i < capacity; i += 1) assert.equal(store.consume(`key ${i}`, 100, 10), false)
    if (capacity >= 100_000) assert.ok(store.memory.byteLength / capacity <= 24)
  }
})

test('agrees with a plain map when buckets are full, while keys expire and others come', () => {
  const uses = fc.array(fc.record({ from: fc.nat(800), count: fc.nat(400), ttl: fc.nat(30), wait: fc.nat(20) }), {
    maxLength: 12,
  })
  let refused = 0
  fc.assert(
    fc.property(uses, (steps) => {
      // Three buckets and a spill, 513 slots: asked for more than that, and mostly for keys that are there.
      const store = createMemoryReplayStore({ capacity: 250 })
      const model = new Map<number, number>()
      let now = 1000
      for (const { from, count, ttl, wait } of steps) {
        now += wait
        for (let key = from; key < from + count; key += 1) {
          const known = (model.get(key) ?? 0) >= now
          assert.equal(
            attempt(() => store.isFresh(`key ${key}`, now + ttl, now)),
            !known,
          )
          const answer = attempt(() => store.consume(`key ${key}`, now + ttl, now))
          if (answer === 'proof.replay_store_full') {
            refused += 1
            const living = [...model.values()].filter((until) => until >= now).length
            assert.ok(!known && living >= 250, `refused at ${living}`)
          } else {
            assert.equal(answer, !known)
            if (!known) model.set(key, now + ttl)
          }
        }
      }
    }),
    { numRuns: 200 },
  )
  assert.ok(refused > 0, 'no bucket was ever full')
})

test('capacity that is no capacity is a mistake of the caller', () => {
  for (const capacity of [0, -1, 1.5, Number.NaN]) assert.throws(() => createMemoryReplayStore({ capacity }), TypeError)
})

test('a bucket whose holder died answers no more, rather than yes', () => {
  const { memory } = createMemoryReplayStore({ capacity: 1 })
  new Int32Array(memory)[4] = 1
  const store = openMemoryReplayStore(memory)
  for (const ask of ['consume', 'isFresh'] as const) {
    assert.throws(() => store[ask]('key', 100, 10), { code: 'proof.replay_store_unavailable' })
  }
})

test('threads that share the memory use up keys for each other: each key has one winner', async () => {
  const KEYS = 3000
  const store = createMemoryReplayStore({ capacity: 2 * KEYS })
  const script = `
    const { parentPort, workerData } = require('node:worker_threads')
    import(workerData.module).then(({ openMemoryReplayStore }) => {
      const store = openMemoryReplayStore(workerData.memory)
      const won = []
      for (let i = 0; i < ${KEYS}; i += 1) if (store.consume('key ' + i, 100, 10)) won.push(i)
      parentPort.postMessage(won)
    })`
  const module = new URL('./memory.ts', import.meta.url).href
  const rounds = [0, 1, 2].map(
    () =>
      new Promise<number[]>((resolve, reject) => {
        const worker = new Worker(script, { eval: true, workerData: { module, memory: store.memory } })
        worker.once('message', resolve).once('error', reject)
      }),
  )
  const won = (await Promise.all(rounds)).flat()
  assert.equal(won.length, KEYS)
  assert.equal(new Set(won).size, KEYS)
})

function attempt<T>(work: () => T): T | string {
  try {
    return work()
  } catch (error) {
    return (error as { code: string }).code
  }
}
