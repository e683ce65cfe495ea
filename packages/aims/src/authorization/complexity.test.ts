import assert from 'node:assert/strict'
import { test } from 'node:test'
import { authorize } from './authorize.ts'
import { createCedarEngine } from './cedar-engine.ts'
import { accessRequest, policies } from './testing.ts'

const when = (condition: string): string => `permit(principal, action, resource) when { ${condition} };`
const repeat = (before: string, middle: string, after: string, times: number): string =>
  when(before.repeat(times) + middle + after.repeat(times))

// Each of these ends in a trap of the WASM machine when Cedar reads it.
for (const [what, text] of [
  ['parentheses', repeat('(', 'true', ')', 1000)],
  ['sets', repeat('[', '1', ']', 1000)],
  ['records', repeat('{a:', '1', '}', 1000)],
  ['conditions', repeat('if true then true else ', 'true', '', 1400)],
  ['conjunctions', repeat('true && ', 'true', '', 4000)],
  ['sums', when(`1${'+1'.repeat(15_000)} == 1`)],
  ['attributes', when(`principal${'.a'.repeat(15_000)}`)],
  ['indexes', when(`context${'["a"]'.repeat(5000)}`)],
  ['negations', repeat('!', 'true', '', 30_000)],
  ['characters', when(`principal.id == "${'x'.repeat(40_000)}"`)],
] as const) {
  test(`a policy with too many ${what} does not load`, async () => {
    await assert.rejects(createCedarEngine(policies(text)), { code: 'authorization.invalid_policies' })
  })
}

test('a policy at the limits loads and is evaluated, and so does one with a long list', async () => {
  const deep = (inner: string): string => when(`${'('.repeat(22)}${inner}${')'.repeat(22)}`)
  const paths = Array.from({ length: 800 }, (_, index) => `"/agent/${index}"`).join()
  const engine = await createCedarEngine(
    policies(
      deep(`1${'+1'.repeat(340)} == 341`),
      deep(`${'if principal.covers.body then true else '.repeat(110)}true`),
      deep(`${'principal.covers.body && '.repeat(95)}true`),
      when(`[${paths}].contains(principal.path)`),
    ),
  )
  assert.deepEqual(authorize(accessRequest(), engine).policies, ['p0', 'p1', 'p2'])
})
