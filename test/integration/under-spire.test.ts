import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { type ApiClient, apiClient, type JsonObject } from 'aims/base'
import { serializeBundle, verifyX509Svid, type X509Svid } from 'aims/credentials'
import { parseTrustDomain } from 'aims/identifiers'
import { connectWorkload, type Workload } from 'aims/provisioning'
import { type AgentConfiguration, type RunningAgent, startAgent } from 'aims-agent'
import { loadConfig, type RunningServer, startServer } from 'aims-server'
import { eventually as eventuallySo } from '../support/eventually.ts'
import { FakeWorkloadApi } from '../support/fake-workload-api.ts'
import { type TestCa, testCa } from '../support/x509-identities.ts'

// Server and agent live in another trust domain, whose Workload API is one by grpc-js: nothing is distributed by hand,
// neither a bundle nor a token.

const root = mkdtempSync(join(tmpdir(), 'aims-under-spire-'))
const trustDomain = parseTrustDomain('agents.example.com')
const SERVER = 'spiffe://spire.example/aims/identity-server'
const AGENT = 'spiffe://spire.example/aims/agent/web-1'
const subject = 'spiffe://agents.example.com/job/bot'
const me = `unix:uid:${process.geteuid?.()}`
const fakes = new Map<string, FakeWorkloadApi>()
const lines: string[] = []
const running: RunningAgent[] = []
let spire: TestCa
let server: RunningServer
let api: ApiClient
let made = 0

const socket = (name: string): string => `unix://${join(root, `${name}.sock`)}`
const trusted = (...cas: readonly TestCa[]): Buffer =>
  Buffer.concat(cas.flatMap(({ bundle }) => bundle.x509Authorities))

/** Serves an SVID on a Workload API of the name, from now on. */
async function give(name: string, svid: X509Svid, bundle = trusted(spire)): Promise<void> {
  const fake = fakes.get(name) ?? (await FakeWorkloadApi.start(socket(name)))
  fakes.set(name, fake)
  fake.answer('fetchX509Svid', {
    svids: [
      {
        spiffeId: svid.spiffeId,
        hint: '',
        x509Svid: Buffer.concat(svid.certificates),
        x509SvidKey: svid.key.tlsKey.export({ type: 'pkcs8', format: 'der' }),
        bundle,
      },
    ],
    crl: [],
    federatedBundles: new Map(),
  })
  fake.answer('fetchX509Bundles', { crl: [], bundles: new Map([['spiffe://spire.example', bundle]]) })
}
const givenTo = (path: string): Promise<X509Svid> => spire.svid(path)

before(async () => {
  spire = await testCa('spire.example')
  await give('server', await givenTo('/aims/identity-server'))
  await give('agent', await givenTo('/aims/agent/web-1'))
  const overrides = {
    trustDomain,
    dataDirectory: join(root, 'data'),
    'listen.port': 0,
    'listen.workloadApi': socket('server'),
    attestation: { spiffe: { trustDomains: { 'spire.example': {} } } },
    'agents.attestation': { spiffe: { ids: [AGENT] } },
  }
  server = await startServer(await loadConfig({ env: {}, overrides }), { log: () => undefined })
  api = apiClient({ socketPath: server.socketPath })
  const agents = [[`spiffe:id:${AGENT}`]]
  await api.send({
    method: 'POST',
    path: '/v1/entries',
    body: { id: 'bot', spiffeId: subject, selectors: [me], agents },
  })
})
after(async () => {
  for (const one of running) await one.close()
  api.close()
  await server.close()
  for (const fake of fakes.values()) fake.stop()
  rmSync(root, { recursive: true })
})

async function startRemote(change: Partial<AgentConfiguration> = {}): Promise<RunningAgent> {
  made += 1
  lines.length = 0
  const settings: AgentConfiguration = {
    trustDomain,
    'agent.socket': join(root, `workload-${made}.sock`),
    'agent.socketMode': 0o600,
    'agent.serverSocket': '/nonexistent',
    'agent.server': `https://127.0.0.1:${server.port}`,
    'agent.serverId': SERVER,
    'agent.workloadApi': socket('agent'),
    'agent.attestation': 'spiffe',
    ...change,
  }
  const agent = await startAgent(settings, { log: (line) => void lines.push(line), env: {} })
  running.push(agent)
  return agent
}
const connect = (agent: RunningAgent): Promise<Workload> =>
  connectWorkload({ address: agent.address, backoff: 20, maxBackoff: 50, onWaiting: () => undefined })

const eventually = (what: string, isSo: () => boolean | Promise<boolean>): Promise<void> =>
  eventuallySo(() => `${what}; ${lines.join('\n')}`, isSo)

// [provisioning.aims.05]
test('an agent that SPIRE knows serves its workloads, and nobody gave it a bundle or a token', async () => {
  const agent = await startRemote()
  using workload = await connect(agent)
  assert.equal(workload.spiffeId, subject)
  const { certificates } = workload.x509.x509Svid()
  assert.equal(verifyX509Svid(certificates, { bundles: workload.bundles, now: Date.now() / 1000 }).subject, subject)
  const { agents } = (await api.send({ method: 'GET', path: '/v1/agents' })) as { agents: JsonObject[] }
  assert.deepEqual(
    agents.map(({ type, selectors, mayReattest }) => [type, selectors, mayReattest]),
    [['spiffe', [`spiffe:id:${AGENT}`, 'spiffe:trust-domain:spire.example'], true]],
  )
})

test('SVIDs and authorities rotate on both sides of the connection, and it goes on', async () => {
  const agent = await startRemote()
  using workload = await connect(agent)
  const serial = (): string => Buffer.from(workload.x509.x509Svid().certificates[0] ?? []).toString('hex')
  const before = spire
  const next = await testCa('spire.example')
  // The new authority is known before anybody shows what it signed, and the old one goes afterwards.
  await give('server', await givenTo('/aims/identity-server'), trusted(before, next))
  await give('agent', await givenTo('/aims/agent/web-1'), trusted(before, next))
  spire = next
  await give('server', await givenTo('/aims/identity-server'), trusted(before, next))
  await give('server', await givenTo('/aims/identity-server'))
  await give('agent', await givenTo('/aims/agent/web-1'))
  const old = serial()
  const { revision } = (await api.send({ method: 'GET', path: '/v1/entries/bot' })) as { revision: number }
  const agents = [[`spiffe:id:${AGENT}`]]
  const body = { id: 'bot', spiffeId: subject, selectors: [me], agents, x509Ttl: 1800 }
  await api.send({ method: 'PUT', path: `/v1/entries/bot?revision=${revision}`, body })
  await eventually('an SVID of the changed entry', () => serial() !== old)
  // Who comes now is recognised under the new authority, too.
  using late = await connect(await startRemote())
  assert.equal(late.spiffeId, subject)
})

test('the word of a file counts as well, as it is at each piece of evidence', async () => {
  const file = join(root, 'spire.json')
  const other = await testCa('spire.example')
  writeFileSync(file, serializeBundle(other.bundle))
  const overrides = {
    trustDomain,
    dataDirectory: join(root, 'by-file'),
    'listen.port': 0,
    attestation: { spiffe: { trustDomains: { 'spire.example': { bundle: file } } } },
    'agents.attestation': { spiffe: {} },
  }
  const one = await startServer(await loadConfig({ env: {}, overrides }), { log: () => undefined })
  try {
    const bundle = join(root, 'own.json')
    writeFileSync(bundle, one.bundle())
    const change = {
      'agent.server': `https://127.0.0.1:${one.port}`,
      'agent.bundle': bundle,
      'agent.serverId': undefined,
    }
    await assert.rejects(startRemote(change), { code: 'attestation.chain_invalid' })
    writeFileSync(file, serializeBundle(spire.bundle))
    await (await startRemote(change)).close()
  } finally {
    await one.close()
  }
})

for (const [what, code, change] of [
  ['a SPIFFE ID of the server that is none', 'operation.config_invalid', { 'agent.serverId': 'aims-server' }],
  ['a server by the word of nobody', 'operation.config_invalid', { 'agent.workloadApi': undefined }],
  ['an address that is none', 'operation.config_invalid', { 'agent.workloadApi': '/run/spire.sock' }],
  ['a Workload API and a server on this host', 'operation.config_invalid', { 'agent.server': undefined }],
  [
    'evidence of SPIRE without its Workload API',
    'operation.config_invalid',
    { 'agent.workloadApi': undefined, 'agent.serverId': undefined, 'agent.bundle': '/etc/hosts' },
  ],
] as const) {
  test(`an agent does not start with ${what}`, async () => {
    await assert.rejects(startRemote(change), { code })
  })
}

test('an agent that SPIRE knows by another name is not let in', async () => {
  await give('stranger', await givenTo('/web'))
  await assert.rejects(startRemote({ 'agent.workloadApi': socket('stranger') }), { code: 'attestation.not_allowed' })
})

test('another identity of the same trust domain is not the server', async () => {
  await startRemote({ 'agent.serverId': 'spiffe://spire.example/aims/other' })
  await eventually('its refusal', () => lines.some((line) => line.includes('provisioning.server_untrusted')))
})

test('a server does not start by a Workload API that is none', async () => {
  const overrides = { trustDomain, dataDirectory: join(root, 'none'), 'listen.workloadApi': 'spire', 'listen.port': 0 }
  const config = await loadConfig({ env: {}, overrides })
  await assert.rejects(startServer(config, { log: () => undefined }), { code: 'operation.config_invalid' })
})
