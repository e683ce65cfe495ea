import assert from 'node:assert/strict'
import { test } from 'node:test'
import { checkTpmProgress, type TpmProgress } from './progress.ts'

const last: TpmProgress = { clock: 1000n, resetCount: 5, restartCount: 2, firmwareVersion: 7n }

test('a TPM goes on: same state, later clock, next power cycle, newer firmware', () => {
  for (const next of [
    last,
    { ...last, clock: 1001n },
    { ...last, restartCount: 3, clock: 1001n },
    // After a power cycle counts start over, and the clock may be a little behind.
    { ...last, resetCount: 6, restartCount: 0, clock: 990n },
    { ...last, firmwareVersion: 8n },
  ]) {
    checkTpmProgress(last, next)
  }
})

for (const [what, change, code] of [
  ['whose clock goes back', { clock: 999n }, 'attestation.stale'],
  ['with fewer power cycles', { resetCount: 4, clock: 2000n }, 'attestation.stale'],
  ['with fewer resumptions', { restartCount: 1, clock: 2000n }, 'attestation.stale'],
  ['with older firmware', { firmwareVersion: 6n, resetCount: 9 }, 'attestation.tcb_out_of_date'],
] as const) {
  test(`a TPM ${what} is refused`, () => {
    assert.throws(() => checkTpmProgress(last, { ...last, ...change }), { code })
  })
}
