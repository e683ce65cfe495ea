import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { type ApiClient, apiClient, systemClock } from 'aims/base'
import { verifyJwtSvid, verifyWit, verifyX509Svid } from 'aims/credentials'
import { connectWorkload, type Workload } from 'aims/provisioning'
import { type RunningAgent, startAgent } from 'aims-agent'
import {
  type AdminClient,
  adminClient,
  type Configuration,
  downgradeStore,
  loadConfig,
  type RunningServer,
  startServer,
} from 'aims-server'
import { eventually } from '../support/eventually.ts'

const root = mkdtempSync(join(tmpdir(), 'aims-integration-'))
const me = `unix:uid:${process.geteuid?.()}`
const subject = 'spiffe://example.com/agent/calendar-bot'
const quiet = { log: () => undefined }
let config: Configuration
let server: RunningServer
let agent: RunningAgent
let api: ApiClient
let admin: AdminClient

before(async () => {
  const overrides = {
    trustDomain: 'example.com',
    dataDirectory: join(root, 'data'),
    'listen.port': 0,
    'agent.socket': join(root, 'workload.sock'),
    profiles: { 'aims-00': '2999-12-31' },
  }
  config = await loadConfig({ env: {}, overrides })
  server = await startServer(config, quiet)
  agent = await startAgent(config, quiet)
  api = apiClient({ socketPath: config['api.socket'] })
  admin = adminClient(api)
})
after(async () => {
  api.close()
  await agent.close()
  await server.close()
  rmSync(root, { recursive: true })
})

const connect = (): Promise<Workload> => connectWorkload({ address: agent.address, backoff: 20, maxBackoff: 50 })

function isReady(read: () => unknown): boolean {
  try {
    read()
    return true
  } catch {
    return false
  }
}

test('a workload that no entry matches has no identity, and the refusal is recorded', async () => {
  const connecting = connectWorkload({ address: agent.address, readyTimeout: 1000 })
  await assert.rejects(connecting, { code: 'provisioning.no_identity' })
  const records = await admin.listRecords({ type: 'attestation.succeeded' })
  assert.ok(records[0]?.posture?.selectors?.includes(me))
  const [refusal] = await admin.listRecords({ type: 'provisioning.refused' })
  assert.equal(refusal?.details?.reporter, me)
})

// [provisioning.workload-api.01] [provisioning.workload-api.02]
test('a registered workload gets all three credentials, each of which verifies with the bundle it gets', async () => {
  await admin.createEntry({
    id: 'bot',
    spiffeId: subject,
    selectors: [me],
    hint: 'main',
    dnsNames: ['localhost'],
    owner: 'test',
    purpose: 'test',
  })
  using workload = await connect()
  assert.equal(workload.spiffeId, subject)
  const { bundles } = workload
  const now = systemClock()
  const x509 = workload.x509.x509Svid()
  assert.equal(verifyX509Svid(x509.certificates, { bundles, now }).subject, subject)
  assert.equal(x509.hint, 'main')
  const wit = workload.wit.wit()
  assert.equal(verifyWit(wit.token, { profile: 'wimse', bundles, now }).subject, subject)
  assert.notEqual(wit.key.kid, x509.key.kid)
  const jwt = await workload.jwt.jwtSvid('https://api.example.com')
  assert.equal(verifyJwtSvid(jwt.token, { bundles, now, audience: 'https://api.example.com' }).subject, subject)

  const issued = await admin.listRecords({ type: 'provisioning.issued', agent: subject })
  assert.deepEqual(issued.map(({ resource }) => resource.id).sort(), ['jwt-svid', 'wit', 'x509-svid'])
  assert.ok(issued.every(({ posture }) => posture?.selectors?.includes(me)))
})

// [credentials.bundle.16]
test('a rotation of the CA reaches the workload before it is used, and renewal works under it', async () => {
  using workload = await connect()
  const before = workload.bundles.bundleFor(config.trustDomain)
  await admin.rotate('x509-ca', { immediately: true })
  const authorities = () => workload.bundles.bundleFor(config.trustDomain)?.x509Authorities.length ?? 0
  await eventually('the new CA in the bundle', () => authorities() > (before?.x509Authorities.length ?? 0))
  const entry = await admin.showEntry('bot')
  const serial = () => Buffer.from(workload.x509.x509Svid().certificates[0] ?? []).toString('hex')
  const old = serial()
  const { id: _, revision, ...rest } = entry
  await admin.updateEntry('bot', { ...rest, x509Ttl: 1800 }, revision)
  await eventually('a new SVID', () => serial() !== old)
  const { certificates } = workload.x509.x509Svid()
  assert.equal(verifyX509Svid(certificates, { bundles: workload.bundles, now: systemClock() }).subject, subject)
})

test('while the server is away new connections are served from memory; when it is back, changes arrive again', async () => {
  using first = await connect()
  await server.close()
  using second = await connect()
  assert.deepEqual(second.x509.x509Svid().certificates, first.x509.x509Svid().certificates)
  server = await startServer(config, quiet)
  await admin.createEntry({
    id: 'other',
    spiffeId: 'spiffe://example.com/agent/other',
    selectors: [me],
    owner: 'test',
    purpose: 'test',
  })
  await eventually('the second identity', () => first.x509.x509Svids().length === 2)
  await admin.deleteEntry('other')
  await eventually('its redaction', () => first.x509.x509Svids().length === 1)
})

test('a server that is upgraded under running agents harms no workload: old credentials stand, new ones come', async () => {
  using workload = await connect()
  const { certificates } = workload.x509.x509Svid()
  await server.close()
  // The store of the version before is what an upgrade finds.
  await downgradeStore(config)
  try {
    verifyX509Svid(workload.x509.x509Svid().certificates, { bundles: workload.bundles, now: systemClock() })
  } finally {
    server = await startServer(config, quiet)
  }
  verifyX509Svid(certificates, { bundles: workload.bundles, now: systemClock() })
  const entry = (await admin.listEntries()).find(({ spiffeId }) => String(spiffeId) === subject)
  assert.ok(entry)
  const { id, selectors, owner, purpose, revision, shared } = entry
  await admin.updateEntry(id, { spiffeId: subject, selectors, owner, purpose: `${purpose}.`, shared }, revision)
  await eventually('a new SVID', () => workload.x509.x509Svid().certificates[0] !== certificates[0])
  verifyX509Svid(workload.x509.x509Svid().certificates, { bundles: workload.bundles, now: systemClock() })
})

test('profile aims-00: the WIT has its shape and its key is registered', async () => {
  const { id: _, revision, ...entry } = await admin.showEntry('bot')
  await admin.updateEntry('bot', { ...entry, profile: 'aims-00', audiences: ['https://api.example.com'] }, revision)
  using workload = await connect()
  const { key, token } = workload.wit.wit()
  const { claims } = JSON.parse(`{"claims":${Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()}}`)
  assert.deepEqual(claims.aud, ['https://api.example.com'])
  assert.equal(claims.cnf.kid, key.kid)
  const query = new URLSearchParams({ subject, kid: key.kid })
  const jwk = await api.send({ method: 'GET', path: `/v1/confirmation-keys?${query}` })
  assert.equal(Object(jwk).x, key.publicKey.export({ format: 'jwk' }).x)
  const elsewhere = new URLSearchParams({ subject: 'spiffe://example.com/agent/other', kid: key.kid })
  await assert.rejects(api.send({ method: 'GET', path: `/v1/confirmation-keys?${elsewhere}` }), {
    code: 'credential.unresolved_confirmation',
  })
})

// [provisioning.workload-api.05]
test('a deleted entry is redacted from a workload that is connected', async () => {
  using workload = await connect()
  await admin.deleteEntry('bot')
  await eventually(
    'the redaction',
    () => !isReady(() => workload.x509.x509Svid()) && !isReady(() => workload.wit.wit()),
  )
  await assert.rejects(workload.client.fetchJwtSvids({ audience: 'a' }), { code: 'provisioning.no_identity' })
})
