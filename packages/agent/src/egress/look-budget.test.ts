import assert from 'node:assert/strict'
import { test } from 'node:test'
import { lookBudget } from './look-budget.ts'

test('a user whose looks take too long is refused for a while, and nobody else', () => {
  let now = 0
  const { spend } = lookBudget({ clock: () => now })
  const look = (uid: number, takes: number): string =>
    spend(uid, () => {
      now += takes
      return 'found'
    })
  assert.equal(look(1000, 4000), 'found')
  // One that fails has taken its time, too.
  const failing = (): never => {
    now += 2000
    throw new Error('gone')
  }
  assert.throws(() => spend(1000, failing), /gone/)
  assert.throws(() => look(1000, 0), { code: 'egress.too_busy' })
  assert.equal(look(1001, 3000), 'found')
  // Half of the time that passes is given back.
  now += 1000
  assert.equal(look(1000, 3000), 'found')
  assert.throws(() => look(1000, 0), { code: 'egress.too_busy' })
  now += 100_000
  assert.equal(look(1000, 1), 'found')
})
