import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { createTokenBuckets } from './token-buckets.ts'

let now = 0
const clock = (): number => now
const times = (count: number, work: () => unknown): void => {
  for (let n = 0; n < count; n += 1) work()
}

test('a bucket has its burst at once and its rate after that', () => {
  const buckets = createTokenBuckets({ rate: 2, burst: 3, clock })
  times(3, () => assert.equal(buckets.take('a'), 0))
  assert.equal(buckets.take('a'), 0.5)
  now += 499
  assert.notEqual(buckets.take('a'), 0)
  now += 1
  assert.equal(buckets.take('a'), 0)
  now += 3_600_000
  times(3, () => assert.equal(buckets.take('a'), 0))
  assert.notEqual(buckets.take('a'), 0)
})

test('over any time nobody gets more than burst and rate', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(2000), { maxLength: 300 }), (pauses) => {
      const start = now
      const buckets = createTokenBuckets({ rate: 5, burst: 7, clock })
      let got = 0
      for (const pause of pauses) {
        now += pause
        if (buckets.take('a') === 0) got += 1
      }
      assert.ok(got <= 7 + ((now - start) * 5) / 1000 + 1e-6)
    }),
  )
})

test('a rate of 0 limits nobody', () => {
  const buckets = createTokenBuckets({ rate: 0, clock })
  times(10_000, () => assert.equal(buckets.take('a'), 0))
})

test('keys are bounded: the one that was longest away makes room, and the one that asks most stays', () => {
  const buckets = createTokenBuckets({ rate: 1, burst: 1, maxKeys: 3, clock })
  for (const key of ['flooder', 'b', 'c', 'flooder', 'd', 'flooder', 'e', 'flooder']) buckets.take(key)
  assert.notEqual(buckets.take('flooder'), 0)
  // Forgotten, and full again.
  assert.equal(buckets.take('b'), 0)
})
