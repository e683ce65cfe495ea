import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { parseWorkloadSpiffeId, type WorkloadId } from '../../identifiers/spiffe-id.ts'
import { createOwned } from './owned.ts'

const named = (name: string): WorkloadId => parseWorkloadSpiffeId(`spiffe://example.com/agent/${name}`)
const [alice, bob, carol] = [named('alice'), named('bob'), named('carol')]

// [authentication.mcp.07]
test('who has too many loses its own oldest, and is told so', () => {
  const forgotten: string[] = []
  const owned = createOwned({ perOwner: 2, onForgotten: (id) => void forgotten.push(id) })
  owned.open('hers', alice)
  for (const id of ['1', '2', '3', '4']) owned.open(id, bob)
  assert.deepEqual(forgotten, ['1', '2'])
  assert.equal(owned.ownerOf('1'), undefined)
  assert.equal(owned.ownerOf('4'), bob)
  assert.equal(owned.ownerOf('hers'), alice)
})

test('what is closed makes room, and is not told of', () => {
  const forgotten: string[] = []
  const owned = createOwned({ perOwner: 1, onForgotten: (id) => void forgotten.push(id) })
  owned.open('1', bob)
  owned.close('1')
  owned.close('1')
  owned.open('2', bob)
  assert.equal(owned.ownerOf('1'), undefined)
  assert.equal(owned.ownerOf('2'), bob)
  assert.deepEqual(forgotten, [])
})

test('an id that is given out twice stays with the first', () => {
  const owned = createOwned()
  owned.open('1', alice)
  owned.open('1', bob)
  assert.equal(owned.ownerOf('1'), alice)
})

// [authentication.mcp.07]
test('an agent cannot drive others out, under however many names of sub-agents', () => {
  const owned = createOwned({ perOwner: 2, total: 10 })
  for (const id of ['a1', 'a2']) owned.open(id, alice)
  owned.open('c1', carol)
  for (let i = 0; i < 100; i += 1) owned.open(`b${i}`, named(`bob/sub/n${i}/sub/deeper`))
  for (const id of ['a1', 'a2']) assert.equal(owned.ownerOf(id), alice)
  assert.equal(owned.ownerOf('c1'), carol)
  assert.equal(owned.ownerOf('b92'), undefined)
  for (let i = 93; i < 100; i += 1) assert.ok(owned.ownerOf(`b${i}`), `b${i}`)
  // Who comes later finds room as well.
  owned.open('d1', named('dora'))
  assert.equal(owned.ownerOf('d1'), named('dora'))
  assert.equal(owned.ownerOf('b93'), undefined)
})

test('whatever is opened: no more than allowed, and an agent loses one only to itself or while nobody has more', () => {
  const step = fc.record({ agent: fc.constantFrom('a', 'b', 'c'), sub: fc.nat(3), close: fc.boolean() })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const lost: string[] = []
      const owned = createOwned({ perOwner: 3, total: 8, onForgotten: (id) => void lost.push(id) })
      const open = new Map<string, string>()
      const count = (agent: string): number => [...open.values()].filter((one) => one === agent).length
      for (const [at, { agent, sub, close }] of steps.entries()) {
        const id = `${agent} ${at}`
        owned.open(id, named(sub === 0 ? agent : `${agent}/sub/s${sub}`))
        for (const gone of lost.splice(0)) {
          const loser = open.get(gone) ?? ''
          assert.ok(loser === agent || ['a', 'b', 'c'].every((other) => count(other) <= count(loser)))
          open.delete(gone)
        }
        open.set(id, agent)
        if (close) {
          owned.close(id)
          open.delete(id)
        }
        assert.ok(open.size <= 8)
        for (const one of open.keys()) assert.ok(owned.ownerOf(one))
      }
    }),
  )
})
