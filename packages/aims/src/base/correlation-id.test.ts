import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createCorrelationId } from './correlation-id.ts'

test('a correlation id is a UUID of version 7, later ones come after earlier ones, and none comes twice', (t) => {
  t.mock.timers.enable({ apis: ['Date'], now: 0 })
  const ids: string[] = []
  // The first and the last millisecond that fit, and two as they are today.
  for (const now of [0, 1_795_000_000_000, 1_795_000_000_001, 2 ** 48 - 1]) {
    t.mock.timers.setTime(now)
    const made = [createCorrelationId(), createCorrelationId()]
    for (const id of made) {
      assert.match(id, /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
      assert.equal(Number.parseInt(id.replace('-', '').slice(0, 12), 16), now)
    }
    ids.push(...made.sort())
  }
  assert.deepEqual(ids.toSorted(), ids)
  assert.equal(new Set(ids).size, ids.length)
})
