import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { AimsError } from '../base/errors.ts'
import { WorkloadKey } from '../base/keys.ts'
import { formatCheckpoint } from './checkpoint.ts'
import { leafHash, nodeHash } from './merkle.ts'
import { formatVerifierKey, signNote } from './note.ts'
import { formatReceipt, parseUnverifiedReceipt, verifyReceipt } from './proof.ts'

const origin = 'example.com/audit'
const signer = WorkloadKey.generate('Ed25519')
const vkey = formatVerifierKey(origin, signer.publicKey)
const record = Buffer.from('record')
const sibling = leafHash(Buffer.from('other'))
const root = nodeHash(sibling, leafHash(record))
const checkpoint = signNote(formatCheckpoint({ origin, size: 2, root, extensions: [] }), origin, signer)
const receipt = { index: 1, hashes: [sibling], checkpoint }
const text = formatReceipt(receipt)

test('a receipt is written as a tlog-proof, read back, and verified without the log', () => {
  assert.equal(text, `c2sp.org/tlog-proof@v1\nindex 1\n${sibling.toString('base64')}\n\n${checkpoint}`)
  assert.deepEqual(parseUnverifiedReceipt(text), receipt)
  assert.deepEqual(verifyReceipt(record, text, { vkey }), { index: 1, size: 2 })
  assert.deepEqual(verifyReceipt(record, text.replace('\n', '\nextra AAAA\n'), { vkey }), { index: 1, size: 2 })
})

test('a log of one record needs no hashes', () => {
  const root = leafHash(record)
  const checkpoint = signNote(formatCheckpoint({ origin, size: 1, root, extensions: [] }), origin, signer)
  const only = formatReceipt({ index: 0, hashes: [], checkpoint })
  assert.deepEqual(verifyReceipt(record, only, { vkey }), { index: 0, size: 1 })
})

const other = formatVerifierKey(origin, WorkloadKey.generate('Ed25519').publicKey)
const refusals: readonly (readonly [title: string, text: string, vkey: string, code: string])[] = [
  ['of another index', text.replace('index 1', 'index 0'), vkey, 'audit.proof_mismatch'],
  ['without its hash', text.replace(`${sibling.toString('base64')}\n`, ''), vkey, 'audit.proof_mismatch'],
  ['with another hash', formatReceipt({ ...receipt, hashes: [root] }), vkey, 'audit.proof_mismatch'],
  ['with a changed checkpoint', text.replace('\n2\n', '\n3\n'), vkey, 'audit.invalid_signature'],
  ['checked with another key', text, other, 'audit.unknown_signer'],
  ['checked with no key', text, 'key', 'audit.malformed_key'],
  ['of another version', text.replace('@v1', '@v2'), vkey, 'audit.malformed_proof'],
  ['with a leading zero', text.replace('index 1', 'index 01'), vkey, 'audit.malformed_proof'],
  ['without an index', text.replace('index 1\n', ''), vkey, 'audit.malformed_proof'],
  ['with a short hash', text.replace('index 1\n', 'index 1\nAAAA\n'), vkey, 'audit.malformed_proof'],
  ['with extra data that is not base64', text.replace('\n', '\nextra !\n'), vkey, 'audit.malformed_proof'],
  ['with 64 hashes', formatReceipt({ ...receipt, hashes: Array(64).fill(root) }), vkey, 'audit.malformed_proof'],
  ['without a checkpoint', text.slice(0, text.indexOf('\n\n')), vkey, 'audit.malformed_proof'],
]
for (const [title, bad, key, code] of refusals) {
  test(`a receipt ${title} is refused with ${code}`, () => {
    assert.throws(() => verifyReceipt(record, bad, { vkey: key }), { name: 'AimsError', code })
  })
}

test('a receipt proves this record of this log only', () => {
  assert.throws(() => verifyReceipt(Buffer.from('Record'), text, { vkey }), { code: 'audit.proof_mismatch' })
  assert.throws(() => verifyReceipt(record, text, { vkey, origin: 'other' }), { code: 'audit.wrong_origin' })
})

test('any text is a receipt that prints back, or refused', () => {
  const piece = fc.oneof(fc.string(), fc.constantFrom('\n', '\n\n', 'index 7\n', text, 'c2sp.org/tlog-proof@v1\n'))
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 6 }), (pieces) => {
      const input = pieces.join('')
      try {
        const again = formatReceipt(parseUnverifiedReceipt(input))
        assert.equal(again, input.replace(/\nextra [^\n]*/, ''))
      } catch (error) {
        assert.ok(AimsError.is(error))
        assert.equal(error.code, 'audit.malformed_proof')
      }
    }),
  )
})
