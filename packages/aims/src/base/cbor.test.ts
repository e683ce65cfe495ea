import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { type CborInput, cborHead, encodeCbor } from '../../../../test/support/cbor.ts'
import { decodeCbor } from './cbor.ts'
import { AimsError } from './errors.ts'

const hex = (text: string) => Buffer.from(text, 'hex')

describe('CBOR', () => {
  // RFC 8949 appendix A.
  for (const [bytes, value] of [
    ['00', 0],
    ['17', 23],
    ['1818', 24],
    ['1903e8', 1000],
    ['1a000f4240', 1_000_000],
    ['1bffffffffffffffff', 18_446_744_073_709_551_615n],
    ['3bffffffffffffffff', -18_446_744_073_709_551_616n],
    ['3863', -100],
    ['f4', false],
    ['f5', true],
    ['f6', null],
    ['62c3bc', '\u00fc'],
    ['8301820203820405', [1, [2, 3], [4, 5]]],
    [
      'a201020304',
      new Map([
        [1, 2],
        [3, 4],
      ]),
    ],
    ['c074323031332d30332d32315432303a30343a30305a', { tag: 0, value: '2013-03-21T20:04:00Z' }],
  ] as const) {
    test(`${bytes} is read`, () => assert.deepEqual(decodeCbor(hex(bytes)), value))
  }

  for (const [what, bytes, code] of [
    ['nothing', '', 'cbor.malformed'],
    ['something after the value', '0000', 'cbor.malformed'],
    ['a number longer than need be', '1817', 'cbor.malformed'],
    ['a number of two bytes that fits in one', '1900ff', 'cbor.malformed'],
    ['a number of eight bytes that fits in four', '1b00000000ffffffff', 'cbor.malformed'],
    ['an indefinite byte string', '5f4100ff', 'cbor.malformed'],
    ['an indefinite array', '9f00ff', 'cbor.malformed'],
    ['an indefinite map', 'bf0000ff', 'cbor.malformed'],
    ['a reserved length', '1c', 'cbor.malformed'],
    ['a float', 'f93c00', 'cbor.malformed'],
    ['undefined', 'f7', 'cbor.malformed'],
    ['a simple value', 'f8ff', 'cbor.malformed'],
    ['a break', 'ff', 'cbor.malformed'],
    ['text that is not UTF-8', '61ff', 'cbor.malformed'],
    ['a key that is a byte string', 'a14100f6', 'cbor.malformed'],
    ['a key twice (N35)', 'a2016161016162', 'cbor.duplicate_key'],
    ['2^32 bytes announced (N35)', '5b0000000100000000', 'cbor.malformed'],
    ['2^32 elements announced (N35)', '9b0000000100000000', 'cbor.malformed'],
    ['2^64 - 1 entries announced (N35)', 'bbffffffffffffffff', 'cbor.malformed'],
    ['17 levels of arrays (N35)', `${'81'.repeat(17)}00`, 'cbor.too_deep'],
    ['100,000 tags (N35)', 'c1'.repeat(50_000), 'cbor.too_deep'],
    ['more than 64 KiB (N35)', `5a00020000${'00'.repeat(131_072)}`, 'cbor.too_large'],
    ['more than 10,000 values (N35)', `992711${'00'.repeat(10_001)}`, 'cbor.too_large'],
  ] as const) {
    test(`${what} is refused`, () => assert.throws(() => decodeCbor(hex(bytes)), { code }))
  }

  const key = fc.oneof(fc.string({ unit: 'binary' }), fc.maxSafeInteger())
  const { value } = fc.letrec<{ value: CborInput }>((tie) => ({
    value: fc.oneof(
      { depthSize: 'small', maxDepth: 6 },
      fc.constantFrom(null, true, false),
      fc.maxSafeInteger(),
      fc.bigInt(2n ** 53n, 2n ** 64n - 1n),
      fc.string({ unit: 'binary' }),
      fc.uint8Array().map((bytes) => Buffer.from(bytes)),
      fc.array(tie('value'), { maxLength: 5 }),
      fc
        .uniqueArray(fc.tuple(key, tie('value')), { selector: ([name]) => name, maxLength: 5 })
        .map((list) => new Map(list)),
    ),
  }))

  test('what is encoded is decoded, and nothing else has the same bytes (property)', () => {
    fc.assert(
      fc.property(value, (one) => {
        const bytes = encodeCbor(one)
        assert.deepEqual(decodeCbor(bytes), one)
        assert.throws(() => decodeCbor(bytes.subarray(0, -1)), { code: 'cbor.malformed' })
        assert.throws(() => decodeCbor(Buffer.concat([bytes, Buffer.of(0)])), { code: 'cbor.malformed' })
      }),
    )
  })

  test('any bytes are read as what encodes to them, or refused (property)', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
        let read: CborInput
        try {
          read = decodeCbor(bytes) as CborInput
        } catch (error) {
          return assert.ok(AimsError.is(error))
        }
        if (!hasTag(read)) assert.deepEqual(encodeCbor(read), Buffer.from(bytes))
      }),
      { numRuns: 2000 },
    )
  })

  test('a head has one length only', () => {
    for (const size of [1, 2, 4, 8]) {
      assert.throws(() => decodeCbor(cborHead(0, 23, size)), { code: 'cbor.malformed' })
    }
  })
})

function hasTag(value: unknown): boolean {
  if (value instanceof Map) return [...value.values()].some(hasTag)
  if (Array.isArray(value)) return value.some(hasTag)
  return typeof value === 'object' && value !== null && !(value instanceof Uint8Array)
}
