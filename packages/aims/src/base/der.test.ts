import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { assertRefused } from '../../../../test/support/tokens.ts'
import { DerReader, TAG } from './der.ts'
import { DerWriter, encodeOid, encodeTime } from './der-writer.ts'
import { AimsError } from './errors.ts'

const hex = (text: string): Uint8Array => new Uint8Array(Buffer.from(text.replaceAll(' ', ''), 'hex'))
const read = (text: string): DerReader => DerReader.of(hex(text))

test('elements are read in order and nothing may be left over', () => {
  const outer = read('30 0b 0201 05 0101 ff 0403 010203')
  const fields = outer.enter(TAG.sequence)
  outer.end()
  assert.equal(fields.smallInteger(), 5)
  assert.equal(fields.boolean(), true)
  assert.throws(() => fields.end(), { code: 'der.malformed' })
  assert.deepEqual([...fields.octetString()], [1, 2, 3])
  assert.equal(fields.nextTag, -1)
  assert.ok(fields.isAtEnd)
  fields.end()
})

// Every row breaks one rule of X.690.
const MALFORMED: readonly (readonly [string, string, (reader: DerReader) => unknown])[] = [
  ['nothing', '', (r) => r.enter(TAG.sequence)],
  ['a tag alone', '30', (r) => r.enter(TAG.sequence)],
  ['another tag', '31 00', (r) => r.enter(TAG.sequence)],
  ['an indefinite length', '30 80 0000', (r) => r.enter(TAG.sequence)],
  ['a length that is not minimal', '04 81 01 00', (r) => r.octetString()],
  ['a length with a leading zero', '04 82 0080', (r) => r.octetString()],
  ['a length of four bytes', '04 84 00000001 00', (r) => r.octetString()],
  ['a length that ends early', '04 82 01', (r) => r.octetString()],
  ['content that ends early', '04 03 0102', (r) => r.octetString()],
  ['an element longer than what holds it', '30 03 04 05 01 020304', (r) => r.enter(TAG.sequence).octetString()],
  ['a high tag number', '1f 81 00 00', (r) => r.element()],
  ['a constructed OCTET STRING', '24 03 04 01 00', (r) => r.octetString()],
  ['BOOLEAN 01', '01 01 01', (r) => r.boolean()],
  ['BOOLEAN of two bytes', '01 02 ffff', (r) => r.boolean()],
  ['an empty BOOLEAN', '01 00', (r) => r.boolean()],
  ['an empty INTEGER', '02 00', (r) => r.integer()],
  ['INTEGER with a leading 00', '02 02 0001', (r) => r.integer()],
  ['INTEGER with a leading ff', '02 02 ff80', (r) => r.integer()],
  ['a negative small INTEGER', '02 01 80', (r) => r.smallInteger()],
  ['a small INTEGER of five bytes', '02 05 0100000000', (r) => r.smallInteger()],
  ['NULL with content', '05 01 00', (r) => r.null()],
  ['an empty OID', '06 00', (r) => r.oid()],
  ['an OID arc with a leading 80', '06 03 2a8001', (r) => r.oid()],
  ['an OID that ends inside an arc', '06 02 2a86', (r) => r.oid()],
  ['a BIT STRING without its first byte', '03 00', (r) => r.bitString()],
  ['a BIT STRING with 8 unused bits', '03 02 0800', (r) => r.bitString()],
  ['an empty BIT STRING with unused bits', '03 01 01', (r) => r.bitString()],
  ['a BIT STRING whose unused bits are set', '03 02 0101', (r) => r.bitString()],
  ['a BIT STRING that is not whole bytes', '03 02 0102', (r) => r.octets()],
]

for (const [what, input, action] of MALFORMED) {
  test(`DER with ${what} is refused`, () => assertRefused(() => action(read(input)), 'der.malformed'))
}

// [credentials.x509-path.01]
test('depth and size have limits', () => {
  const nested = (depth: number): Uint8Array => {
    const writer = new DerWriter()
    for (let i = 0; i < depth; i += 1) writer.wrap(TAG.sequence, 0)
    return writer.take()
  }
  const descend = (der: Uint8Array): void => {
    for (let reader = DerReader.of(der); !reader.isAtEnd; ) reader = reader.enter(TAG.sequence)
  }
  descend(nested(16))
  assertRefused(() => descend(nested(17)), 'der.too_deep')
  assert.ok(DerReader.of(new Uint8Array(65_536)))
  assertRefused(() => DerReader.of(new Uint8Array(65_537)), 'der.too_large')
})

test('OID arcs of any size are exact: nothing is cut to 32 bits', () => {
  for (const oid of [
    '0.0',
    '1.39.1',
    '2.5.29.17',
    '2.999.3',
    '1.2.4294967297',
    '2.25.329800735698586629295641978511506172918',
  ]) {
    assert.equal(DerReader.of(encodeOid(oid)).oid(), oid)
  }
  // Cut to 32 bits this would be 1.2.1.
  assert.notEqual(DerReader.of(encodeOid('1.2.4294967297')).oid(), '1.2.1')
})

const TIMES: readonly (readonly [string, number, string])[] = [
  ['700101000000Z', 0x17, '1970-01-01T00:00:00Z'],
  ['491231235959Z', 0x17, '2049-12-31T23:59:59Z'],
  ['500101000000Z', 0x17, '1950-01-01T00:00:00Z'],
  ['240229120000Z', 0x17, '2024-02-29T12:00:00Z'],
  ['20500101000000Z', 0x18, '2050-01-01T00:00:00Z'],
  ['99991231235959Z', 0x18, '9999-12-31T23:59:59Z'],
]

test('times are read to the second', () => {
  for (const [text, tag, iso] of TIMES) {
    const der = Uint8Array.of(tag, text.length, ...Buffer.from(text))
    assert.equal(DerReader.of(der).time(), Date.parse(iso) / 1000, text)
  }
})

for (const [text, tag] of [
  ['2401010000Z', 0x17],
  ['240101000000', 0x17],
  ['240101000000+0000', 0x17],
  ['240101000000z', 0x17],
  ['241301000000Z', 0x17],
  ['240001000000Z', 0x17],
  ['230229000000Z', 0x17],
  ['240431000000Z', 0x17],
  ['240101240000Z', 0x17],
  ['240101006000Z', 0x17],
  ['240101000060Z', 0x17],
  ['24010100000 Z', 0x17],
  ['2401010000-1Z', 0x17],
  ['20240101000000Z', 0x18],
  ['20500101000000.5Z', 0x18],
  ['21000229000000Z', 0x18],
  ['240101000000Z', 0x18],
] as const) {
  test(`the time ${text} with tag ${tag} is refused`, () => {
    const der = Uint8Array.of(tag, text.length, ...Buffer.from(text))
    assertRefused(() => DerReader.of(der).time(), 'der.malformed')
  })
}

test('what the writer writes back to front, the reader reads front to back', () => {
  const element = fc.record({ tag: fc.constantFrom(0x04, 0x0c, 0x82), content: fc.uint8Array({ maxLength: 700 }) })
  fc.assert(
    fc.property(fc.array(element, { maxLength: 5 }), fc.uint8Array(), (elements, bits) => {
      const writer = new DerWriter(16)
      for (const { tag, content } of elements.toReversed()) writer.element(tag, content)
      writer.octets(bits)
      writer.wrap(TAG.sequence, 0)
      const outer = DerReader.of(writer.take())
      const fields = outer.enter(TAG.sequence)
      outer.end()
      assert.deepEqual([...fields.octets()], [...bits])
      for (const { tag, content } of elements) assert.deepEqual([...fields.content(tag)], [...content])
      fields.end()
    }),
  )
})

test('times survive writing and reading', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 253_402_300_799 }), (seconds) => {
      assert.equal(DerReader.of(encodeTime(seconds)).time(), seconds)
    }),
  )
})

test('any bytes are read or refused with a code of DER, by every method', () => {
  const methods = [
    (r: DerReader) => r.enter(0x30),
    (r: DerReader) => r.element(),
    (r: DerReader) => r.integer(),
    (r: DerReader) => r.smallInteger(),
    (r: DerReader) => r.boolean(),
    (r: DerReader) => r.oid(),
    (r: DerReader) => r.bitString(),
    (r: DerReader) => r.time(),
    (r: DerReader) => r.enterOctetString(),
  ]
  const first = fc.constantFrom(0x01, 0x02, 0x03, 0x04, 0x06, 0x17, 0x18, 0x30)
  fc.assert(
    fc.property(first, fc.uint8Array({ maxLength: 40 }), fc.constantFrom(...methods), (tag, rest, method) => {
      try {
        method(DerReader.of(Uint8Array.of(tag, ...rest)))
      } catch (error) {
        assert.ok(AimsError.is(error) && error.code === 'der.malformed', String(error))
      }
    }),
    { numRuns: 2000 },
  )
})
