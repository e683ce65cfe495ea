import assert from 'node:assert/strict'
import { test } from 'node:test'
import { steadyClock } from './steady-clock.ts'

// One row per thing that a clock can do: how far it is off, and how many seconds have passed. What is said then.
for (const [what, jump, passed, said] of [
  ['runs well', 0, 100, 1100],
  ['is corrected a little', 30, 100, 1130],
  ['jumps ahead', 86_400, 100, 1160],
  ['goes back', -500, 100, 600],
] as const) {
  test(`what a clock says that ${what}`, () => {
    let now = 1000
    let elapsed = 7
    const steady = steadyClock(
      () => now,
      () => elapsed,
    )
    now += passed + jump
    elapsed += passed
    assert.equal(steady(), said)
    // Set right again.
    now -= jump
    assert.equal(steady(), 1000 + passed)
  })
}
