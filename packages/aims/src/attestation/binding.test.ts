import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import { bindingAudience, bindingDigest, checkBoundAudience, checkBoundData, type ExpectedBinding } from './binding.ts'

const challenge = { nonce: Buffer.alloc(32, 7), publicKey: Buffer.from('a key') }
const asked: ExpectedBinding = { kind: 'challenge', challenge, trustDomain: 'example.com' }

test('the digest is over context, type, nonce and the digest of the key, with nothing ambiguous between them', () => {
  const key = createHash('sha256').update('a key').digest()
  const whole = Buffer.concat([Buffer.from('AIMS-ATTEST-v1\0tpm\0'), challenge.nonce, key])
  assert.deepEqual(bindingDigest('tpm', challenge, 'sha256'), createHash('sha256').update(whole).digest())
  assert.notDeepEqual(bindingDigest('sgx', challenge, 'sha256'), bindingDigest('tpm', challenge, 'sha256'))
})

test('64 bytes hold the SHA-512 binding, 32 the SHA-256 one', () => {
  assert.equal(checkBoundData('tdx', bindingDigest('tdx', challenge, 'sha512'), asked), true)
  assert.equal(checkBoundData('tpm', bindingDigest('tpm', challenge, 'sha256'), asked), true)
})

test('given data are compared with the field, padded with zeros', () => {
  const field = Buffer.alloc(64)
  field.write('Hello')
  assert.equal(checkBoundData('sgx', field, { kind: 'data', data: Buffer.from('Hello') }), true)
})

const good = bindingDigest('tdx', challenge, 'sha512')
const flipped = Buffer.from(good)
flipped[63] = (flipped[63] as number) ^ 1
for (const [what, data, expected, code] of [
  ['with one bit changed', flipped, asked, 'attestation.binding_mismatch'],
  [
    'for another key',
    good,
    { ...asked, challenge: { ...challenge, publicKey: Buffer.from('b') } },
    'attestation.binding_mismatch',
  ],
  [
    'for another nonce',
    good,
    { ...asked, challenge: { ...challenge, nonce: Buffer.alloc(32) } },
    'attestation.binding_mismatch',
  ],
  [
    'that begin as expected and go on',
    Buffer.from('Hello you'),
    { kind: 'data', data: Buffer.from('Hello') },
    'attestation.binding_mismatch',
  ],
  [
    'shorter than expected',
    Buffer.from('He'),
    { kind: 'data', data: Buffer.from('Hello') },
    'attestation.binding_mismatch',
  ],
  [
    'when nothing is expected',
    Buffer.alloc(64),
    { kind: 'data', data: Buffer.alloc(0) },
    'attestation.binding_missing',
  ],
  ['when an audience is expected', good, { kind: 'audience', audience: 'x' }, 'attestation.binding_missing'],
] as const satisfies readonly (readonly [string, Buffer, ExpectedBinding, string])[]) {
  test(`data ${what} are refused`, () => {
    assert.throws(() => checkBoundData('tdx', data, expected), { code })
  })
}

test('an audience carries the digest, and one of another type or trust domain is refused', () => {
  const audience = bindingAudience('github', challenge, 'example.com')
  assert.match(audience, /^https:\/\/example\.com\/attest\?b=[A-Za-z0-9_-]{43}$/)
  assert.equal(checkBoundAudience('github', audience, asked), true)
  for (const wrong of [
    bindingAudience('gcp', challenge, 'example.com'),
    bindingAudience('github', challenge, 'other.example'),
    '',
  ]) {
    assert.throws(() => checkBoundAudience('github', wrong, asked), { code: 'attestation.binding_mismatch' })
  }
})

test('only whoever says so does without, and is told that nothing was checked', () => {
  assert.equal(checkBoundData('sgx', Buffer.alloc(64), { kind: 'unchecked' }), false)
  assert.equal(checkBoundAudience('gcp', 'x', { kind: 'unchecked' }), false)
})
