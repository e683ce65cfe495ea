import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { apiClient, type JsonObject, systemClock } from 'aims/base'
import { verifyJwtSvid, verifyWit, verifyX509Svid } from 'aims/credentials'
import { connectWorkload } from 'aims/provisioning'
import { startAgent } from 'aims-agent'
import { adminClient, loadConfig, startServer } from 'aims-server'
import { AWS_USER, startFakeAwsKms } from '../support/fake-aws-kms.ts'
import { AZURE_CLIENT, startFakeAzureVault } from '../support/fake-azure-vault.ts'
import { startFakeGcpKms } from '../support/fake-gcp-kms.ts'
import { trustTestHosts } from '../support/fake-kms.ts'
import { findSoftHsm, makeToken } from '../support/softhsm.ts'

const found = findSoftHsm()
const root = mkdtempSync(join(tmpdir(), 'aims-key-manager-'))
const base = { trustDomain: 'example.com', dataDirectory: join(root, 'data'), 'listen.port': 0 }
const quiet = { log: () => undefined }
after(() => rmSync(root, { recursive: true }))

for (const [why, manager] of [
  ['of another kind', { vault: {} }],
  ['two of them', { pkcs11: {}, other: {} }],
  ['no token', { pkcs11: { module: '/m.so', pinFile: '/pin' } }],
  ['a relative module', { pkcs11: { module: 'm.so', token: 't', pinFile: '/pin' } }],
  ['AWS KMS without a region', { 'aws-kms': {} }],
  ['AWS KMS without TLS', { 'aws-kms': { region: 'eu-central-1', endpoint: 'http://localhost:1' } }],
  ['Cloud KMS with the name of a key', { 'gcp-kms': { keyRing: 'projects/p/locations/l/keyRings/r/cryptoKeys/k' } }],
  ['Key Vault with a path', { 'azure-key-vault': { vault: 'https://aims.vault.azure.net/keys' } }],
  ['an unknown setting', { pkcs11: { module: '/m.so', token: 't', pinFile: '/pin', pin: '1234' } }],
] as const) {
  test(`keys.manager, refused: ${why}`, async () => {
    const config = await loadConfig({ env: {}, overrides: { ...base, 'keys.manager': manager } })
    await assert.rejects(startServer(config, quiet), { code: 'operation.config_invalid' })
  })
}

const credentials = join(root, 'gcp.json')
const CLOUDS = [
  ['AWS KMS', startFakeAwsKms],
  ['Cloud KMS', () => startFakeGcpKms(credentials)],
  ['Azure Key Vault', startFakeAzureVault],
] as const

for (const [name, start] of CLOUDS) {
  test(`with keys in ${name} a workload gets credentials that verify, keys rotate, and a restart finds them`, async (t) => {
    trustTestHosts()
    Object.assign(process.env, AWS_USER, AZURE_CLIENT, { GOOGLE_APPLICATION_CREDENTIALS: credentials })
    const cloud = await start()
    t.after(() => cloud[Symbol.asyncDispose]())
    await lifeWith(cloud.setting, mkdtempSync(join(root, 'cloud-')))
    // One of each purpose, one rotated for each; the rotated ones are retired, not destroyed.
    assert.deepEqual(
      [...cloud.keys.values()].map(({ state }) => state),
      Array(6).fill('enabled'),
    )
  })
}

test('with keys in SoftHSM2 a workload gets credentials that verify, keys rotate, and a restart finds them', {
  ...('missing' in found ? { skip: found.missing } : {}),
}, async (t) => {
  const { directory, pinFile } = makeToken('aims server', '9876')
  t.after(() => rmSync(directory, { recursive: true }))
  const module = 'missing' in found ? '' : found.module
  await lifeWith({ pkcs11: { module, token: 'aims server', pinFile } }, mkdtempSync(join(root, 'hsm-')))
})

// A server starts with the manager, starts again, serves a workload, rotates, and serves another.
async function lifeWith(manager: JsonObject, place: string): Promise<void> {
  const own = { ...base, dataDirectory: join(place, 'data') }
  const overrides = { ...own, 'keys.manager': manager, 'agent.socket': join(place, 'workload.sock') }
  const config = await loadConfig({ env: {}, overrides })
  await (await startServer(config, quiet)).close()
  const server = await startServer(config, quiet)
  const agent = await startAgent(config, quiet)
  const api = apiClient({ socketPath: config['api.socket'] })
  try {
    const selectors = [`unix:uid:${process.geteuid?.()}`]
    const spiffeId = 'spiffe://example.com/agent/bot'
    const admin = adminClient(api)
    await admin.createEntry({ spiffeId, selectors, owner: 'team', purpose: 'calendar' })
    const kidOf = (token: string): unknown =>
      JSON.parse(Buffer.from(token.split('.')[0] ?? '', 'base64url').toString()).kid
    const check = async (audience: string): Promise<readonly unknown[]> => {
      using workload = await connectWorkload({ address: agent.address })
      const { bundles } = workload
      const now = systemClock()
      const { certificates } = workload.x509.x509Svid()
      assert.equal(verifyX509Svid(certificates, { bundles, now }).subject, spiffeId)
      const wit = workload.wit.wit().token
      assert.equal(verifyWit(wit, { profile: 'wimse', bundles, now }).subject, spiffeId)
      const { token } = await workload.jwt.jwtSvid(audience)
      assert.equal(verifyJwtSvid(token, { bundles, now, audience }).subject, spiffeId)
      return [kidOf(wit), kidOf(token)]
    }
    const before = await check('https://api.example.com')
    for (const purpose of ['x509-ca', 'jwt', 'wit'] as const) await admin.rotate(purpose, { immediately: true })
    // Another audience: the agent keeps the token of the first.
    const rotated = await check('https://other.example.com')
    assert.notEqual(rotated[1], before[1])
  } finally {
    api.close()
    await agent.close()
    await server.close()
  }
  const without = await loadConfig({ env: {}, overrides: own })
  await assert.rejects(startServer(without, quiet), { code: 'operation.key_manager_missing' })
}
