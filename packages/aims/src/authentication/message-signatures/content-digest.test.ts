import assert from 'node:assert/strict'
import { buffer } from 'node:stream/consumers'
import { test } from 'node:test'
import fc from 'fast-check'
import { assertRefused } from '../../../../../test/support/tokens.ts'
import { checkContentDigest, checkedBody, contentDigest, contentDigestOf } from './content-digest.ts'

const BODY = Buffer.from('{"hello": "world"}')

async function* pieces(...parts: readonly Uint8Array[]): AsyncGenerator<Uint8Array, void> {
  yield* parts
}

test('a body agrees with its digest, of one piece or many', async () => {
  assert.equal(contentDigest(BODY), 'sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:')
  await fc.assert(
    fc.asyncProperty(fc.array(fc.uint8Array()), fc.constantFrom('sha-256', 'sha-512'), async (parts, algorithm) => {
      const whole = Buffer.concat(parts)
      const field = contentDigest(whole, algorithm)
      checkContentDigest(field, whole)
      assert.equal(await contentDigestOf(pieces(...parts), algorithm), field)
      assert.deepEqual(await buffer(checkedBody(field, pieces(...parts), { maxBytes: whole.length })), whole)
    }),
  )
})

test('digests that do not count are passed over beside one that does', () => {
  checkContentDigest(`md5=:AAAA:, unixsum=1, ${contentDigest(BODY)}`, BODY)
})

// [authentication.rfc9421.05]
const REFUSED: readonly (readonly [string, string, string])[] = [
  ['F5 another body', contentDigest(Buffer.from('other')), 'signature.digest_mismatch'],
  [
    'one of two that differs',
    `${contentDigest(BODY)}, ${contentDigest(Buffer.from('x'), 'sha-512')}`,
    'signature.digest_mismatch',
  ],
  ['F5 md5 only', 'md5=:Sd/dVLAcvNLSq16eXua5uQ==:', 'signature.digest_unsupported'],
  ['nothing', '', 'signature.digest_unsupported'],
  ['a digest that is too short', 'sha-256=:AAAA:', 'signature.malformed'],
  ['a digest that is text', 'sha-256="x"', 'signature.malformed'],
  ['a digest given twice', `${contentDigest(BODY)}, ${contentDigest(BODY)}`, 'signature.malformed'],
  ['no dictionary', ':AAAA:', 'signature.malformed'],
]

for (const [what, field, code] of REFUSED) {
  test(`refuses ${what}, whole and in pieces`, async () => {
    assertRefused(() => checkContentDigest(field, BODY), code)
    await assert.rejects(buffer(checkedBody(field, pieces(BODY), { maxBytes: 100 })), { code })
  })
}

test('a body beyond the limit is read no further', async () => {
  const whole = Buffer.alloc(30)
  const chunks = checkedBody(contentDigest(whole), pieces(whole.subarray(0, 10), whole.subarray(10)), { maxBytes: 20 })
  assert.equal((await chunks.next()).done, false)
  await assert.rejects(chunks.next(), { code: 'authentication.body_too_large' })
})
