import assert from 'node:assert/strict'
import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, beforeEach, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { type ApiClient, apiClient, encodePem, type JsonObject, WorkloadKey } from 'aims/base'
import { createX509Authority, issueCaCertificate, issueX509Svid, verifyX509Svid } from 'aims/credentials'
import { joinSpiffeId, parseTrustDomain } from 'aims/identifiers'
import { connectWorkload, type Workload, WorkloadApiClient } from 'aims/provisioning'
import { type AgentConfiguration, type RunningAgent, startAgent } from 'aims-agent'
import {
  type AdminClient,
  adminClient,
  type Configuration,
  loadConfig,
  type RunningServer,
  startServer,
} from 'aims-server'
import { answerOf, eventually as eventuallySo } from '../support/eventually.ts'
import { makeCertificate, makeRoot } from '../support/vendor-pki.ts'

// Server and agent meet over TLS alone; the agent does not know where the server's files are.

const root = mkdtempSync(join(tmpdir(), 'aims-remote-'))
const trustDomain = parseTrustDomain('example.com')
const me = `unix:uid:${process.geteuid?.()}`
const subject = 'spiffe://example.com/job/bot'
const machineCa = makeRoot('Machine CA')
const machine = makeCertificate({ subject: 'web-1', issuer: machineCa })
let config: Configuration
let server: RunningServer
let api: ApiClient
let admin: AdminClient
const lines: string[] = []
const running: RunningAgent[] = []
const listening: { close(): Promise<unknown> }[] = []
let made = 0

before(async () => {
  writeFileSync(join(root, 'machine-ca.pem'), machineCa.pem)
  writeFileSync(join(root, 'machine.pem'), machine.pem)
  const key = machine.key.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
  writeFileSync(join(root, 'machine.key'), key, { mode: 0o600 })
  const overrides = {
    trustDomain,
    dataDirectory: join(root, 'data'),
    'listen.port': 0,
    attestation: { 'x509-pop': { authorities: join(root, 'machine-ca.pem') } },
    'agents.attestation': { 'join-token': {}, 'x509-pop': {} },
  }
  config = await loadConfig({ env: {}, overrides })
  server = await startServer(config, { log: () => undefined })
  // The port stays over restarts.
  config = { ...config, 'listen.port': server.port }
  writeFileSync(join(root, 'bundle.json'), server.bundle())
  api = apiClient({ socketPath: server.socketPath })
  admin = adminClient(api)
  const agents = [['join-token:name:edge'], ['x509-pop:subject-cn:web-1']]
  await admin.createEntry({ id: 'bot', spiffeId: subject, selectors: [me], agents })
})
beforeEach(() => {
  lines.length = 0
})
after(async () => {
  for (const one of [...running, ...listening]) await one.close()
  api.close()
  await server.close()
  rmSync(root, { recursive: true })
})

const makeToken = async (name = 'edge'): Promise<string> =>
  String(
    ((await api.send({ method: 'POST', path: '/v1/join-tokens', body: { name, for: 'agent' } })) as JsonObject).token,
  )

interface Start {
  readonly token?: string
  readonly change?: Partial<AgentConfiguration>
  readonly clock?: () => number
  /** For an agent that is not let in. Default: half a minute, for one that is let in or is refused. */
  readonly patience?: number
}

async function startRemote({ token, change = {}, clock, patience = 30_000 }: Start = {}): Promise<RunningAgent> {
  made += 1
  const settings: AgentConfiguration = {
    trustDomain,
    'agent.socket': join(root, `workload-${made}.sock`),
    'agent.socketMode': 0o600,
    'agent.serverSocket': '/nonexistent',
    'agent.server': `https://127.0.0.1:${server.port}`,
    'agent.bundle': join(root, 'bundle.json'),
    ...change,
  }
  const options = {
    patience,
    log: (line: string) => void lines.push(line),
    env: token === undefined ? {} : { AIMS_JOIN_TOKEN: token },
  }
  const agent = await startAgent(settings, clock === undefined ? options : { ...options, clock })
  running.push(agent)
  return agent
}
const byCertificate: Partial<AgentConfiguration> = {
  'agent.attestation': 'x509-pop',
  'agent.certificate': join(root, 'machine.pem'),
  'agent.key': join(root, 'machine.key'),
}
const connect = (agent: RunningAgent): Promise<Workload> =>
  connectWorkload({ address: agent.address, backoff: 20, maxBackoff: 50, readyTimeout: 30_000 })
async function unserved({ address }: RunningAgent, code: string): Promise<void> {
  using client = new WorkloadApiClient({ address })
  const answer = (): Promise<unknown> => answerOf(() => client.fetchX509Svids())
  await eventually(`the answer ${code}`, async () => (await answer()) === code)
}
const agentIds = async (type: string): Promise<readonly string[]> => {
  const { agents } = (await api.send({ method: 'GET', path: '/v1/agents' })) as { agents: JsonObject[] }
  return agents.filter((one) => one.type === type).map(({ id }) => String(id))
}
const newestAgent = async (): Promise<string> => {
  const { agents } = (await api.send({ method: 'GET', path: '/v1/agents' })) as { agents: JsonObject[] }
  return String(agents.toSorted((a, b) => Number(b.firstSeen) - Number(a.firstSeen))[0]?.id)
}

const eventually = (what: string, isSo: () => boolean | Promise<boolean>): Promise<void> =>
  eventuallySo(() => `${what}; ${lines.join('\n')}`, isSo)
function serial(workload: Workload): string {
  return Buffer.from(workload.x509.x509Svid().certificates[0] ?? []).toString('hex')
}
function isServed(workload: Workload): boolean {
  try {
    return workload.x509.x509Svid() !== undefined
  } catch {
    return false
  }
}

// [provisioning.aims.05]
test('a workload on another host gets its credentials, for keys that never left that host', async () => {
  const agent = await startRemote({ token: await makeToken() })
  using workload = await connect(agent)
  assert.equal(workload.spiffeId, subject)
  const { certificates } = workload.x509.x509Svid()
  const now = Date.now() / 1000
  assert.equal(verifyX509Svid(certificates, { bundles: workload.bundles, now }).subject, subject)
  assert.ok((await workload.jwt.jwtSvid('https://api.example.com')).token)
  assert.notEqual(workload.x509.x509Svid().key.kid, workload.wit.wit().key.kid)
  const issued = await admin.listRecords({ type: 'provisioning.issued', agent: subject })
  assert.ok(issued.every(({ details }) => String(details?.via).includes('/aims/agent/join-token/')))
  const [seen] = await admin.listRecords({ type: 'attestation.succeeded' })
  assert.match(String(seen?.details?.reporter), /^spiffe:\/\/example.com\/aims\/agent\//)
})

test('an entry that is for another agent is not served', async () => {
  const agent = await startRemote({ token: await makeToken('elsewhere') })
  await unserved(agent, 'provisioning.no_identity')
})

test('an entry that comes, changes and goes reaches the workload', async () => {
  const agent = await startRemote({ token: await makeToken('moving') })
  const entry = { spiffeId: 'spiffe://example.com/job/moving', selectors: [me], agents: [['join-token:name:moving']] }
  const { id } = await admin.createEntry({ id: 'moving', ...entry })
  using workload = await connect(agent)
  const old = serial(workload)
  await admin.updateEntry(id, { ...entry, x509Ttl: 1800 }, 1)
  await eventually('an SVID of the changed entry', () => serial(workload) !== old)
  await admin.updateEntry(id, { ...entry, agents: [['join-token:name:other']] }, 2)
  await eventually('its redaction', () => !isServed(workload))
})

for (const [what, code, start] of [
  ['a token that nobody made', 'attestation.token_unknown', { token: `aims_join_${'A'.repeat(43)}` }],
  ['no token', 'operation.config_invalid', {}],
  ['no bundle', 'operation.config_invalid', { token: 'x', change: { 'agent.bundle': undefined } }],
  [
    'a bundle that is not there',
    'operation.config_invalid',
    { token: 'x', change: { 'agent.bundle': join(root, 'no') } },
  ],
  [
    'an address without TLS',
    'provisioning.invalid_endpoint',
    { token: 'x', change: { 'agent.server': 'http://127.0.0.1:1' } },
  ],
  ['evidence that cannot be collected', 'operation.config_invalid', { change: { 'agent.attestation': 'magic' } }],
] as const) {
  test(`an agent does not start with ${what}`, async () => {
    await assert.rejects(startRemote(start as Start), { code })
  })
}

test('an agent without a token is told which setting names it, and one that came in says who it is', async () => {
  await assert.rejects(startRemote({}), { message: /agent\.joinTokenFile \(or AIMS_JOIN_TOKEN_FILE\) is not set/ })
  lines.length = 0
  await startRemote({ token: await makeToken() })
  assert.match(
    lines.join('\n'),
    /^aims agent: attested as spiffe:\/\/example\.com\/aims\/agent\/join-token\/[0-9a-f]{32}$/,
  )
})

test('a token is good for one agent', async () => {
  const token = await makeToken()
  await startRemote({ token })
  await assert.rejects(startRemote({ token }), { code: 'attestation.token_unknown' })
})

test('a banned agent stops to serve at once; evicted, its machine comes back by itself where the evidence allows', async () => {
  const agent = await startRemote({ change: byCertificate })
  using workload = await connect(agent)
  const [id = ''] = await agentIds('x509-pop')
  await api.send({ method: 'POST', path: `/v1/agents/${id}/ban` })
  await eventually('the end of its service', () => !isServed(workload))
  await unserved(agent, 'provisioning.no_identity')
  await assert.rejects(startRemote({ change: byCertificate }), { code: 'provisioning.agent_banned' })
  await api.send({ method: 'DELETE', path: `/v1/agents/${id}` })
  await eventually('its service again', () => isServed(workload))
  assert.deepEqual(await agentIds('x509-pop'), [id])
})

test('an agent that is attested anew with other selectors hears of the entries that it may serve now', async () => {
  const files = { 'agent.certificate': join(root, 'changing.pem'), 'agent.key': join(root, 'changing.key') }
  const become = (subject: string): void => {
    const { pem, key } = makeCertificate({ subject, issuer: machineCa })
    writeFileSync(files['agent.certificate'], pem)
    const text = key.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
    writeFileSync(files['agent.key'], text, { mode: 0o600 })
  }
  become('web-8')
  const spiffeId = 'spiffe://example.com/job/web-9'
  const agents = [['x509-pop:subject-cn:web-9']]
  await admin.createEntry({ id: 'web-9', spiffeId, selectors: [me], agents })
  const agent = await startRemote({ change: { ...byCertificate, ...files } })
  await unserved(agent, 'provisioning.no_identity')
  become('web-9')
  await api.send({ method: 'DELETE', path: `/v1/agents/${await newestAgent()}` })
  using workload = await connect(agent)
  assert.equal(workload.spiffeId, spiffeId)
  await admin.deleteEntry('web-9')
})

test('an evicted agent whose token is used up serves nobody', async () => {
  const agent = await startRemote({ token: await makeToken() })
  using workload = await connect(agent)
  await api.send({ method: 'DELETE', path: `/v1/agents/${await newestAgent()}` })
  await eventually('the end of its service', () => !isServed(workload))
  assert.ok(lines.some((line) => line.includes('attestation.token_unknown')))
  assert.ok(lines.some((line) => /aims token create .*agent\.joinTokenFile/.test(line)))
})

test('while the server is away what is valid is served; when it is back under other keys, the agent follows', async () => {
  const agent = await startRemote({ token: await makeToken() })
  using workload = await connect(agent)
  const old = serial(workload)
  await server.close()
  using late = await connect(agent)
  assert.equal(serial(late), old)
  server = await startServer(config, { log: () => undefined })
  await admin.rotate('x509-ca', { immediately: true })
  const { id: _, revision, ...entry } = await admin.showEntry('bot')
  await admin.updateEntry('bot', { ...entry, x509Ttl: 1800 }, revision)
  await eventually('a fresh SVID', () => serial(workload) !== old)
  // Who comes from now on needs the newer bundle.
  writeFileSync(join(root, 'bundle.json'), server.bundle())
})

test('an authority is tainted and revoked: the agent renews its own SVID before, and goes on', async () => {
  const directory = join(root, 'tainted')
  const agent = await startRemote({ token: await makeToken(), change: { 'agent.dataDirectory': directory } })
  using workload = await connect(agent)
  const kept = (): string => readFileSync(join(directory, 'agent.json'), 'utf8')
  const [before, old] = [kept(), serial(workload)]
  const keys = await admin.listKeys()
  const { id = '' } = keys.find(({ purpose, state }) => purpose === 'x509-ca' && state === 'active') ?? {}
  await admin.rotate('x509-ca', { immediately: true })
  const order = (step: string) =>
    api.send({ method: 'POST', path: `/v1/keys/${step}`, body: { purpose: 'x509-ca', id } })
  await order('taint')
  await eventually('a renewal', () => kept() !== before && serial(workload) !== old)
  await order('revoke')
  await eventually('the revocation at the agent', () => !isTrusted(workload, old))
  const { id: _, revision, ...entry } = await admin.showEntry('bot')
  const last = serial(workload)
  await admin.updateEntry('bot', { ...entry, x509Ttl: entry.x509Ttl + 1 }, revision)
  await eventually('an SVID under the new authority', () => serial(workload) !== last)
  writeFileSync(join(root, 'bundle.json'), server.bundle())
})

function isTrusted({ bundles }: Workload, leaf: string): boolean {
  try {
    return verifyX509Svid([Buffer.from(leaf, 'hex')], { bundles, now: Date.now() / 1000 }) !== undefined
  } catch {
    return false
  }
}

test('its own SVID is renewed at half of its life, with a new key, and the former one is worth nothing', async () => {
  await server.close()
  server = await startServer({ ...config, 'agents.ttl': 6 }, { log: () => undefined })
  const directory = join(root, 'renewing')
  const agent = await startRemote({ token: await makeToken(), change: { 'agent.dataDirectory': directory } })
  const kept = (): JsonObject => JSON.parse(readFileSync(join(directory, 'agent.json'), 'utf8'))
  const before = kept()
  await eventually('a renewal', () => kept().key !== before.key)
  using workload = await connect(agent)
  // Its first SVID has ended long ago.
  await sleep(6500)
  const { id: _, revision, ...entry } = await admin.showEntry('bot')
  const old = serial(workload)
  await admin.updateEntry('bot', { ...entry, x509Ttl: 1700 }, revision)
  await eventually('an SVID under the renewed identity', () => serial(workload) !== old)
  await agent.close()
  await server.close()
  server = await startServer(config, { log: () => undefined })
})

test('with a data directory an agent is not attested again; the files are its own', async () => {
  const directory = join(root, 'kept')
  const change = { 'agent.dataDirectory': directory }
  const token = await makeToken()
  const first = await startRemote({ token, change })
  using workload = await connect(first)
  assert.equal(statSync(directory).mode & 0o777, 0o700)
  assert.equal(statSync(join(directory, 'agent.json')).mode & 0o777, 0o600)
  // Keys of workloads are in memory alone.
  assert.equal(JSON.parse(readFileSync(join(directory, 'agent.json'), 'utf8')).chain.length, 1)
  await first.close()
  const second = await startRemote({ token, change })
  using again = await connect(second)
  assert.equal(again.spiffeId, workload.spiffeId)
})

test('a kept identity that is open to others, or not whole, is not used', async () => {
  const directory = join(root, 'damaged')
  const change = { 'agent.dataDirectory': directory }
  const token = await makeToken()
  await (await startRemote({ token, change })).close()
  // Under load the agent may not have written it yet.
  writeFileSync(join(directory, 'agent.json'), '{"chain":[]', { mode: 0o600 })
  await assert.rejects(startRemote({ token, change }), { code: 'operation.agent_identity_damaged' })
  chmodSync(join(directory, 'agent.json'), 0o644)
  await assert.rejects(startRemote({ token, change }), { code: 'operation.data_directory_open' })
  chmodSync(directory, 0o755)
  await assert.rejects(startRemote({ token, change }), { code: 'operation.data_directory_open' })
})

// Another trust domain of the same name: whoever runs it is not our server.
async function impostor(name: string, port = 0) {
  const signer = WorkloadKey.generate()
  const now = Math.floor(Date.now() / 1000)
  const certificate = await issueCaCertificate({ trustDomain, signer, notBefore: now - 60, notAfter: now + 600 })
  const authority = createX509Authority({ trustDomain, signer, certificate })
  const key = WorkloadKey.generate()
  const spiffeId = joinSpiffeId(trustDomain, ...name.split('/'))
  const { publicKey } = key
  const svid = await issueX509Svid(
    { spiffeId, publicKey, notBefore: now - 60, notAfter: now + 600, dnsNames: [] },
    authority,
  )
  return serve(svid.certificates, key, port)
}

async function serve(certificates: readonly Uint8Array[], key: WorkloadKey, port = 0) {
  const cert = certificates.map((der) => encodePem('CERTIFICATE', der)).join('')
  const pem = key.tlsKey.export({ type: 'pkcs8', format: 'pem' }).toString()
  let asked = 0
  const listener = createServer({ cert, key: pem }, (_, response) => {
    asked += 1
    response.end()
  })
  await new Promise<void>((resolve) => listener.listen(port, '127.0.0.1', resolve))
  const close = () => {
    listener.closeAllConnections()
    return new Promise((resolve) => listener.close(resolve))
  }
  listening.push({ close })
  return { port: (listener.address() as AddressInfo).port, asked: () => asked, close }
}

test('an impostor hears nothing, the token least of all', async () => {
  const fake = await impostor('aims/server')
  const token = await makeToken()
  const change = { 'agent.server': `https://127.0.0.1:${fake.port}` }
  const agent = await startRemote({ token, change, patience: 100 })
  await eventually('its refusal', () => lines.some((line) => line.includes('provisioning.server_untrusted')))
  assert.equal(fake.asked(), 0)
  await unserved(agent, 'provisioning.endpoint_unavailable')
  await fake.close()
  // The token is still good.
  await startRemote({ token })
})

test('a workload of the trust domain is not its server', async () => {
  const key = WorkloadKey.generate()
  await admin.createEntry({ id: 'liar', spiffeId: 'spiffe://example.com/job/server', selectors: ['unix:uid:4000'] })
  const body = {
    entryId: 'liar',
    posture: { type: 'unix', selectors: ['unix:uid:4000'] },
    publicKey: key.publicKey.export({ format: 'jwk' }),
  }
  const answer = (await api.send({ method: 'POST', path: '/v1/agent/x509-svids', body })) as { chain: string[] }
  const fake = await serve(
    answer.chain.map((one) => Buffer.from(one, 'base64')),
    key,
  )
  const change = { 'agent.server': `https://127.0.0.1:${fake.port}` }
  await startRemote({ token: await makeToken(), change, patience: 100 })
  await eventually('its refusal', () => lines.some((line) => line.includes('provisioning.server_untrusted')))
  assert.equal(fake.asked(), 0)
  await fake.close()
})

test('an impostor in the place of the server takes nothing away', async () => {
  const agent = await startRemote({ token: await makeToken() })
  using workload = await connect(agent)
  const old = serial(workload)
  await server.close()
  const fake = await impostor('aims/server', server.port)
  await eventually('its refusal', () => lines.some((line) => line.includes('provisioning.server_untrusted')))
  using late = await connect(agent)
  assert.equal(serial(late), old)
  assert.equal(fake.asked(), 0)
  await fake.close()
  server = await startServer(config, { log: () => undefined })
  await eventually('the server again', async () => {
    const { id: _, revision, ...entry } = await admin.showEntry('bot')
    await admin.updateEntry('bot', { ...entry, x509Ttl: entry.x509Ttl + 1 }, revision)
    await sleep(50)
    return serial(workload) !== old
  })
})

test('with a wrong clock an agent is not attested; when it is set right, it is', async () => {
  let wrong = 90 * 86_400
  const token = await makeToken()
  const agent = await startRemote({ token, clock: () => Date.now() / 1000 + wrong, patience: 100 })
  await eventually('its refusal', () => lines.some((line) => line.includes('provisioning.server_untrusted')))
  wrong = 0
  using workload = await connect(agent)
  assert.equal(workload.spiffeId, subject)
})

test('a clock that jumps ahead costs no identity', async () => {
  let wrong = 0
  const directory = join(root, 'jumping')
  const agent = await startRemote({
    token: await makeToken(),
    change: { 'agent.dataDirectory': directory },
    clock: () => Date.now() / 1000 + wrong,
  })
  using workload = await connect(agent)
  wrong = 90 * 86_400
  await unserved(agent, 'provisioning.endpoint_unavailable')
  wrong = 0
  const { id: _, revision, ...entry } = await admin.showEntry('bot')
  const old = serial(workload)
  await admin.updateEntry('bot', { ...entry, x509Ttl: entry.x509Ttl + 1 }, revision)
  await eventually('a fresh SVID', () => isServed(workload) && serial(workload) !== old)
})
