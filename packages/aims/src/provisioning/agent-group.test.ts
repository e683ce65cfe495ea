import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { parseSpiffeId } from '../identifiers/spiffe-id.ts'
import { isServedBy, mayShareAgent } from './agent-group.ts'

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

test('two entries meet in one workload when one agent may serve both', () => {
  const edge = ['join-token:name:edge']
  for (const [one, another, meets] of [
    [undefined, undefined, true],
    [undefined, [edge], false],
    [[edge], [edge], true],
    [[edge], [['join-token:name:core']], false],
    [[edge], [['join-token:name:core'], edge], true],
    [[['spiffe:id:spiffe://a.example/1']], [['spiffe:id:spiffe://a.example/2']], false],
    // Each could be another thing that the same machine shows.
    [[edge], [['x509-pop:subject-cn:web-1']], true],
    [[['a:b:1']], [['a:b:2']], true],
    [[spiffeId], [spiffeId], true],
    [[spiffeId], [other], false],
    [[spiffeId], [edge], true],
  ] as const) {
    const entries = [one, another].map((agents) => (agents === undefined ? {} : { agents }))
    const [a = {}, b = {}] = entries
    assert.deepEqual([mayShareAgent(a, b), mayShareAgent(b, a)], [meets, meets], JSON.stringify([one, another]))
  }
})
