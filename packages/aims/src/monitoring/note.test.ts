import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { AimsError } from '../base/errors.ts'
import { WorkloadKey } from '../base/keys.ts'
import { formatVerifierKey, parseUnverifiedNote, parseVerifierKey, signNote, verifyNote } from './note.ts'

const signer = WorkloadKey.generate('Ed25519')
const other = WorkloadKey.generate('Ed25519')
const name = 'example.com/audit'
const vkey = formatVerifierKey(name, signer.publicKey)
const key = parseVerifierKey(vkey)
const otherKey = parseVerifierKey(formatVerifierKey('example.com/other', other.publicKey))
const text = 'first line\n\nlast line\n'
const note = signNote(text, name, signer)
const line = note.slice(text.length + 1)
const otherLine = signNote(text, 'example.com/other', other).slice(text.length + 1)

// The example in the documentation of Go's golang.org/x/mod/sumdb/note.
const GO_VKEY = 'PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW'
const GO_NOTE = `If you think cryptography is the answer to your problem,
then you don't know what your problem is.

— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=
`

test('a note made by another implementation is verified, and its key printed back', () => {
  const { text, signers } = verifyNote(GO_NOTE, [parseVerifierKey(GO_VKEY)])
  assert.match(text, /your problem is\.\n$/)
  assert.equal(signers[0].name, 'PeterNeumann')
  assert.equal(formatVerifierKey('PeterNeumann', signers[0].key), GO_VKEY)
})

test('our own note is verified, with its empty line, and other signers are ignored', () => {
  assert.deepEqual(verifyNote(note, [key]), { text, signers: [key] })
  assert.deepEqual(verifyNote(note + otherLine, [key]).signers, [key])
  assert.deepEqual(verifyNote(note + otherLine, [otherKey, key]).signers, [key, otherKey])
})

test('a key that signs twice counts once', () => {
  assert.deepEqual(verifyNote(note + line + line, [key]).signers, [key])
})

const badSignature = `${line.slice(0, -10)}${line.at(-10) === 'A' ? 'B' : 'A'}${line.slice(-9)}`
const refusals: readonly (readonly [title: string, note: string, code: string])[] = [
  ['signed by nobody we know', `${text}\n${otherLine}`, 'audit.unknown_signer'],
  ['under the right name with another key', signNote(text, name, other), 'audit.unknown_signer'],
  ['with another text', note.replace('first', 'First'), 'audit.invalid_signature'],
  ['with a broken signature', `${text}\n${badSignature}`, 'audit.invalid_signature'],
  ['with one good and one broken signature of the same key', note + badSignature, 'audit.invalid_signature'],
  ['without signatures', text, 'audit.malformed_note'],
  ['without a blank line', note.replaceAll('\n\n', '\n'), 'audit.malformed_note'],
  ['without the last line feed', note.slice(0, -1), 'audit.malformed_note'],
  ['with an empty signature line', `${note}\n`, 'audit.malformed_note'],
  ['with carriage returns', note.replaceAll('\n', '\r\n'), 'audit.malformed_note'],
  ['with a hyphen for the dash', note.replace('\u2014', '-'), 'audit.malformed_note'],
  ['with two blanks before the signature', note.replace('audit ', 'audit  '), 'audit.malformed_note'],
  ['with unpadded base64', note.replace('=\n', '\n'), 'audit.malformed_note'],
  ['with a signature of four bytes', `${text}\n\u2014 ${name} AAAAAA==\n`, 'audit.malformed_note'],
  ['with a lone surrogate', `\ud800${note}`, 'audit.malformed_note'],
  ['with 101 signatures', note + otherLine.repeat(100), 'audit.malformed_note'],
  ['longer than 256 KiB', 'x'.repeat(262_144) + note, 'audit.malformed_note'],
]
for (const [title, bad, code] of refusals) {
  test(`a note ${title} is refused with ${code}`, () => {
    assert.notEqual(bad, note)
    assert.throws(() => verifyNote(bad, [key]), { name: 'AimsError', code })
  })
}

const [, id = '', base64 = ''] = vkey.split('+', 2).concat(vkey.slice(vkey.indexOf('+', name.length + 1) + 1))
const keyRefusals: readonly (readonly [title: string, vkey: string, code: string])[] = [
  ['of two parts', `${name}+${id}`, 'audit.malformed_key'],
  ['with a blank in its name', vkey.replace('/', ' '), 'audit.malformed_key'],
  ['of another name', vkey.replace('audit', 'Audit'), 'audit.malformed_key'],
  ['with an upper-case id', `${name}+ABCDEF01+${base64}`, 'audit.malformed_key'],
  ['with another id', `${name}+00000000+${base64}`, 'audit.malformed_key'],
  ['without padding characters where they belong', vkey.slice(0, -1), 'audit.malformed_key'],
  ['of type 2', `${name}+${id}+Ag${base64.slice(2)}`, 'key.unsupported'],
  [
    'of 31 bytes',
    `${name}+${id}+${Buffer.concat([Buffer.of(1), Buffer.alloc(31)]).toString('base64')}`,
    'key.malformed',
  ],
]
for (const [title, bad, code] of keyRefusals) {
  test(`a verifier key ${title} is refused with ${code}`, () => {
    assert.throws(() => parseVerifierKey(bad), { name: 'AimsError', code })
  })
}

test('a text or a key that cannot make a note is misuse', () => {
  assert.throws(() => signNote('no line feed', name, signer), TypeError)
  assert.throws(() => signNote('tab\t\n', name, signer), TypeError)
  assert.throws(() => signNote(text, 'two words', signer), TypeError)
  assert.throws(() => signNote(text, name, WorkloadKey.generate('ES256')), TypeError)
})

test('any flipped bit of a note or a key is noticed', () => {
  for (let at = 0; at < Buffer.byteLength(note); at += 1) {
    for (const bit of [1, 2, 32, 128]) {
      const bytes = Buffer.from(note)
      bytes[at] = (bytes[at] ?? 0) ^ bit
      assert.throws(() => verifyNote(bytes.toString('utf8'), [key]), AimsError)
    }
  }
  for (let at = 0; at < vkey.length; at += 1) {
    const changed = `${vkey.slice(0, at)}${String.fromCharCode(vkey.charCodeAt(at) ^ 1)}${vkey.slice(at + 1)}`
    assert.throws(() => verifyNote(note, [parseVerifierKey(changed)]), AimsError)
  }
})

test('any text is taken apart as a note, or refused', () => {
  const piece = fc.oneof(fc.string({ unit: 'binary' }), fc.constantFrom('\n', '\n\n', line, text, '\u2014 a b\n'))
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 6 }), (pieces) => {
      const input = pieces.join('')
      try {
        const parsed = parseUnverifiedNote(input)
        assert.ok(input.startsWith(`${parsed.text}\n\u2014 `))
        assert.ok(parsed.signatures.length > 0)
      } catch (error) {
        assert.ok(AimsError.is(error))
        assert.equal(error.code, 'audit.malformed_note')
      }
    }),
  )
})
