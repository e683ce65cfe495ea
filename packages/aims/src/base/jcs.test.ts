import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { canonicalJson } from './jcs.ts'

test('members are sorted by UTF-16 code units, at every level, and undefined ones left out', () => {
  const value = { b: [{ z: 1, a: null }], '\u{1f600}': 1, '\ufb33': 2, a: undefined, '': true }
  // U+1F600 begins with the code unit D83D, which comes before FB33.
  assert.equal(canonicalJson(value), '{"":true,"b":[{"a":null,"z":1}],"\u{1f600}":1,"\ufb33":2}')
})

test('numbers are written as ECMAScript writes them', () => {
  assert.equal(canonicalJson([-0, 1e21, 1e-7, 333333333.3333333, 4.5]), '[0,1e+21,1e-7,333333333.3333333,4.5]')
})

const refusals: readonly (readonly [title: string, value: unknown, code: string])[] = [
  ['NaN', Number.NaN, 'json.number'],
  ['infinity inside an array', [Number.NEGATIVE_INFINITY], 'json.number'],
  ['a lone surrogate', 'a\ud800', 'json.malformed'],
  ['a lone surrogate in a member name', { '\udc00': 1 }, 'json.malformed'],
  ['65 levels', Array.from({ length: 65 }).reduce<unknown>((inner) => [inner], 1), 'json.too_deep'],
]
for (const [title, value, code] of refusals) {
  test(`${title} is refused with ${code}`, () => {
    assert.throws(() => canonicalJson(value), { name: 'AimsError', code })
  })
}

test('what JSON has no word for is a TypeError', () => {
  for (const value of [
    undefined,
    [undefined],
    new Array(1),
    [1, ...new Array(1)],
    Object.assign([1], { length: 2 }),
    1n,
    () => 1,
    Symbol('x'),
    new Date(0),
    new Map(),
  ]) {
    assert.throws(() => canonicalJson(value), TypeError)
  }
})

test('any JSON value is read back from its canonical form, and has one canonical form', () => {
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 6 }), (value) => {
      const text = canonicalJson(value)
      assert.equal(canonicalJson(JSON.parse(text)), text)
      assert.deepEqual(JSON.parse(text), JSON.parse(JSON.stringify(value)))
    }),
  )
})
