// What goes wrong between workloads, agents and their server, in policies, and at the door of TLS, each made for real.
// `aims explain` must name the cause by its id.
import assert from 'node:assert/strict'
import { type SpawnSyncOptions, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { connect, type TLSSocket } from 'node:tls'
import { clientTlsOptions, type RotatingServerOptions, rotatingServer, serverTlsOptions } from 'aims/authentication'
import { createAuthorizer, type PolicyEngine } from 'aims/authorization'
import { AimsError, type ApiClient, apiClient, type JsonObject } from 'aims/base'
import { bundleSource, type X509Svid } from 'aims/credentials'
import { isExactly, isMemberOf, parseSpiffeId } from 'aims/identifiers'
import { diagnose } from 'aims/monitoring'
import { WorkloadApiClient } from 'aims/provisioning'
import { type RunningAgent, startAgent } from 'aims-agent'
import {
  type AdminClient,
  adminClient,
  type Configuration,
  loadConfig,
  type RunningServer,
  startServer,
} from 'aims-server'
import { accessRequest } from '../../packages/aims/src/authorization/testing.ts'
import { aims } from '../support/cli.ts'
import { eventuallyTrue } from '../support/eventually.ts'
import { type Explanation, explainIn, explainingLog } from '../support/explaining.ts'
import { makeCertificate, makeRoot } from '../support/vendor-pki.ts'
import { mutableSvid, testCa } from '../support/x509-identities.ts'

const root = mkdtempSync(join(tmpdir(), 'aims-explain-'))
const data = join(root, 'data')
const uid = process.geteuid?.() ?? 0
const quiet = { log: () => undefined }
const log = explainingLog()
let config: Configuration
let server: RunningServer
let agent: RunningAgent
let api: ApiClient
let admin: AdminClient

before(async () => {
  const machineCa = makeRoot('Machine CA')
  const machine = makeCertificate({ subject: 'web-1', issuer: machineCa })
  writeFileSync(join(root, 'machine-ca.pem'), machineCa.pem)
  writeFileSync(join(root, 'machine.pem'), machine.pem)
  const key = machine.key.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
  writeFileSync(join(root, 'machine.key'), key, { mode: 0o600 })
  const overrides = {
    trustDomain: 'example.com',
    dataDirectory: data,
    'listen.port': 0,
    'agent.socket': join(root, 'workload.sock'),
    attestation: { 'x509-pop': { authorities: join(root, 'machine-ca.pem') } },
    'agents.attestation': { 'join-token': {}, 'x509-pop': {} },
  }
  config = await loadConfig({ env: {}, overrides })
  server = await startServer(config, quiet)
  agent = await startAgent(config, quiet)
  api = apiClient({ socketPath: config['api.socket'] })
  admin = adminClient(api)
  writeFileSync(join(root, 'bundle.json'), server.bundle())
})
after(async () => {
  log[Symbol.dispose]()
  api.close()
  await agent.close()
  await server.close()
  rmSync(root, { recursive: true })
})

// The newest refusal of the server with this code.
async function newest(code: string): Promise<Explanation> {
  let id = ''
  await eventuallyTrue(async () => {
    const records = await admin.listRecords({ decision: 'deny' })
    id = records.find(({ reasons = [] }) => reasons[0] === code)?.correlationId ?? ''
    return id !== ''
  })
  return explainIn(data, id)
}

async function callOf(call: (client: WorkloadApiClient) => Promise<unknown>): Promise<string> {
  const client = new WorkloadApiClient({ address: agent.address })
  try {
    await call(client)
    return 'accepted'
  } catch (error) {
    assert.ok(AimsError.is(error))
    return error.code
  } finally {
    client.close()
  }
}

const causeOf = ({ causes }: Explanation): string | undefined => causes[0]?.id
const causeOfCode = (code: string): string | undefined => diagnose({ reasons: [code] })[0]?.id

test('entry-missing: a workload for which there is no entry', async () => {
  assert.equal(await callOf((client) => client.fetchX509Svids()), 'provisioning.no_identity')
  const explained = await newest('provisioning.no_identity')
  assert.equal(causeOf(explained), 'entry-missing')
  assert.match(explained.checks[0]?.observed ?? '', new RegExp(`unix:uid:${uid}`))
})

test('who is refused is told the id of the record, which explains it', async () => {
  const client = new WorkloadApiClient({ address: agent.address })
  try {
    const error = await client.fetchX509Svids().catch((one: unknown) => one)
    assert.ok(AimsError.is(error) && error.code === 'provisioning.no_identity')
    const [, id = ''] = /\(aims explain ([0-9a-f-]{36})\)$/.exec(error.message) ?? []
    assert.notEqual(id, '')
    await eventuallyTrue(async () => (await admin.listRecords({ correlationId: id, decision: 'deny' })).length > 0)
    const { causes, checks } = await explainIn(data, id)
    assert.equal(causes[0]?.id, 'entry-missing')
    assert.equal(checks.at(-1)?.outcome, 'failed')
  } finally {
    client.close()
  }
})

test('selectors-differ: a workload under another user than its entry says', async () => {
  const bot = await admin.createEntry({
    spiffeId: 'spiffe://example.com/job/bot',
    selectors: [`unix:uid:${uid + 4321}`],
  })
  await eventuallyTrue(async () => {
    await callOf((client) => client.fetchWits())
    const { checks, causes } = await newest('provisioning.no_identity')
    const failed = checks.at(-1)
    if (failed?.difference !== 'selectors') return false
    assert.equal(causes[0]?.id, 'selectors-differ')
    assert.equal(failed.expected, `unix:uid:${uid + 4321}, for spiffe://example.com/job/bot`)
    assert.equal(failed.observed, `unix:uid:${uid}`)
    return true
  })
  await admin.deleteEntry(String(bot.id))
})

test('credential-type-not-permitted: an entry that does not give what is asked for', async () => {
  const selectors = [`unix:uid:${uid}`]
  await admin.createEntry({
    id: 'only',
    spiffeId: 'spiffe://example.com/job/only',
    selectors,
    credentialTypes: ['wit'],
  })
  await eventuallyTrue(async () => {
    await callOf((client) => client.fetchJwtSvids({ audience: 'https://a.example' }))
    return (await newest('provisioning.not_entitled')).checks.at(-1)?.check === 'workload.credential'
  })
  assert.equal(causeOf(await newest('provisioning.not_entitled')), 'credential-type-not-permitted')
})

const startRemote = (name: string, token: string, more: object = {}): Promise<RunningAgent> =>
  startAgent(
    {
      trustDomain: 'example.com',
      'agent.socket': join(root, `${name}.sock`),
      'agent.socketMode': 0o600,
      'agent.serverSocket': '/nonexistent',
      'agent.server': `https://127.0.0.1:${server.port}`,
      'agent.bundle': join(root, 'bundle.json'),
      ...more,
    },
    { ...quiet, patience: 30_000, env: token === '' ? {} : { AIMS_JOIN_TOKEN: token } },
  )

test('join-token-used: a join token for a second machine', async () => {
  const { token } = (await api.send({
    method: 'POST',
    path: '/v1/join-tokens',
    body: { name: 'edge', for: 'agent' },
  })) as JsonObject
  const first = await startRemote('first', String(token))
  await first.close()
  await assert.rejects(startRemote('second', String(token)), { code: 'attestation.token_unknown' })
  assert.equal(causeOf(await newest('attestation.token_unknown')), 'join-token-used')
})

test('agent-banned: a machine whose agent an operator has shut out', async () => {
  const certified = {
    'agent.attestation': 'x509-pop',
    'agent.certificate': join(root, 'machine.pem'),
    'agent.key': join(root, 'machine.key'),
  }
  const first = await startRemote('certified', '', certified)
  await first.close()
  const { agents } = (await api.send({ method: 'GET', path: '/v1/agents' })) as { agents: JsonObject[] }
  const id = encodeURIComponent(String(agents.find(({ type }) => type === 'x509-pop')?.id))
  await api.send({ method: 'POST', path: `/v1/agents/${id}/ban` })
  await assert.rejects(startRemote('banned', '', certified), { code: 'provisioning.agent_banned' })
  assert.equal(causeOf(await newest('provisioning.agent_banned')), 'agent-banned')
})

// What a program of its own prints.
function run(program: string, options: SpawnSyncOptions): string {
  const flags = ['--conditions=aims:source', '--disable-warning=ExperimentalWarning', '--input-type=module']
  const { stdout } = spawnSync(process.execPath, [...flags, '--eval', program], { ...options, encoding: 'utf8' })
  return stdout.trim()
}

test('socket-not-set, socket-away, server-away: a program that cannot even ask has a code with the cause', async () => {
  const program = `import { WorkloadApiClient } from 'aims/provisioning'
    try { new WorkloadApiClient() } catch (error) { console.log(error.code) }`
  assert.equal(causeOfCode(run(program, { env: { PATH: process.env.PATH } })), 'socket-not-set')
  const nowhere = new WorkloadApiClient({ address: `unix://${join(root, 'nobody.sock')}` })
  await assert.rejects(nowhere.fetchWits(), (error) => AimsError.is(error) && causeOfCode(error.code) === 'socket-away')
  nowhere.close()
  await assert.rejects(
    apiClient({ socketPath: join(root, 'nobody.sock') }).send({ method: 'GET', path: '/v1/entries' }),
    (error) => AimsError.is(error) && causeOfCode(error.code) === 'server-away',
  )
})

interface Door {
  readonly options?: Partial<RotatingServerOptions>
  readonly client?: X509Svid
}

const ca = await testCa('example.com')
const impostor = await testCa('example.com')
const foreign = await testCa('foreign.example')
const service = await ca.svid('/service/events', { dnsNames: ['localhost'] })
const bot = await ca.svid('/agent/bot')
const bundles = bundleSource(ca.bundle)
const known = bundleSource(ca.bundle, foreign.bundle)

// What the log says of a TLS client that was turned away. It is told nothing, not even an id.
async function turnedAway({ options = {}, client }: Door): Promise<Explanation> {
  const source = mutableSvid(service)
  const tls = createServer(serverTlsOptions(source))
  rotatingServer(tls, source, { bundles, peer: isMemberOf(ca.bundle.trustDomain), observer: log.observer, ...options })
  tls.listen(0, '127.0.0.1')
  await once(tls, 'listening')
  const before = log.size
  const { port } = tls.address() as AddressInfo
  const shown = client === undefined ? {} : clientTlsOptions(mutableSvid(client), { bundles: known, peer: () => true })
  const socket: TLSSocket = connect({
    port,
    host: '127.0.0.1',
    ...shown,
    rejectUnauthorized: false,
    servername: 'localhost',
  })
  socket.on('error', () => undefined)
  socket.on('secureConnect', () => socket.write('GET / HTTP/1.1\r\n\r\n'))
  try {
    await eventuallyTrue(async () => log.size > before)
    return await log.explain(log.newest())
  } finally {
    socket.destroy()
    tls.close()
  }
}

for (const [cause, title, door] of [
  ['no-client-certificate', 'a TLS client without a certificate', async () => ({})],
  [
    'authority-unknown',
    'a certificate of another CA for the same trust domain',
    async () => ({ client: await impostor.svid('/agent/bot') }),
  ],
  [
    'trust-domain-unknown',
    'a certificate of a trust domain that is not federated',
    async () => ({ client: await foreign.svid('/agent/bot') }),
  ],
  [
    'caller-not-expected',
    'a certificate of somebody else',
    async () => ({
      client: bot,
      options: { peer: isExactly(parseSpiffeId('spiffe://example.com/agent/other')) },
    }),
  ],
  [
    'credential-not-renewed',
    'an SVID that expired while its agent was away',
    async () => ({
      client: await ca.svid('/agent/bot', { ttl: 300 }),
      options: { clock: () => Date.now() / 1000 + 600 },
    }),
  ],
  [
    'service-clock-behind',
    'a service whose clock is ten minutes behind',
    async () => ({
      client: bot,
      options: { clock: () => Date.now() / 1000 - 600 },
    }),
  ],
] as const satisfies readonly (readonly [string, string, () => Promise<Door>])[]) {
  test(`${cause}: ${title}`, async () => {
    const explained = await turnedAway(await door())
    assert.equal(causeOf(explained), cause, JSON.stringify(explained))
    assert.equal(explained.checks.at(-1)?.outcome, 'failed')
  })
}

const answers = (evaluated: ReturnType<PolicyEngine['evaluate']>): PolicyEngine => ({
  version: 'sha256:1',
  evaluate: () => evaluated,
})

for (const [cause, title, engine] of [
  ['no-policy-allows', 'no policy for this action', answers({ permits: [], forbids: [], failed: [] })],
  ['policy-forbids', 'a forbid beside a permit', answers({ permits: ['all'], forbids: ['office-hours'], failed: [] })],
  [
    'policy-failed',
    'a policy over an attribute that is not there',
    answers({ permits: ['all'], forbids: [], failed: ['p'] }),
  ],
] as const) {
  test(`${cause}: ${title}`, async () => {
    const { effect } = await createAuthorizer({ engine, observer: log.observer }).authorize(
      accessRequest(),
      `access-${cause}`,
    )
    assert.equal(effect, 'deny')
    const { causes, checks } = await log.explain(`access-${cause}`)
    assert.equal(causes[0]?.id, cause)
    assert.equal(checks.at(-1)?.outcome, 'failed')
  })
}

test('policy-invalid: a policy that does not fit the schema', async () => {
  const directory = mkdtempSync(join(root, 'policies-'))
  writeFileSync(join(directory, 'a.cedar'), 'permit(principal, action, resource) when { principal.nothing == 1 };')
  const { exit, results } = await aims('policy', 'validate', directory)
  assert.equal(exit, 1)
  assert.equal(causeOfCode(String(results[0]?.code)), 'policy-invalid')
})

test('socket-away: a socket that the user of the workload may not reach', {
  skip: uid !== 0 && 'needs root',
}, async () => {
  chmodSync(root, 0o711)
  chmodSync(config['agent.socket'], 0o600)
  const program = `import { WorkloadApiClient } from 'aims/provisioning'
    const client = new WorkloadApiClient({ address: ${JSON.stringify(agent.address)} })
    await client.fetchWits().catch((error) => console.log(error.code))
    client.close()`
  assert.equal(causeOfCode(run(program, { uid: 65_534, gid: 65_534 })), 'socket-away')
})
