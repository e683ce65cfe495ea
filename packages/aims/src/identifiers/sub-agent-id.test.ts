import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { parseSpiffeId } from './spiffe-id.ts'
import { ancestorsOf, isChildOf, isSelfOrDescendant, joinSubAgentId } from './sub-agent-id.ts'

const root = parseSpiffeId('spiffe://example.com/agent/planner')
const names = fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9._-]{0,12}$/).filter((name) => name !== 'sub')

for (const name of ['', '.', '..', 'a/b', 'sub', '-a', 'ä', 'a b', 'a'.repeat(65)]) {
  test(`${JSON.stringify(name.slice(0, 8))} is no name of a sub-agent`, () => {
    assert.throws(() => joinSubAgentId(root, name), { code: 'identifier.bad_path_char' })
  })
}

test('a chain of names has one reading: its ancestors are those it was made of', () => {
  fc.assert(
    fc.property(fc.array(names, { maxLength: 6 }), (chain) => {
      const made = [root]
      for (const name of chain) made.push(joinSubAgentId(made.at(-1) ?? root, name))
      const id = made.at(-1) ?? root
      assert.deepEqual(ancestorsOf(id), made.slice(0, -1))
      const parent = made.at(-2)
      if (parent !== undefined) assert.equal(isChildOf(id, parent), true)
      assert.ok(made.every((one) => isSelfOrDescendant(id, one)))
      if (chain.length > 1) assert.equal(isChildOf(id, root), false)
    }),
  )
})

test('neither a similar name nor another path below is a descendant', () => {
  for (const other of [
    '/agent/planner2',
    '/agent/planner/other',
    '/agent/planner/subs/a',
    '/agent',
    '/agent/planner/sub',
  ]) {
    const id = parseSpiffeId(`spiffe://example.com${other}`)
    assert.equal(isSelfOrDescendant(id, root), false)
    assert.equal(isChildOf(id, root), false)
  }
  // A path that begins with the word names no parent.
  assert.deepEqual(ancestorsOf(parseSpiffeId('spiffe://example.com/sub/a')), [])
  assert.deepEqual(ancestorsOf(parseSpiffeId('spiffe://example.com')), [])
})
