import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { parseTrustDomain } from '../../identifiers/trust-domain.ts'
import { parseEntry, type RegistrationEntry } from '../entry.ts'
import { matchEntries } from '../match.ts'
import { createEntryIndex } from './entry-index.ts'

const trustDomain = parseTrustDomain('example.com')
const SELECTORS = ['unix:uid:1', 'unix:uid:2', 'unix:gid:1', 'k8s:ns:a', 'docker:label:x:1']

function entry(id: string, selectors: readonly string[], revision = 1): RegistrationEntry {
  return parseEntry({ id, spiffeId: `spiffe://example.com/${id}`, selectors, revision }, { trustDomain })
}

test('whatever was put in, changed and taken out, the index finds what a search through all entries finds', () => {
  const selectors = fc.uniqueArray(fc.constantFrom(...SELECTORS), { minLength: 1 })
  const step = fc.record({ id: fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f'), selectors, gone: fc.boolean() })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 30 }), fc.subarray(SELECTORS), (steps, shown) => {
      const index = createEntryIndex()
      const plain = new Map<string, RegistrationEntry>()
      for (const { id, selectors: wanted, gone } of steps) {
        if (gone) {
          index.delete(id)
          plain.delete(id)
        } else {
          const one = entry(id, wanted)
          index.set(one)
          plain.set(id, one)
        }
      }
      const all = [...plain.values()].sort((a, b) => (a.id < b.id ? -1 : 1))
      assert.deepEqual(index.list(), all)
      assert.equal(index.size, all.length)
      assert.deepEqual(index.match(shown), matchEntries(all, shown))
      for (const one of all) {
        assert.equal(index.find(one.id), one)
        assert.equal(index.findBySubject(one.spiffeId), one)
      }
      assert.equal(index.findBySubject(entry('z', ['unix:uid:1']).spiffeId), undefined)
    }),
  )
})

test('an entry that moved to another selector is not found under the old one, and a list given out does not change', () => {
  const index = createEntryIndex([entry('a', ['unix:uid:1'])])
  const before = index.list()
  index.set(entry('a', ['unix:uid:2'], 2))
  assert.deepEqual(index.match(['unix:uid:1']), [])
  assert.equal(index.match(['unix:uid:2', 'unix:gid:1'])[0]?.revision, 2)
  assert.equal(before[0]?.revision, 1)
  assert.equal(index.list(), index.list())
})
