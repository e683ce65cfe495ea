import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { parseSpiffeId } from '../identifiers/spiffe-id.ts'
import { isServedBy } from './agent-group.ts'

const spiffeId = parseSpiffeId('spiffe://example.com/aims/agent/x509-pop/a')
const other = parseSpiffeId('spiffe://example.com/aims/agent/x509-pop/b')

test('an agent serves what names it, by its id or by all selectors of a group', () => {
  const agent = { spiffeId, selectors: ['a:b:1', 'a:b:2'] }
  for (const [agents, isServed] of [
    [[spiffeId], true],
    [[other], false],
    [[other, spiffeId], true],
    [[['a:b:1']], true],
    [[['a:b:1', 'a:b:2']], true],
    [[['a:b:1', 'a:b:3']], false],
    [[['a:b:3'], ['a:b:2']], true],
    [[[]], false],
    [[], false],
  ] as const) {
    assert.equal(isServedBy({ agents }, agent), isServed, JSON.stringify(agents))
  }
  assert.equal(isServedBy({}, agent), false)
})

test('a group is served exactly by those who show all of it', () => {
  const selectors = fc.uniqueArray(fc.constantFrom('a:b:1', 'a:b:2', 'a:b:3', 'a:b:4'))
  fc.assert(
    fc.property(selectors, selectors, (group, shown) => {
      const expected = group.length > 0 && group.every((one) => shown.includes(one))
      assert.equal(isServedBy({ agents: [group] }, { spiffeId, selectors: shown }), expected)
    }),
  )
})
