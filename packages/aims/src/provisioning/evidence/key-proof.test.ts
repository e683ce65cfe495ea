import assert from 'node:assert/strict'
import { test } from 'node:test'
import { signJws } from '../../base/jose.ts'
import { jwkThumbprint, verificationKey, WorkloadKey } from '../../base/keys.ts'
import { parseTrustDomain } from '../../identifiers/trust-domain.ts'
import { type KeyProofSubject, signKeyProof, verifyKeyProof } from './key-proof.ts'

const key = WorkloadKey.generate()
const subject: KeyProofSubject = {
  nonce: 'n'.repeat(43),
  trustDomain: parseTrustDomain('example.com'),
  thumbprint: jwkThumbprint(key.publicKey),
}
const verification = verificationKey(key.publicKey)

test('a key proves itself for one challenge', async () => {
  verifyKeyProof(await signKeyProof(subject, key), subject, verification)
})

const other = WorkloadKey.generate()
const good = { aud: subject.trustDomain, nonce: subject.nonce, jkt: subject.thumbprint }
for (const [what, proof] of [
  ['of another key', signKeyProof(subject, other)],
  ['for another nonce', signKeyProof({ ...subject, nonce: 'm'.repeat(43) }, key)],
  ['for another trust domain', signKeyProof({ ...subject, trustDomain: parseTrustDomain('other.example') }, key)],
  ['about another key', signKeyProof({ ...subject, thumbprint: jwkThumbprint(other.publicKey) }, key)],
  ['of another kind', signJws({ typ: 'wpt+jwt' }, good, key)],
  ['without a nonce', signJws({ typ: 'aims-key-proof+jwt' }, { ...good, nonce: undefined }, key)],
  ['that is no token', Promise.resolve('proof')],
] as const) {
  test(`a proof ${what} is refused`, async () => {
    const text = await proof
    assert.throws(() => verifyKeyProof(text, subject, verification), { code: 'provisioning.key_proof_invalid' })
  })
}
