import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { unpackEvidence, unwrapText } from './packaging.ts'

const isBinary = (bytes: Uint8Array): boolean => bytes[0] === 0x84
const binary = fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from([0x84, ...bytes]))
const pem = (label: string, bytes: Buffer): string =>
  `-----BEGIN ${label}-----\n${bytes.toString('base64').replaceAll(/.{1,64}/g, '$&\n')}-----END ${label}-----\n`

const WRAPPINGS: readonly (readonly [string, (bytes: Buffer) => Buffer | string])[] = [
  ['as it is', (bytes) => bytes],
  ['in hex', (bytes) => bytes.toString('hex')],
  [
    'in hex of upper case on lines',
    (bytes) =>
      bytes
        .toString('hex')
        .toUpperCase()
        .replaceAll(/.{1,60}/g, '$&\r\n'),
  ],
  ['in hex behind 0x', (bytes) => `0x${bytes.toString('hex')}\n`],
  ['in base64', (bytes) => `${bytes.toString('base64')}\n`],
  ['in base64 on lines', (bytes) => bytes.toString('base64').replaceAll(/.{1,76}/g, '$&\n')],
  ['in base64url', (bytes) => bytes.toString('base64url')],
  ['in PEM of any label', (bytes) => pem('NITRO DOCUMENT', bytes)],
]

describe('evidence is taken out of its wrapping', () => {
  for (const [how, wrap] of WRAPPINGS) {
    test(how, () => {
      fc.assert(
        fc.property(binary, (bytes) => {
          const unpacked = unpackEvidence(Buffer.from(wrap(bytes)), isBinary)
          assert.ok(unpacked.kind === 'binary')
          assert.deepEqual(Buffer.from(unpacked.bytes), bytes)
        }),
      )
    })
  }

  test('but not when it is of another type, wrapped twice, or half wrapped', () => {
    const good = Buffer.from('8401020304', 'hex')
    const whole = pem('X', good)
    const wrong = [
      '',
      '0102',
      Buffer.from(good.toString('base64')).toString('hex'),
      Buffer.from(good.toString('hex')).toString('base64'),
      `0x0x${good.toString('hex')}`,
      whole.replace('-----END X-----\n', ''),
      whole.replace('-----BEGIN X-----\n', ''),
      whole + whole,
      `8401é`,
    ]
    for (const text of wrong) {
      assert.throws(() => unpackEvidence(Buffer.from(text), isBinary), { code: 'attestation.malformed' }, text)
    }
  })

  test('and a text that is none of these has no reading', () => {
    assert.deepEqual(unwrapText('two words!'), [])
    assert.deepEqual(unwrapText(''), [])
  })
})
