import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { assertRefused } from '../../../../test/support/tokens.ts'
import { AimsError } from './errors.ts'
import { DuplicateMemberError, type JsonValue, parseJson, parseJsonObject } from './json.ts'

// By their text: objects of ours have no prototype, and so never deep-equal those of the platform.
function assertSame(value: JsonValue, text: string): void {
  assert.equal(JSON.stringify(value), JSON.stringify(JSON.parse(text)))
}

test('JSON is read as the platform reads it', () => {
  const text = '{"a":[1,-2.5,1e3,0,-0],"b":{"c":null,"d":true,"e":false},"f":"\\u00e9\\n\\ud83d\\ude00","g":""}'
  assertSame(parseJson(text), text)
  assertSame(parseJson(` \t\r\n${text}\n`), text)
  assertSame(parseJson(Buffer.from('{"ü":"😀"}')), '{"ü":"😀"}')
})

test('an object has its own members and nothing else', () => {
  const object = parseJsonObject('{"__proto__":1,"constructor":2}')
  assert.equal(Object.entries(object).join(), '__proto__,1,constructor,2')
  assert.equal(object.constructor, 2)
  assert.equal(parseJsonObject('{}').toString, undefined)
  assert.equal('hasOwnProperty' in parseJsonObject('{}'), false)
})

test('integers beyond 2^53 lose no digit', () => {
  assert.equal(parseJson('9007199254740991'), 9007199254740991)
  assert.equal(parseJson('9007199254740993'), 9007199254740993n)
  assert.equal(parseJson('-18446744073709551615'), -18446744073709551615n)
})

const REFUSED: readonly (readonly [why: string, text: string, code: string])[] = [
  ['nothing', '', 'json.malformed'],
  ['two values', '{} {}', 'json.malformed'],
  ['a byte order mark', '\ufeff{}', 'json.malformed'],
  ['a trailing comma', '{"a":1,}', 'json.malformed'],
  ['a leading zero', '[01]', 'json.malformed'],
  ['a plus sign', '[+1]', 'json.malformed'],
  ['a bare point', '[1.]', 'json.malformed'],
  ['hexadecimal', '[0x1]', 'json.malformed'],
  ['NaN', '[NaN]', 'json.malformed'],
  ['single quotes', "{'a':1}", 'json.malformed'],
  ['a comment', '[1/*2*/]', 'json.malformed'],
  ['a raw line feed in a string', '"a\nb"', 'json.malformed'],
  ['a NUL in a string', '"a\u0000b"', 'json.malformed'],
  ['an unknown escape', '"\\x41"', 'json.malformed'],
  ['half an escape', '"\\u00e', 'json.malformed'],
  ['an escape at the end', '"\\', 'json.malformed'],
  ['an open string', '"abc', 'json.malformed'],
  ['a number name', '{1:2}', 'json.malformed'],
  ['an escaped lone surrogate', '"\\ud800"', 'json.malformed'],
  ['a raw lone surrogate', '"\ud800"', 'json.malformed'],
  ['surrogates the wrong way round', '"\\ude00\\ud83d"', 'json.malformed'],
  ['a no-break space', '[1,\u00a02]', 'json.malformed'],
  ['a member twice', '{"a":1,"a":1}', 'json.duplicate_member'],
  ['a member twice, once escaped', '{"a":1,"\\u0061":2}', 'json.duplicate_member'],
  ['__proto__ twice', '{"__proto__":1,"__proto__":2}', 'json.duplicate_member'],
  ['a number that overflows', '[1e400]', 'json.number'],
  ['an integer of 41 digits', `[${'9'.repeat(41)}]`, 'json.number'],
  ['17 arrays', '['.repeat(17) + ']'.repeat(17), 'json.too_deep'],
  ['17 objects', `${'{"a":'.repeat(17)}1${'}'.repeat(17)}`, 'json.too_deep'],
  ['too many elements', `[${'1,'.repeat(10_000)}1]`, 'json.too_large'],
  ['too many characters', `"${'a'.repeat(262_143)}"`, 'json.too_large'],
]

for (const [why, text, code] of REFUSED) {
  test(`JSON with ${why} is refused [credentials.jws.02]`, () => assertRefused(() => parseJson(text), code))
}

test('bytes that are not UTF-8 are refused', () => {
  for (const bytes of [
    [0x22, 0xff, 0x22],
    [0x22, 0xc0, 0x80, 0x22],
    [0x22, 0xed, 0xa0, 0x80, 0x22],
    [0xef, 0xbb, 0xbf, 0x31],
  ]) {
    assertRefused(() => parseJson(Uint8Array.from(bytes)), 'json.malformed')
  }
})

test('a value that is no object is refused where an object belongs', () => {
  for (const text of ['[]', 'null', '"{}"', '1']) assertRefused(() => parseJsonObject(text), 'json.malformed')
})

test('the limits are the caller’s', () => {
  assert.equal(parseJson('[[1]]', { maxDepth: 2 })?.toString(), '1')
  assertRefused(() => parseJson('[[1]]', { maxDepth: 1 }), 'json.too_deep')
  assertRefused(() => parseJson('[1,2]', { maxMembers: 1 }), 'json.too_large')
  assertRefused(() => parseJson('[1,2]', { maxLength: 4 }), 'json.too_large')
})

test('a repeated member says how deep it stands', () => {
  assert.throws(
    () => parseJson('{"a":{"b":1,"b":2}}'),
    (error) => error instanceof DuplicateMemberError && error.depth === 2 && AimsError.is(error),
  )
})

test('property: what the platform prints is read back', () => {
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 8, stringUnit: 'binary' }), fc.constantFrom(0, 2), (value, indent) => {
      const text = JSON.stringify(value, null, indent)
      // Exponents above 2^53 come back as integers without loss where the text has all their digits.
      fc.pre(!/\d{16}/.test(text))
      assertSame(parseJson(text), text)
    }),
  )
})

test('property: any text either means what the platform takes it for, or is refused with a code [credentials.jws.12]', () => {
  const fragment = fc.constantFrom(
    '{',
    '}',
    '[',
    ']',
    ',',
    ':',
    '"',
    '\\',
    'a',
    '"a"',
    '1',
    '-',
    '.5',
    'e9',
    'true',
    'null',
    ' ',
    '\n',
    '\\u0061',
  )
  const text = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.array(fragment, { maxLength: 12 }).map((parts) => parts.join('')),
  )
  fc.assert(
    fc.property(text, (input) => {
      let value: JsonValue
      try {
        value = parseJson(input)
      } catch (error) {
        assert.ok(AimsError.is(error) && error.code.startsWith('json.'), String(error))
        return
      }
      assertSame(value, input)
    }),
    { numRuns: 2000 },
  )
})
