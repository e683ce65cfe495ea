import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { apiClient, systemClock } from 'aims/base'
import { verifyJwtSvid, verifyWit, verifyX509Svid } from 'aims/credentials'
import { connectWorkload } from 'aims/provisioning'
import { startAgent } from 'aims-agent'
import { adminClient, loadConfig, startServer } from 'aims-server'
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
  ['an unknown setting', { pkcs11: { module: '/m.so', token: 't', pinFile: '/pin', pin: '1234' } }],
] as const) {
  test(`keys.manager, refused: ${why}`, async () => {
    const config = await loadConfig({ env: {}, overrides: { ...base, 'keys.manager': manager } })
    await assert.rejects(startServer(config, quiet), { code: 'operation.config_invalid' })
  })
}

test('with keys in SoftHSM2 a workload gets credentials that verify, and a restart finds the keys', {
  ...('missing' in found ? { skip: found.missing } : {}),
}, async (t) => {
  const { directory, pinFile } = makeToken('aims server', '9876')
  t.after(() => rmSync(directory, { recursive: true }))
  const module = 'missing' in found ? '' : found.module
  const manager = { pkcs11: { module, token: 'aims server', pinFile } }
  const overrides = { ...base, 'keys.manager': manager, 'agent.socket': join(root, 'workload.sock') }
  const config = await loadConfig({ env: {}, overrides })
  await (await startServer(config, quiet)).close()
  const server = await startServer(config, quiet)
  const agent = await startAgent(config, quiet)
  const api = apiClient({ socketPath: config['api.socket'] })
  try {
    const selectors = [`unix:uid:${process.geteuid?.()}`]
    const spiffeId = 'spiffe://example.com/agent/bot'
    await adminClient(api).createEntry({ spiffeId, selectors, owner: 'team', purpose: 'calendar' })
    using workload = await connectWorkload({ address: agent.address })
    const { bundles } = workload
    const now = systemClock()
    const audience = 'https://api.example.com'
    assert.equal(verifyX509Svid(workload.x509.x509Svid().certificates, { bundles, now }).subject, spiffeId)
    assert.equal(verifyWit(workload.wit.wit().token, { profile: 'wimse', bundles, now }).subject, spiffeId)
    const { token } = await workload.jwt.jwtSvid(audience)
    assert.equal(verifyJwtSvid(token, { bundles, now, audience }).subject, spiffeId)
  } finally {
    api.close()
    await agent.close()
    await server.close()
  }
  const without = await loadConfig({ env: {}, overrides: base })
  await assert.rejects(startServer(without, quiet), { code: 'operation.key_manager_missing' })
})
