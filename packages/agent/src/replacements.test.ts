import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { createReplacements, type Replacements } from './replacements.ts'

const NOW = 1_800_000_000

function make(random: () => number = () => 0.5) {
  const state = { now: NOW, fallen: new Set<string>(), revoked: new Set<string>(), window: 10 }
  const replacements: Replacements = createReplacements({
    clock: () => state.now,
    random,
    stands: (signer) => !state.fallen.has(signer),
    within: (signer) => (state.revoked.has(signer) ? 0 : state.window),
  })
  return { state, replacements }
}

test('what stands is not replaced', () => {
  const { replacements } = make()
  assert.equal(replacements.dueAt('a', ['ca', 'wit']), undefined)
  assert.equal(replacements.dueAt('a', []), undefined)
})

test('what a tainted authority signed has its turn, and keeps it', () => {
  const { state, replacements } = make()
  state.fallen.add('ca')
  assert.equal(replacements.dueAt('a', ['ca', 'wit']), NOW + 5)
  state.now += 4
  assert.equal(replacements.dueAt('a', ['ca', 'wit']), NOW + 5)
  // Replaced, and its next one falls again.
  replacements.forget('a')
  assert.equal(replacements.dueAt('a', ['ca']), NOW + 9)
})

test('a revocation does not wait for the turn', () => {
  const { state, replacements } = make()
  state.fallen.add('ca')
  replacements.dueAt('a', ['ca'])
  state.now += 1
  state.revoked.add('ca')
  assert.equal(replacements.dueAt('a', ['ca']), NOW + 1)
})

test('of two fallen authorities the one that ends first counts', () => {
  const { state, replacements } = make(() => 1)
  state.fallen.add('ca').add('wit')
  state.revoked.add('wit')
  assert.equal(replacements.dueAt('a', ['ca', 'wit']), NOW)
})

test('what stands again, as after a forced step back, is left alone', () => {
  const { state, replacements } = make()
  state.fallen.add('ca')
  replacements.dueAt('a', ['ca'])
  state.fallen.clear()
  assert.equal(replacements.dueAt('a', ['ca']), undefined)
  state.now += 60
  state.fallen.add('ca')
  assert.equal(replacements.dueAt('a', ['ca']), NOW + 65)
})

// [provisioning.aims.04]
test('ten thousand identities come spread over the window, and none after it', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 0x7fff_fffe }), (seed) => {
      // A linear congruence, so that a run can be repeated.
      let last = seed
      const random = (): number => {
        last = (last * 48_271) % 0x7fff_ffff
        return last / 0x7fff_ffff
      }
      const { state, replacements } = make(random)
      state.fallen.add('ca')
      const tenths = new Array<number>(10).fill(0)
      for (let id = 0; id < 10_000; id += 1) {
        const at = replacements.dueAt(String(id), ['ca']) ?? Number.NaN
        assert.ok(at >= NOW && at <= NOW + 10, `${at}`)
        const tenth = Math.min(9, Math.floor(at - NOW))
        tenths[tenth] = (tenths[tenth] ?? 0) + 1
      }
      for (const count of tenths) assert.ok(count > 500 && count < 2000, tenths.join(' '))
    }),
    { numRuns: 5 },
  )
})
