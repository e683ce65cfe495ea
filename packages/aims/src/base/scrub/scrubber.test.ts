import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { hiddenKey, hiddenToken } from './forms.ts'
import { patternTable } from './pattern-table.ts'
import { createScrubber, scrubText } from './scrubber.ts'

// Not 16 characters in a row that all escapes leave alone.
const SECRET = 'sk-live/9fQ2+xT7"bV4&<Lw8'
const table = patternTable([hiddenKey(Buffer.from(SECRET))])
const hexOf = (text: string): string => Buffer.from(text).toString('hex')
const each = (written: (code: string) => string): string =>
  [...Buffer.from(SECRET)].map((b) => written(b.toString(16).padStart(2, '0'))).join('')

const HTML = SECRET.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;')

/** Every way of writing the secret that the threat model names. */
const FORMS: readonly (readonly [name: string, text: string])[] = [
  ['as it is', SECRET],
  ['backwards', [...SECRET].reverse().join('')],
  ['in base64', Buffer.from(SECRET).toString('base64')],
  ['in base64, one byte later', Buffer.from(`x${SECRET}`).toString('base64')],
  ['in base64, two bytes later', Buffer.from(`xy${SECRET}`).toString('base64')],
  ['in base64url', Buffer.from(SECRET).toString('base64url')],
  ['in base64url, one byte later', Buffer.from(`x${SECRET}`).toString('base64url')],
  ['in hexadecimal', hexOf(SECRET)],
  ['in upper-case hexadecimal', hexOf(SECRET).toUpperCase()],
  ['with percent escapes where needed', encodeURIComponent(SECRET)],
  ['all in percent escapes', each((hex) => `%${hex}`)],
  ['all in upper-case percent escapes', each((hex) => `%${hex.toUpperCase()}`)],
  ['in a JSON string', JSON.stringify(SECRET)],
  ['in a JSON string with slashes escaped', JSON.stringify(SECRET).replaceAll('/', '\\/')],
  ['all in JSON escapes', each((hex) => `\\u00${hex}`)],
  ['all in escapes of JavaScript', each((hex) => `\\x${hex}`)],
  ['all in escapes of HTML', each((hex) => `&#x${hex};`)],
  ['all in decimal escapes of HTML', each((hex) => `&#${Number.parseInt(hex, 16)};`)],
  ['in base64 in percent escapes', encodeURIComponent(Buffer.from(SECRET).toString('base64'))],
  ['with the named escapes of HTML', HTML],
  ['with two layers of percent escapes', encodeURIComponent(encodeURIComponent(SECRET))],
  ['in HTML in percent escapes', encodeURIComponent(HTML)],
  ['in a JSON string in a JSON string', JSON.stringify(JSON.stringify(SECRET))],
  ['in UTF-16', Buffer.from(SECRET, 'utf16le').toString('latin1')],
  ['in UTF-16, the other way', Buffer.from(SECRET, 'utf16le').swap16().toString('latin1')],
  ['half in escapes', `${SECRET.slice(0, 9)}${each((hex) => `%${hex}`).slice(27)}`],
]

/** What is left of the secret anywhere: pieces of 16 characters, undone by hand. */
function showsPiece(text: string, form: string): boolean {
  for (let at = 0; at + 16 <= form.length; at += 1)
    if (text.includes(form.slice(at, at + 16)) && !form.slice(at, at + 16).includes('*')) return true
  return false
}

function scrub(chunks: readonly Buffer[]): string {
  const scrubber = createScrubber([table])
  const out = chunks.map((chunk) => scrubber.push(chunk))
  return Buffer.concat([...out, scrubber.end()]).toString('latin1')
}

for (const [name, form] of FORMS) {
  test(`a secret ${name} is covered, wherever the chunks end [provisioning.egress.06]`, () => {
    const text = Buffer.from(`{"echo": "${form}", "ok": true}`, 'latin1')
    const whole = scrub([text])
    assert.equal(whole.length, text.length)
    assert.ok(whole.includes('*'.repeat(10)), whole)
    assert.ok(whole.startsWith('{"echo": "') && whole.endsWith(' "ok": true}'), whole)
    // The middle of the form is gone: its ends may be what base64 shares with the neighbours.
    assert.ok(!whole.includes(form.slice(6, -6)), whole)
    for (let at = 0; at <= text.length; at += 1) {
      assert.equal(scrub([text.subarray(0, at), text.subarray(at)]), whole, `split at ${at}`)
    }
    assert.equal(scrub([...text].map((byte) => Buffer.from([byte]))), whole, 'byte by byte')
  })
}

test('a piece of a secret is covered as the whole is, and less than a piece is left', () => {
  assert.ok(!scrub([Buffer.from(`<${SECRET.slice(3, 19)}>`)]).includes('live'))
  assert.ok(!showsPiece(scrub([Buffer.from(`<${SECRET.slice(1)}>`)]), SECRET))
  assert.equal(scrub([Buffer.from(`<${SECRET.slice(3, 18)}>`)]), `<${SECRET.slice(3, 18)}>`)
})

test('what has nothing to hide passes unchanged, however it is cut', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 200 }), { maxLength: 6 }), (chunks) => {
      const buffers = chunks.map((chunk) => Buffer.from(chunk))
      assert.equal(scrub(buffers), Buffer.concat(buffers).toString('latin1'))
    }),
  )
})

test('however text around a secret is cut, the same is covered', () => {
  const texts = fc.array(fc.oneof(fc.constantFrom(...FORMS.map(([, form]) => form)), fc.string({ maxLength: 30 })), {
    maxLength: 8,
  })
  fc.assert(
    fc.property(texts, fc.array(fc.nat(400), { maxLength: 6 }), (parts, cuts) => {
      const text = Buffer.from(parts.join(' '), 'latin1')
      const places = [0, ...cuts.map((cut) => cut % (text.length + 1)).sort((a, b) => a - b), text.length]
      const chunks = places.slice(1).map((end, i) => text.subarray(places[i], end))
      const out = scrub(chunks)
      assert.equal(out, scrub([text]))
      for (const [, form] of FORMS) assert.ok(!out.includes(form), form)
    }),
  )
})

test('an event of a stream goes on at once; the beginning of a secret waits', () => {
  const scrubber = createScrubber([table])
  assert.equal(scrubber.push(Buffer.from('data: {"n":1}\n\n')).toString(), 'data: {"n":1}\n\n')
  assert.equal(scrubber.push(Buffer.from(`data: ${SECRET.slice(0, 10)}`)).toString(), 'data: ')
  assert.equal(scrubber.push(Buffer.from(`${SECRET.slice(10)}\n\n`)).toString(), `${'*'.repeat(SECRET.length)}\n\n`)
  assert.equal(scrubber.covered, SECRET.length)
})

test('of a token the signature and the claims are covered, and the header, which all tokens have, is not', () => {
  const [header, claims, signature] = [
    'eyJhbGciOiJFUzI1NiIsInR5cCI6IndpdCtqd3QifQ',
    'eyJ'.repeat(40),
    'Qw3-_x'.repeat(14),
  ]
  const tables = [patternTable(hiddenToken(`${header}.${claims}.${signature}`))]
  const shown = scrubText(`${header}.${claims}.${signature}`, tables)
  assert.equal(shown, `${header}.${'*'.repeat(claims.length)}.${'*'.repeat(signature.length)}`)
  assert.equal(scrubText(`${header}.${claims.slice(0, 60)}`, tables), `${header}.${claims.slice(0, 60)}`)
  assert.ok(!scrubText(Buffer.from(signature).toString('base64'), tables).includes('UXcz'.repeat(3)))
})

test('without anything to hide nothing is looked at', () => {
  const scrubber = createScrubber([])
  const chunk = Buffer.from(SECRET)
  assert.equal(scrubber.push(chunk), chunk)
})
