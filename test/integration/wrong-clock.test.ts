import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { type ApiClient, apiClient, type JsonObject } from 'aims/base'
import { bundleSource, parseBundle, verifyJwtSvid, verifyX509Svid } from 'aims/credentials'
import { parseTrustDomain } from 'aims/identifiers'
import { connectWorkload, type Workload } from 'aims/provisioning'
import { type RunningAgent, startAgent } from 'aims-agent'
import { adminClient, type Configuration, loadConfig, type RunningServer, startServer } from 'aims-server'
import { eventuallyTrue } from '../support/eventually.ts'

// A server is started again with a clock that is wrong, while a workload on another host, whose clock is right, goes on.

const root = mkdtempSync(join(tmpdir(), 'aims-wrong-clock-'))
const trustDomain = parseTrustDomain('example.com')
const subject = 'spiffe://example.com/job/bot'
const audience = 'https://api.example.com'
const HOUR = 3600
const lines: string[] = []
let config: Configuration
let server: RunningServer | undefined
let agent: RunningAgent
let api: ApiClient
let workload: Workload
let token: string

const start = async (wrong = 0): Promise<RunningServer> => {
  server = await startServer(config, { log: () => undefined, clock: () => Date.now() / 1000 + wrong })
  return server
}
const stop = async (): Promise<void> => {
  await server?.close()
  server = undefined
}

before(async () => {
  const overrides = {
    trustDomain,
    dataDirectory: join(root, 'data'),
    'listen.port': 0,
    'agents.attestation': { 'join-token': {} },
  }
  config = await loadConfig({ env: {}, overrides })
  const { port, socketPath, bundle } = await start()
  // The port stays over restarts.
  config = { ...config, 'listen.port': port }
  writeFileSync(join(root, 'bundle.json'), bundle())
  api = apiClient({ socketPath })
  const made = await api.send({ method: 'POST', path: '/v1/join-tokens', body: { name: 'edge', for: 'agent' } })
  const selectors = [`unix:uid:${process.geteuid?.()}`]
  await adminClient(api).createEntry({ id: 'bot', spiffeId: subject, selectors, agents: [['join-token:name:edge']] })
  const settings = {
    trustDomain,
    'agent.socket': join(root, 'workload.sock'),
    'agent.socketMode': 0o600,
    'agent.serverSocket': '/nonexistent',
    'agent.server': `https://127.0.0.1:${port}`,
    'agent.bundle': join(root, 'bundle.json'),
  }
  const env = { AIMS_JOIN_TOKEN: String((made as JsonObject).token) }
  agent = await startAgent(settings, { log: (line) => void lines.push(line), env })
  workload = await connectWorkload({ address: agent.address, backoff: 20, maxBackoff: 50 })
  token = (await workload.jwt.jwtSvid(audience)).token
})
after(async () => {
  workload?.close()
  api?.close()
  await agent?.close()
  await stop()
  rmSync(root, { recursive: true })
})

const serial = (): string => Buffer.from(workload.x509.x509Svid().certificates[0] ?? []).toString('hex')

// What it has is good by the clock of everybody else, and so is what it gets on a new connection.
async function unharmed(): Promise<void> {
  using another = await connectWorkload({ address: agent.address, backoff: 20, maxBackoff: 50 })
  for (const { x509, bundles } of [workload, another]) {
    const expected = { bundles, now: Date.now() / 1000 }
    assert.equal(verifyX509Svid(x509.x509Svid().certificates, expected).subject, subject)
    assert.equal(verifyJwtSvid(token, { ...expected, audience }).subject, subject)
  }
}

// Whether the agent hears its server is seen by a change of the entry.
async function changeEntry(): Promise<void> {
  const admin = adminClient(api)
  const { id: _, revision, ...entry } = await admin.showEntry('bot')
  await admin.updateEntry('bot', { ...entry, x509Ttl: entry.x509Ttl + 1 }, revision)
}

test('a server whose clock is behind its records does not start; the workload goes on, and on with the right one', async () => {
  await stop()
  await assert.rejects(start(-HOUR), { code: 'operation.clock_went_back' })
  await unharmed()
  await start()
  const before = serial()
  await changeEntry()
  await eventuallyTrue(async () => serial() !== before)
  await unharmed()
})

test('a server whose clock is ahead is not believed by its agents, and nothing that it issues replaces what is good', async () => {
  await stop()
  const before = serial()
  lines.length = 0
  const { bundle } = await start(24 * HOUR)
  await changeEntry()
  await eventuallyTrue(async () => lines.some((line) => line.includes('provisioning.server_untrusted')))
  assert.equal(serial(), before)
  await unharmed()
  // Verifiers that asked this server for its bundle go on as well.
  const bundles = bundleSource(parseBundle(bundle(), trustDomain).bundle)
  const { certificates } = workload.x509.x509Svid()
  assert.equal(verifyX509Svid(certificates, { bundles, now: Date.now() / 1000 }).subject, subject)

  await stop()
  // With the right clock it would write into the past: the message says until when.
  await assert.rejects(start(), { code: 'operation.clock_went_back' })
  assert.equal(serial(), before)
  await unharmed()
})
