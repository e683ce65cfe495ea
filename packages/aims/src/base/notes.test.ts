import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createNotes } from './notes.ts'

const MADE: readonly (readonly [string, () => object])[] = [
  ['a plain object', () => ({ a: 1 })],
  ['one that is frozen', () => Object.freeze({ a: 1 })],
  ['one without prototype', () => Object.create(null)],
  ['one of a class', () => new URL('https://example.com')],
]

for (const [what, make] of MADE) {
  test(`a note on ${what} is read from that very object, by who has the notes`, () => {
    const notes = createNotes<string>()
    const object = make()
    assert.equal(notes.get(object), undefined)
    notes.put(object, 'first')
    notes.put(object, 'second')
    assert.equal(notes.get(object), 'second')
    for (const other of [make(), { ...object }, Object.create(object), new Proxy(object, {})]) {
      assert.equal(notes.get(other), undefined)
    }
    assert.equal(createNotes<string>().get(object), undefined)
    assert.deepEqual(Reflect.ownKeys(object), Reflect.ownKeys(make()))
  })
}

test('a note outlasts the freezing of its object, and can be replaced', () => {
  const notes = createNotes<number>()
  const object = {}
  notes.put(object, 1)
  Object.freeze(object)
  assert.equal(notes.get(object), 1)
  notes.put(object, 2)
  assert.equal(notes.get(object), 2)
  assert.equal(notes.get(structuredClone(object)), undefined)
})
