import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import type { AimsErrorCode } from 'aims/base'
import { issueCaCertificate } from 'aims/credentials'
import { parseTrustDomain } from 'aims/identifiers'
import { AWS_USER, startFakeAwsKms } from '../../../../../test/support/fake-aws-kms.ts'
import { AZURE_CLIENT, startFakeAzureVault } from '../../../../../test/support/fake-azure-vault.ts'
import { startFakeGcpKms } from '../../../../../test/support/fake-gcp-kms.ts'
import { type FakeKms, type KmsFault, trustTestHosts } from '../../../../../test/support/fake-kms.ts'
import { configuredManager } from './configured.ts'
import { generateManaged, type KeyManager, managedSigner } from './key-manager.ts'
import { isSignatureOf } from './signature.ts'

trustTestHosts()
const dir = mkdtempSync(join(tmpdir(), 'aims-cloud-keys-'))
const credentials = join(dir, 'gcp.json')
Object.assign(process.env, AWS_USER, AZURE_CLIENT, { GOOGLE_APPLICATION_CREDENTIALS: credentials })
const trustDomain = parseTrustDomain('example.com')
const options = { alg: 'ES256', timeout: 30_000 } as const
const data = Buffer.from('what is signed')

const CLOUDS: { readonly [name: string]: FakeKms } = {
  'AWS KMS': await startFakeAwsKms(),
  'Cloud KMS': await startFakeGcpKms(credentials),
  'Azure Key Vault': await startFakeAzureVault(),
}
after(async () => {
  for (const fake of Object.values(CLOUDS)) await fake[Symbol.asyncDispose]()
  rmSync(dir, { recursive: true })
})

function managerOf({ setting }: FakeKms, domain = trustDomain): KeyManager {
  const configured = configuredManager(setting, domain)
  assert.ok(configured !== undefined)
  return configured.manager
}

// What goes wrong, and the code of a signature, of a new key, and of the public key of one that is there.
const FAULTS: readonly (readonly [
  KmsFault,
  sign: AimsErrorCode,
  generate: AimsErrorCode,
  look: AimsErrorCode | 'fine',
])[] = [
  [
    'throttled',
    'operation.key_manager_throttled',
    'operation.key_manager_throttled',
    'operation.key_manager_throttled',
  ],
  ['denied', 'operation.key_manager_denied', 'operation.key_manager_denied', 'operation.key_manager_denied'],
  [
    'broken',
    'operation.key_manager_unavailable',
    'operation.key_manager_unavailable',
    'operation.key_manager_unavailable',
  ],
  [
    'answers about another key',
    'operation.key_manager_invalid',
    'operation.key_manager_invalid',
    'operation.key_manager_invalid',
  ],
  ['signs with another key', 'operation.key_manager_invalid', 'operation.key_manager_invalid', 'fine'],
  ['garbles signatures', 'operation.key_manager_invalid', 'operation.key_manager_invalid', 'fine'],
]

for (const [cloud, fake] of Object.entries(CLOUDS)) {
  const manager = managerOf(fake)
  after(() => manager.close())

  for (const alg of ['ES256', 'ES384'] as const) {
    test(`${cloud}: a key for ${alg} is made, signs, is listed, found again, and destroyed`, async () => {
      const signer = await generateManaged(manager, 'example.com jwt', { alg, timeout: 30_000 })
      assert.ok(isSignatureOf(alg, signer.publicKey, data, await signer.sign(data)))
      const again = managerOf(fake)
      assert.ok((await again.list()).includes(signer.reference))
      assert.ok((await again.publicKey(signer.reference)).equals(signer.publicKey))
      await again.close()
      assert.equal((await managerOf(fake, parseTrustDomain('other.example')).list()).length, 0)
      await manager.destroy(signer.reference)
      assert.equal(fake.keys.get(signer.reference)?.state, 'destroyed')
      assert.equal((await manager.list()).includes(signer.reference), false)
      await assert.rejects(async () => signer.sign(data), { code: 'operation.key_manager_refused' })
      await manager.destroy(signer.reference)
    })
  }

  test(`${cloud}: many signatures at once come out right, and a CA certificate is signed`, async () => {
    const signer = await generateManaged(manager, 'example.com x509-ca', options)
    const texts = Array.from({ length: 20 }, (_, i) => Buffer.from(`text ${i}`))
    const signatures = await Promise.all(texts.map((text) => signer.sign(text)))
    assert.ok(texts.every((text, i) => isSignatureOf('ES256', signer.publicKey, text, signatures[i] ?? Buffer.of())))
    await issueCaCertificate({ trustDomain, signer, notBefore: 1_800_000_000, notAfter: 1_800_001_000 })
  })

  test(`${cloud}: who is throttled once asks again`, async () => {
    const signer = await generateManaged(manager, 'example.com jwt', options)
    fake.fault = 'throttled once'
    const before = fake.operations.length
    assert.ok(isSignatureOf('ES256', signer.publicKey, data, await signer.sign(data)))
    assert.equal(fake.operations.length - before, 2)
  })

  for (const [fault, onSign, onGenerate, onLook] of FAULTS) {
    test(`${cloud}, refused: it ${fault}`, async (t) => {
      t.after(() => {
        fake.fault = 'none'
      })
      const signer = await generateManaged(manager, 'example.com jwt', options)
      fake.fault = fault
      await assert.rejects(async () => signer.sign(data), { code: onSign })
      await assert.rejects(generateManaged(manager, 'example.com wit', options), { code: onGenerate })
      const look = manager.publicKey(signer.reference)
      if (onLook === 'fine') assert.ok((await look).equals(signer.publicKey))
      else await assert.rejects(look, { code: onLook })
      fake.fault = 'none'
      await signer.sign(data)
    })
  }

  test(`${cloud}, refused: a key of another type`, async (t) => {
    const signer = await generateManaged(manager, 'example.com jwt', options)
    t.after(() => {
      fake.fault = 'none'
    })
    fake.fault = 'gives a key of another type'
    await assert.rejects(manager.publicKey(signer.reference), { code: 'operation.key_manager_invalid' })
    await assert.rejects(generateManaged(manager, 'example.com jwt', options), {
      code: 'operation.key_manager_invalid',
    })
  })

  test(`${cloud}, refused: a key that was disabled, until it is enabled again`, async () => {
    const signer = await generateManaged(manager, 'example.com jwt', options)
    const key = fake.keys.get(signer.reference)
    assert.ok(key !== undefined)
    key.state = 'disabled'
    await assert.rejects(async () => signer.sign(data), { code: 'operation.key_manager_refused' })
    key.state = 'enabled'
    await signer.sign(data)
  })

  test(`${cloud}, refused: a key that was exchanged behind the same name`, async () => {
    const signer = await generateManaged(manager, 'example.com jwt', options)
    const other = await generateManaged(manager, 'example.com jwt', options)
    const [mine, foreign] = [fake.keys.get(signer.reference), fake.keys.get(other.reference)]
    assert.ok(mine !== undefined && foreign !== undefined)
    fake.keys.set(signer.reference, foreign)
    await assert.rejects(async () => signer.sign(data), { code: 'operation.key_manager_invalid' })
    fake.keys.set(signer.reference, mine)
    const { reference } = signer
    const wrong = managedSigner(manager, { reference, publicKey: other.publicKey }, options)
    await assert.rejects(async () => wrong.sign(data), { code: 'operation.key_manager_invalid' })
  })
}

// What each cloud does not know its caller by.
const STRANGERS: { readonly [cloud: string]: NodeJS.ProcessEnv } = {
  'AWS KMS': { AWS_SECRET_ACCESS_KEY: 'another secret' },
  'Cloud KMS': { GOOGLE_APPLICATION_CREDENTIALS: join(dir, 'stranger.json') },
  'Azure Key Vault': { AZURE_CLIENT_SECRET: 'another secret' },
}
const stranger = await startFakeGcpKms(join(dir, 'stranger.json'))
await stranger[Symbol.asyncDispose]()

for (const [cloud, fake] of Object.entries(CLOUDS)) {
  test(`${cloud}, refused: credentials that it does not know`, async () => {
    const before = { ...process.env }
    Object.assign(process.env, STRANGERS[cloud])
    const manager = managerOf(fake)
    try {
      await assert.rejects(manager.list(), { code: 'operation.key_manager_denied' })
      await assert.rejects(manager.generate('example.com jwt', 'ES256'), { code: 'operation.key_manager_denied' })
    } finally {
      Object.assign(process.env, before)
      await manager.close()
    }
  })

  test(`${cloud}, refused: nobody listens there`, async () => {
    const [[name, settings] = ['', {}]] = Object.entries(fake.setting)
    const elsewhere = JSON.parse(JSON.stringify(settings).replaceAll(`:${fake.host.port}`, ':1'))
    const manager = configuredManager({ [name]: elsewhere }, trustDomain)?.manager
    await assert.rejects(async () => manager?.list(), { code: 'operation.key_manager_unavailable' })
    await manager?.close()
  })
}
