import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { apiClient, type JsonValue } from 'aims/base'
import { adminClient } from './admin-client.ts'
import { loadConfig } from './config/config.ts'
import { type RunningServer, startServer } from './server.ts'

const root = mkdtempSync(join(tmpdir(), 'aims-server-policies-'))
const opened: (() => unknown)[] = []
after(async () => {
  for (const close of opened.reverse()) await close()
  rmSync(root, { recursive: true })
})

async function start(name: string, settings: { readonly [key: string]: JsonValue }): Promise<RunningServer> {
  const dataDirectory = join(root, name)
  const overrides = { trustDomain: 'example.com', dataDirectory, 'listen.port': 0, ...settings }
  const server = await startServer(await loadConfig({ env: {}, overrides }), { log: () => undefined })
  opened.push(() => server.close())
  return server
}

test('policies are read again when that is asked for, and a set of no use leaves the one before in force', async () => {
  const directory = join(root, 'policies')
  mkdirSync(directory)
  const write = (text: string): void => writeFileSync(join(directory, 'a.cedar'), text)
  write('@id("all") permit(principal, action, resource);')
  const server = await start('with', { 'policies.directory': directory })
  const api = apiClient({ socketPath: server.socketPath })
  opened.push(() => api.close())
  const admin = adminClient(api)
  const before = (await admin.status()).policySet

  write('permit(')
  await assert.rejects(server.reloadPolicies(), { code: 'policy.invalid' })
  assert.equal((await admin.status()).policySet, before)
  const [refused] = await admin.listRecords({ type: 'policy.refused' })
  assert.deepEqual([refused?.reasons, refused?.details?.inForce], [['policy.invalid'], before])

  write('@id("none") forbid(principal, action, resource);')
  const version = await server.reloadPolicies()
  assert.notEqual(version, before)
  assert.equal((await admin.status()).policySet, version)
  const [loaded] = await admin.listRecords({ type: 'policy.loaded', limit: 1 })
  assert.equal(loaded?.resource.id, version)
})

test('a server without policies has none to read again', async () => {
  const server = await start('without', {})
  assert.equal(await server.reloadPolicies(), undefined)
})
