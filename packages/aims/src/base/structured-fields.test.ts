import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import * as oracle from 'structured-headers'
import { assertRefused } from '../../../../test/support/tokens.ts'
import { AimsError } from './errors.ts'
import {
  type BareItem,
  type Dictionary,
  type Item,
  type Member,
  NO_PARAMETERS,
  type Parameters,
  parseDictionary,
  parseItem,
  parseList,
} from './structured-fields.ts'
import { serializeDictionary, serializeItem, serializeList } from './structured-fields-writer.ts'

test('reads members in order, with their parameters', () => {
  const read = parseDictionary('sig=("@method" "date";req);created=1;tag="a\\"b", b;x=?0, c=1.5')
  assert.deepEqual([...read.keys()], ['sig', 'b', 'c'])
  assert.equal(serializeDictionary(read), 'sig=("@method" "date";req);created=1;tag="a\\"b", b;x=?0, c=1.5')
})

// [authentication.rfc9421.04] One row per rule. What a lenient reader would take for something, and another for something else.
const REFUSED: readonly (readonly [string, string])[] = [
  ['a trailing comma', 'a=1,'],
  ['two commas', 'a=1,,b=2'],
  ['no comma', 'a=1 b=2'],
  ['an upper-case key', 'A=1'],
  ['a key that starts with a digit', '1a=1'],
  ['nothing after the equals sign', 'a='],
  ['an unfinished string', 'a="x'],
  ['an escape that is none', 'a="\\n"'],
  ['a line end in a string', 'a="x\ny"'],
  ['a letter beyond ASCII', 'a="\u00e9"'],
  ['an unfinished inner list', 'a=(1 2'],
  ['inner items without a space', 'a=("x""y")'],
  ['a nested inner list', 'a=((1))'],
  ['an integer of 16 digits', 'a=1234567890123456'],
  ['a decimal of 13 digits', 'a=1234567890123.1'],
  ['four decimal places', 'a=1.1234'],
  ['a point at the end', 'a=1.'],
  ['a boolean that is none', 'a=?2'],
  ['base64 without padding', 'a=:YWE:'],
  ['base64url', 'a=:_-8=:'],
  ['bits after the end of base64', 'a=:YWF=:'],
  ['a date with a fraction', 'a=@1.5'],
  ['UTF-8 that is none', 'a=%"%ff"'],
  ['upper-case hex in a display string', 'a=%"%C3%A9"'],
  ['a tab inside an inner list', 'a=(1\t2)'],
  ['NUL', 'a=1\0'],
]

for (const [what, text] of REFUSED) {
  test(`refuses ${what}`, () => assertRefused(() => parseDictionary(text), 'http.malformed_field'))
}

test('a key that occurs twice has its last value, or is refused where it must be unique', () => {
  assert.equal(serializeDictionary(parseDictionary('a=1, b=2, a=3')), 'a=3, b=2')
  assertRefused(() => parseDictionary('a=1, a=1', { unique: true }), 'http.malformed_field')
  assertRefused(() => parseItem('1 2'), 'http.malformed_field')
  assertRefused(() => parseList('1 2'), 'http.malformed_field')
})

// What has no form on the wire is a mistake of the program.
const UNWRITABLE: readonly (readonly [string, BareItem])[] = [
  ['text with a line end', { type: 'string', value: 'a\nb' }],
  ['text beyond ASCII', { type: 'string', value: '\u00e9' }],
  ['a token with a blank', { type: 'token', value: 'a b' }],
  ['an integer with a fraction', { type: 'integer', value: 1.5 }],
  ['an integer of 16 digits', { type: 'integer', value: 1e15 }],
  ['a decimal of 13 digits', { type: 'decimal', value: 1e12 }],
  ['a decimal that is no number', { type: 'decimal', value: Number.NaN }],
  ['half of a surrogate pair', { type: 'display-string', value: '\ud800' }],
]

for (const [what, value] of UNWRITABLE) {
  test(`does not write ${what}`, () => {
    assert.throws(() => serializeItem({ kind: 'item', value, parameters: NO_PARAMETERS }), TypeError)
  })
}

test('does not write a key that is none', () => {
  const item: Item = { kind: 'item', value: { type: 'boolean', value: false }, parameters: NO_PARAMETERS }
  assert.throws(() => serializeDictionary(new Map([['A', item]])), TypeError)
  assert.throws(() => serializeItem({ ...item, parameters: new Map([['a b', item.value]]) }), TypeError)
})

// structured-headers 2.1.0 refuses a date that a comma follows, and writes 5.0 as 5: text that may hold one is not compared
// with it.
const isComparable = (written: string): boolean => !written.includes('@') && !/\d\.0(?!\d)/.test(written)

const KEY = fc.stringMatching(/^[a-z*][a-z0-9_.*-]{0,8}$/)
const BARE: fc.Arbitrary<BareItem> = fc.oneof(
  fc.integer().map((value): BareItem => ({ type: 'integer', value })),
  fc.integer({ min: -1e9, max: 1e9 }).map((value): BareItem => ({ type: 'decimal', value: value / 1000 + 0 })),
  fc.stringMatching(/^[ -~]*$/).map((value): BareItem => ({ type: 'string', value })),
  fc.stringMatching(/^[A-Za-z*][!#$%&'*+.^_`|~0-9A-Za-z:/-]*$/).map((value): BareItem => ({ type: 'token', value })),
  fc.uint8Array().map((value): BareItem => ({ type: 'bytes', value: Buffer.from(value) })),
  fc.boolean().map((value): BareItem => ({ type: 'boolean', value })),
  fc.integer().map((value): BareItem => ({ type: 'date', value })),
  fc.string({ unit: 'grapheme' }).map((value): BareItem => ({ type: 'display-string', value })),
)
const PARAMETERS: fc.Arbitrary<Parameters> = fc
  .array(fc.tuple(KEY, BARE), { maxLength: 3 })
  .map((pairs) => new Map(pairs))
const ITEM: fc.Arbitrary<Item> = fc
  .tuple(BARE, PARAMETERS)
  .map(([value, parameters]) => ({ kind: 'item', value, parameters }))
const MEMBER: fc.Arbitrary<Member> = fc.oneof(
  ITEM,
  fc
    .tuple(fc.array(ITEM, { maxLength: 3 }), PARAMETERS)
    .map(([items, parameters]): Member => ({ kind: 'inner-list', items, parameters })),
)
const DICTIONARY: fc.Arbitrary<Dictionary> = fc
  .array(fc.tuple(KEY, MEMBER), { maxLength: 4 })
  .map((pairs) => new Map(pairs))

test('what is written is read back as it was, here and by another implementation', () => {
  fc.assert(
    fc.property(DICTIONARY, (dictionary) => {
      const text = serializeDictionary(dictionary)
      assert.deepEqual(parseDictionary(text), dictionary)
      if (isComparable(text)) assert.equal(oracle.serializeDictionary(oracle.parseDictionary(text)), text)
    }),
  )
})

const NEAR = fc
  .array(fc.oneof(fc.constantFrom(...'abA*=;,()":?@%\\ \t.-_10'), fc.constantFrom(':YQ==:', '"x"', ', ', '?1')))
  .map((parts) => parts.join(''))

test('any text is read, and written in one way, or refused; what we read another implementation reads alike', () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), NEAR), (text) => {
      let written: string
      try {
        written = serializeList(parseList(text))
      } catch (error) {
        assert.ok(AimsError.is(error) && error.code === 'http.malformed_field', String(error))
        return
      }
      assert.equal(serializeList(parseList(written)), written)
      if (!text.includes('@') && isComparable(written)) {
        assert.equal(oracle.serializeList(oracle.parseList(text)), written)
      }
    }),
    { numRuns: 2000 },
  )
})
