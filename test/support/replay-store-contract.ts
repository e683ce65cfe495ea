import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { ReplayStore } from '../../packages/aims/src/authentication/replay/replay-store.ts'
import { answerOf } from './eventually.ts'

/** What every replay store keeps, whatever it is made of. `open` makes an empty one. */
export function replayStoreContract(
  name: string,
  open: () => ReplayStore | Promise<ReplayStore>,
  options: { readonly skip?: string | false } = {},
): void {
  const { skip = false } = options
  test(`${name}: a key is used up by its first use, until it has expired`, { skip }, async () => {
    const store = await open()
    assert.equal(await store.consume('a', 100, 10), true)
    for (const now of [10, 50, 99.9, 100]) assert.equal(await store.consume('a', 100, now), false)
    assert.equal(await store.consume('a', 200, 101), true)
    assert.equal(await store.consume('a', 200, 102), false)
  })

  test(`${name}: a look tells whether a key was used, and uses nothing up`, { skip }, async () => {
    const store = await open()
    for (const now of [10, 11]) assert.equal(await store.isFresh('a', 100, now), true)
    assert.equal(await store.consume('a', 100, 12), true)
    for (const now of [12, 50, 99.9, 100]) assert.equal(await store.isFresh('a', 100, now), false)
    assert.equal(await store.isFresh('b', 100, 50), true)
    assert.equal(await store.isFresh('a', 200, 101), true)
    assert.equal(await store.consume('a', 200, 102), true)
    assert.equal(await store.isFresh('a', 200, 103), false)
  })

  test(`${name}: keys are told apart by every character and by nothing else`, { skip }, async () => {
    const store = await open()
    const keys = [
      '',
      'a',
      'A',
      'a ',
      ' a',
      'aa',
      '\u00e9',
      'e\u0301',
      '\u0000',
      '\u0000\u0000',
      'x'.repeat(5000),
      `${'x'.repeat(4999)}y`,
    ]
    for (const key of keys) assert.equal(await store.consume(key, 100, 10), true, JSON.stringify(key))
    for (const key of keys) assert.equal(await store.consume(key, 100, 10), false, JSON.stringify(key))
  })

  test(`${name}: of a thousand uses at once, one wins`, { skip }, async () => {
    const store = await open()
    const answers = await Promise.all(Array.from({ length: 1000 }, async () => store.consume('same', 100, 10)))
    assert.equal(answers.filter((fresh) => fresh).length, 1)
  })

  test(`${name}: a clock that jumps ahead and back does not make an old key fresh`, { skip }, async () => {
    const store = await open()
    assert.equal(await store.consume('old', 100, 10), true)
    for (let i = 0; i < 200; i += 1) await store.consume(`later ${i}`, 10_100, 10_000)
    for (let attempt = 0; attempt < 3; attempt += 1) {
      for (const ask of ['isFresh', 'consume'] as const) {
        const answer = await answerOf(async () => store[ask]('old', 100, 11))
        assert.ok(answer === false || answer === 'proof.replay_store_unavailable', String(answer))
      }
    }
  })

  test(`${name}: agrees with a plain map for any sequence of uses`, { skip }, async () => {
    const step = fc.record({
      key: fc.integer({ min: 0, max: 20 }),
      ttl: fc.integer({ min: 1, max: 50 }),
      wait: fc.nat(20),
    })
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
        const store = await open()
        const model = new Map<number, number>()
        let now = 1000
        for (const { key, ttl, wait } of steps) {
          now += wait
          const fresh = (model.get(key) ?? 0) < now
          assert.equal(await store.isFresh(`key ${key}`, now + ttl, now), fresh)
          assert.equal(await store.consume(`key ${key}`, now + ttl, now), fresh)
          assert.equal(await store.isFresh(`key ${key}`, now + ttl, now), false)
          if (fresh) model.set(key, now + ttl)
        }
      }),
      { numRuns: 60 },
    )
  })
}
