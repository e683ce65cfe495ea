import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { cpuTime } from '../../../../test/support/cpu-time.ts'
import { assertRefused } from '../../../../test/support/tokens.ts'
import { AimsError } from './errors.ts'
import { encodePem, parsePem } from './pem.ts'

test('blocks are read in order, with text around them and any line end', () => {
  const text = `a comment\r\n${encodePem('CERTIFICATE', Uint8Array.of(1, 2, 3))}\r\nsubject=x\n${encodePem('PRIVATE KEY', new Uint8Array(100))}`
  assert.deepEqual(
    parsePem(text).map(({ label, bytes }) => [label, bytes.length]),
    [
      ['CERTIFICATE', 3],
      ['PRIVATE KEY', 100],
    ],
  )
})

const BEGIN = '-----BEGIN CERTIFICATE-----'
const END = '-----END CERTIFICATE-----'

for (const [what, text] of [
  ['nothing', ''],
  ['no block', 'just text'],
  ['no END', `${BEGIN}\nAQID\n`],
  ['another END', `${BEGIN}\nAQID\n-----END X-----\n`],
  ['END first', `${END}\n${BEGIN}\nAQID\n${END}`],
  ['a block in a block', `${BEGIN}\n${BEGIN}\nAQID\n${END}`],
  ['an empty block', `${BEGIN}\n${END}`],
  ['an empty line', `${BEGIN}\nAQID\n\nAQID\n${END}`],
  ['a header', `${BEGIN}\nProc-Type: 4,ENCRYPTED\n\nAQID\n${END}`],
  ['no padding', `${BEGIN}\nAQI\n${END}`],
  ['padding in the middle', `${BEGIN}\nAQ==\nAQID\n${END}`],
  ['bits after the end', `${BEGIN}\nAR==\n${END}`],
  ['base64url', `${BEGIN}\n-_-_\n${END}`],
  ['blanks before a line', `${BEGIN}\n AQID\n${END}`],
  ['a lower-case label', '-----BEGIN certificate-----\nAQID\n-----END certificate-----'],
  ['four dashes', '----BEGIN CERTIFICATE-----\nAQID\n----END CERTIFICATE-----'],
  ['more than 1 MiB', `${'x'.repeat(1_048_576)}\n${BEGIN}\nAQID\n${END}`],
] as const) {
  test(`PEM with ${what} is refused`, () => assertRefused(() => parsePem(text), 'pem.malformed'))
}

test('a mebibyte of blanks inside a line is passed over in no time', () => {
  const text = `x${' '.repeat(1_000_000)}y\n${BEGIN}\nAQID\n${END}\n`
  // A pattern that starts over at every blank takes minutes.
  assert.ok(cpuTime(() => assert.equal(parsePem(text).length, 1)) < 2000)
})

test('what is written is read back', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 1, maxLength: 300 }), (bytes) => {
      assert.deepEqual([...(parsePem(encodePem('CERTIFICATE', bytes))[0]?.bytes ?? [])], [...bytes])
    }),
  )
})

test('any text is read or refused with pem.malformed', () => {
  const piece = fc.constantFrom(BEGIN, END, 'AQID', 'AQ==', '\n', ' ', '-----', '=', 'x')
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => {
      try {
        assert.ok(parsePem(pieces.join('\n')).length > 0)
      } catch (error) {
        assert.ok(AimsError.is(error) && error.code === 'pem.malformed', String(error))
      }
    }),
  )
})
