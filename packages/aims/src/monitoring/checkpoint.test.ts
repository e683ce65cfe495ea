import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { AimsError } from '../base/errors.ts'
import { WorkloadKey } from '../base/keys.ts'
import { formatCheckpoint, parseCheckpoint, verifyCheckpoint } from './checkpoint.ts'
import { EMPTY_ROOT } from './merkle.ts'
import { formatVerifierKey, parseVerifierKey, signNote } from './note.ts'

const origin = 'example.com/audit'
const signer = WorkloadKey.generate('Ed25519')
const keys = [parseVerifierKey(formatVerifierKey(origin, signer.publicKey))]
const root = Buffer.from('CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=', 'base64')
const good = `${origin}\n20852163\n${root.toString('base64')}\n`

test('a checkpoint is read, printed back, and believed when it is signed', () => {
  const checkpoint = parseCheckpoint(good)
  assert.deepEqual(checkpoint, { origin, size: 20852163, root, extensions: [] })
  assert.equal(formatCheckpoint(checkpoint), good)
  assert.equal(verifyCheckpoint(signNote(good, origin, signer), { origin, keys }).size, 20852163)
})

test('extension lines are kept and not interpreted', () => {
  assert.deepEqual(parseCheckpoint(`${good}more\n\u2014 even more\n`).extensions, ['more', '\u2014 even more'])
})

const refusals: readonly (readonly [title: string, text: string])[] = [
  ['that is empty', ''],
  ['of two lines', `${origin}\n5\n`],
  ['without an origin', good.slice(origin.length)],
  ['with a leading zero', good.replace('20852163', '020852163')],
  ['with a sign', good.replace('20852163', '+20852163')],
  ['with a size beyond 2^53', good.replace('20852163', '9007199254740993')],
  ['with a blank after the size', good.replace('20852163', '20852163 ')],
  ['with a root of 31 bytes', `${origin}\n5\n${Buffer.alloc(31).toString('base64')}\n`],
  ['with a root in base64url', good.replace('om/X', 'om_X')],
  ['with a root whose unused bits are set', good.replace('q2I=', 'q2J=')],
  ['with an empty extension line', `${good}\nmore\n`],
  ['without the last line feed', good.slice(0, -1)],
]
for (const [title, text] of refusals) {
  test(`a checkpoint ${title} is refused`, () => {
    assert.throws(() => parseCheckpoint(text), { name: 'AimsError', code: 'audit.malformed_checkpoint' })
    if (text.endsWith('\n')) {
      assert.throws(() => verifyCheckpoint(signNote(text, origin, signer), { origin, keys }), {
        code: 'audit.malformed_checkpoint',
      })
    }
  })
}

test('a checkpoint of another log, or by another key, is refused', () => {
  const note = signNote(good.replace('audit', 'other'), origin, signer)
  assert.throws(() => verifyCheckpoint(note, { origin, keys }), { code: 'audit.wrong_origin' })
  const forged = signNote(good, origin, WorkloadKey.generate('Ed25519'))
  assert.throws(() => verifyCheckpoint(forged, { origin, keys }), { code: 'audit.unknown_signer' })
})

test('what is not a checkpoint cannot be written', () => {
  for (const bad of [{ origin: '' }, { origin: 'a\nb' }, { size: -1 }, { size: 0.5 }, { root: Buffer.alloc(31) }]) {
    const checkpoint = { origin, size: 0, root: EMPTY_ROOT, extensions: [], ...bad }
    assert.throws(() => formatCheckpoint(checkpoint), TypeError)
  }
})

test('any text is a checkpoint that prints back, or refused', () => {
  const piece = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.constantFrom('\n', good, '0\n', `${root.toString('base64')}\n`),
  )
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 5 }), (pieces) => {
      const text = pieces.join('')
      try {
        assert.equal(formatCheckpoint(parseCheckpoint(text)), text)
      } catch (error) {
        assert.ok(AimsError.is(error))
        assert.equal(error.code, 'audit.malformed_checkpoint')
      }
    }),
  )
})
