import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { generateKeyPairSync } from 'node:crypto'
import { test } from 'node:test'
import { DerReader, TAG } from '../../base/der.ts'
import { type Signer, spkiBytes, WorkloadKey } from '../../base/keys.ts'
import { createCertificateRequest } from './certificate-request.ts'

const hasOpenssl = spawnSync('openssl', ['version']).status === 0
const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey

for (const [what, signer] of [
  ['P-256', WorkloadKey.generate()],
  ['P-384', WorkloadKey.generate('ES384')],
  ['Ed25519', WorkloadKey.generate('Ed25519')],
  ['RSA', new WorkloadKey(rsa)],
] as const) {
  test(`a request for a ${what} key says the key and nothing else, and openssl takes its proof`, async () => {
    const der = await createCertificateRequest(signer)
    const outer = DerReader.of(der).enter(TAG.sequence)
    const info = outer.enter(TAG.sequence)
    assert.equal(info.smallInteger(), 0)
    assert.equal(info.content(TAG.sequence).length, 0, 'no name')
    assert.deepEqual(Buffer.from(info.element(TAG.sequence)), spkiBytes(signer.publicKey))
    assert.equal(info.content(0xa0).length, 0, 'no attributes')
    info.end()
    if (!hasOpenssl) return
    const args = ['req', '-inform', 'DER', '-verify', '-noout', '-pubkey']
    const run = spawnSync('openssl', args, { input: der, encoding: 'utf8' })
    assert.equal(run.status, 0, run.stderr)
    const again = execFileSync('openssl', ['pkey', '-pubin', '-outform', 'DER'], { input: run.stdout })
    assert.deepEqual(again, spkiBytes(signer.publicKey))
  })
}

const key = WorkloadKey.generate()
const { alg, publicKey } = key
const remote: Signer = { alg, publicKey, sign: async (data) => key.sign(data) }

test('a key in a manager signs, too', async () => {
  assert.ok((await createCertificateRequest(remote)).length > 0)
})

// One row per signer that gets none.
for (const [what, signer, code] of [
  ['signs with RSASSA-PSS', new WorkloadKey(rsa, { alg: 'PS256' }), 'key.unsupported'],
  ['signs something else', { ...remote, sign: async () => key.sign(Buffer.from('else')) }, 'x509.invalid_signature'],
  [
    'has a key that CAs refuse',
    {
      alg: 'RS256',
      publicKey: generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey,
      sign: () => Buffer.of(),
    },
    'x509.weak_key',
  ],
] as const satisfies readonly (readonly [string, Signer, string])[]) {
  test(`no request for a signer that ${what}`, async () => {
    await assert.rejects(createCertificateRequest(signer), { code })
  })
}
