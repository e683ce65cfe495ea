import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { chmodSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { issueCaCertificate } from 'aims/credentials'
import { parseTrustDomain } from 'aims/identifiers'
import { findSoftHsm, makeToken } from '../../../../../test/support/softhsm.ts'
import { type Cryptoki, loadCryptoki } from './cryptoki.ts'
import { generateManaged, managedSigner } from './key-manager.ts'
import { type Pkcs11Options, pkcs11KeyManager } from './pkcs11.ts'
import { isSignatureOf } from './signature.ts'

const found = findSoftHsm()
const options = 'missing' in found ? { skip: found.missing } : {}
const token = 'missing' in found ? { directory: '', pinFile: '' } : makeToken('aims test', '4321')
const place: Pkcs11Options = {
  module: 'missing' in found ? '' : found.module,
  token: 'aims test',
  pinFile: token.pinFile,
}
const hsm = pkcs11KeyManager(place)
after(async () => {
  await hsm.close()
  if (token.directory !== '') rmSync(token.directory, { recursive: true })
})

for (const alg of ['ES256', 'ES384'] as const) {
  test(`SoftHSM2: a key for ${alg} is made, signs, is listed, found again, and destroyed`, options, async () => {
    const signer = await generateManaged(hsm, 'example.com jwt', { alg, timeout: 10_000 })
    const data = Buffer.from('what is signed')
    const signature = await signer.sign(data)
    assert.ok(isSignatureOf(alg, signer.publicKey, data, signature))
    assert.ok((await hsm.list()).includes(signer.reference))
    const again = pkcs11KeyManager(place)
    assert.ok((await again.publicKey(signer.reference)).equals(signer.publicKey))
    await again.close()
    await hsm.destroy(signer.reference)
    assert.equal((await hsm.list()).includes(signer.reference), false)
    await assert.rejects(async () => signer.sign(data), { code: 'operation.key_manager_refused' })
    await hsm.destroy(signer.reference)
  })
}

test('SoftHSM2: many signatures at once come out right, and a CA certificate is signed', options, async () => {
  const signer = await generateManaged(hsm, 'example.com x509-ca', { alg: 'ES256', timeout: 10_000 })
  const texts = Array.from({ length: 50 }, (_, i) => Buffer.from(`text ${i}`))
  const signatures = await Promise.all(texts.map((text) => signer.sign(text)))
  assert.ok(texts.every((text, i) => isSignatureOf('ES256', signer.publicKey, text, signatures[i] ?? Buffer.of())))
  const trustDomain = parseTrustDomain('example.com')
  await issueCaCertificate({ trustDomain, signer, notBefore: 1_800_000_000, notAfter: 1_800_001_000 })
  // The public key of another key: the signature is found out before anybody gets it.
  const other = await generateManaged(hsm, 'example.com wit', { alg: 'ES256', timeout: 10_000 })
  const wrong = managedSigner(
    hsm,
    { reference: signer.reference, publicKey: other.publicKey },
    { alg: 'ES256', timeout: 10_000 },
  )
  await assert.rejects(async () => wrong.sign(Buffer.from('x')), { code: 'operation.key_manager_invalid' })
})

for (const [what, change, message] of [
  ['a module that is not there', { module: '/nonexistent/module.so' }, /./],
  ['a file that is no module', { module: '/etc/passwd' }, /./],
  [
    'another token',
    { token: 'aims' },
    /^no token that the module shows has the label in keys\.manager\.pkcs11\.token$/,
  ],
  ['no PIN file', { pinFile: '/nonexistent/pin' }, /./],
] as const) {
  test(`SoftHSM2, refused: ${what}`, options, async () => {
    const manager = pkcs11KeyManager({ ...place, ...change })
    await assert.rejects(manager.list(), { code: 'operation.key_manager_unavailable', message })
  })
}

test('SoftHSM2, refused: a wrong PIN, and the right one is taken afterwards', options, async () => {
  await hsm.close()
  const pinFile = join(token.directory, 'wrong')
  writeFileSync(pinFile, '0000', { mode: 0o600 })
  let logins = 0
  const manager = pkcs11KeyManager({ ...place, pinFile }, async (module) => {
    const cryptoki = await loadCryptoki(module)
    const call: Cryptoki['call'] = (name, ...args) => {
      if (name === 'C_Login') logins += 1
      return cryptoki.call(name, ...args)
    }
    return { ...cryptoki, call }
  })
  const code = 'operation.key_manager_unavailable'
  await assert.rejects(manager.list(), { code, message: /0xa0: the PIN in pinFile is not that of the token/ })
  await assert.rejects(manager.list(), { code, message: /refused the PIN/ })
  await assert.rejects(manager.generate('x', 'ES256'), { code: 'operation.key_manager_unavailable' })
  assert.equal(logins, 1, 'a few wrong ones lock a token')
  writeFileSync(pinFile, '4321')
  chmodSync(pinFile, 0o640)
  await assert.rejects(manager.list(), { code: 'operation.key_file_mode' })
  chmodSync(pinFile, 0o600)
  await manager.list()
  await manager.close()
  assert.equal(logins, 2)
})

test('SoftHSM2, refused: something else in the place of the PIN file', options, async () => {
  await hsm.close()
  const fifo = join(token.directory, 'fifo')
  execFileSync('mkfifo', ['-m', '600', fifo])
  for (const pinFile of [fifo, token.directory]) {
    const manager = pkcs11KeyManager({ ...place, pinFile })
    await assert.rejects(manager.list(), { code: 'operation.key_manager_unavailable' })
  }
})
