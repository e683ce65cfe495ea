import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import {
  decodeBase64,
  decodeBase64url,
  decodeBase64urlText,
  decodeUtf8,
  encodeBase64url,
  encodeTextBase64url,
  equalConstantTime,
} from './bytes.ts'

test('canonical base64 is decoded', () => {
  assert.deepEqual(decodeBase64url('Zm9v-_8'), Buffer.from([0x66, 0x6f, 0x6f, 0xfb, 0xff]))
  assert.deepEqual(decodeBase64('Zm8='), Buffer.from('fo'))
  assert.deepEqual(decodeBase64url(''), Buffer.alloc(0))
})

// One row per second spelling that decoders of the platform take for the first.
for (const [why, text] of [
  ['padding', 'Zm8='],
  ['the standard alphabet', 'Zm9v+/8'],
  ['a line feed inside', 'Zm\n9v'],
  ['a blank at the end', 'Zm9v '],
  ['a character outside the alphabet', 'Zm9v*'],
  ['unused bits that are set', 'Zm9'],
  ['a length that no encoding has', 'Zm9vZ'],
  ['a full-width letter', 'Ｚm9v'],
] as const) {
  test(`base64url with ${why} is refused [credentials.jws.02]`, () => {
    assert.equal(decodeBase64url(text), undefined)
    assert.equal(decodeBase64urlText(text), undefined)
  })
}

for (const [why, text] of [
  ['without its padding', 'Zm8'],
  ['with too much padding', 'Zm9v===='],
  ['in the url alphabet', 'Zm9v-_8='],
  ['with a line feed', 'Zm9v\n'],
  ['with unused bits that are set', 'Zm9='],
] as const) {
  test(`base64 ${why} is refused`, () => assert.equal(decodeBase64(text), undefined))
}

test('property: any text either is the encoding of what it decodes to, or is refused', () => {
  const letters = fc.string({ unit: fc.constantFrom(...'AQgwZm9v-_+/= \n'), maxLength: 12 })
  fc.assert(
    fc.property(fc.oneof(letters, fc.string()), (text) => {
      const bytes = decodeBase64url(text)
      if (bytes === undefined) assert.ok(!/^(?:[\w-]{4})*$/.test(text))
      else assert.equal(encodeBase64url(bytes), text)
    }),
  )
})

// One row per kind of bytes: what is text comes as text, and what may not be comes as bytes, for the parser to refuse.
for (const [what, bytes, isText] of [
  ['ASCII', Buffer.from('{"a":1}'), true],
  ['letters beyond it', Buffer.from('ü😀'), true],
  ['a byte order mark', Buffer.from('\ufeff{}'), true],
  ['nothing', Buffer.alloc(0), true],
  ['a replacement character', Buffer.from('\ufffd'), false],
  ['a byte that UTF-8 does not have', Buffer.of(0x7b, 0xff, 0x7d), false],
  ['a surrogate', Buffer.of(0xed, 0xa0, 0x80), false],
  ['more bytes than are kept at hand', Buffer.alloc(9000, 'a'), false],
] as const) {
  test(`base64url of ${what} comes as ${isText ? 'text' : 'bytes'}`, () => {
    const decoded = decodeBase64urlText(encodeBase64url(bytes))
    assert.deepEqual(decoded, isText ? decodeUtf8(bytes) : bytes)
  })
}

test('property: the two ways to decode base64url agree', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
      const decoded = decodeBase64urlText(encodeBase64url(bytes))
      assert.deepEqual(Buffer.from(decoded ?? ''), Buffer.from(bytes))
    }),
  )
})

test('property: text is encoded as its bytes are, however long', () => {
  const text = fc.oneof(fc.string({ unit: 'binary' }), fc.string({ unit: 'binary', minLength: 2000, maxLength: 4000 }))
  fc.assert(fc.property(text, (one) => assert.equal(encodeTextBase64url(one), encodeBase64url(Buffer.from(one)))))
  for (const length of [2730, 2731, 9000]) {
    const one = '€'.repeat(length)
    assert.equal(encodeTextBase64url(one), encodeBase64url(Buffer.from(one)))
  }
})

test('UTF-8 is decoded strictly', () => {
  assert.equal(decodeUtf8(Buffer.from('ü😀')), 'ü😀')
  assert.equal(decodeUtf8(Uint8Array.of(0xef, 0xbb, 0xbf)), '\ufeff')
  for (const bytes of [[0xff], [0xc0, 0x80], [0xed, 0xa0, 0x80], [0xe2, 0x82]]) {
    assert.equal(decodeUtf8(Uint8Array.from(bytes)), undefined)
  }
})

test('comparing in constant time answers as comparing does', () => {
  assert.equal(equalConstantTime('abc', Buffer.from('abc')), true)
  assert.equal(equalConstantTime('abc', 'abd'), false)
  assert.equal(equalConstantTime('abc', 'ab'), false)
  assert.equal(equalConstantTime('', ''), true)
})
