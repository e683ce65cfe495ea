import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { type ApiClient, apiClient, isJsonObject } from 'aims/base'
import {
  type BundleSource,
  decodeUnverifiedJwtSvid,
  decodeUnverifiedX509Svid,
  requireNotRevoked,
} from 'aims/credentials'
import { parseSpiffeId, parseTrustDomain, type SpiffeId } from 'aims/identifiers'
import { connectWorkload, followRevocations, type Workload, WorkloadApiClient } from 'aims/provisioning'
import { type RunningAgent, startAgent, WorkloadApiServer } from 'aims-agent'
import { type AdminClient, adminClient, loadConfig, type RunningServer, startServer } from 'aims-server'
import { eventually } from '../support/eventually.ts'
import { IssuingBackend } from '../support/issuing-backend.ts'

// The agent is on another host than the server, as far as it knows; its workloads reach nothing but its socket.

const root = mkdtempSync(join(tmpdir(), 'aims-agent-revocations-'))
const trustDomain = parseTrustDomain('example.com')
const audience = 'https://api.example.com'
const me = `unix:uid:${process.geteuid?.()}`
const stolen = parseSpiffeId('spiffe://example.com/job/stolen')
const kept = parseSpiffeId('spiffe://example.com/job/kept')
let ahead = 0
const clock = (): number => Date.now() / 1000 + ahead
let server: RunningServer
let agent: RunningAgent
let api: ApiClient
let admin: AdminClient

const settings = (socket: string): Parameters<typeof startAgent>[0] => ({
  trustDomain,
  'agent.socket': join(root, socket),
  'agent.socketMode': 0o600,
  'agent.serverSocket': '/nonexistent',
  'agent.server': `https://127.0.0.1:${server.port}`,
  'agent.bundle': join(root, 'bundle.json'),
})

before(async () => {
  const overrides = {
    trustDomain,
    dataDirectory: join(root, 'data'),
    'listen.port': 0,
    'agents.attestation': { 'join-token': {} },
  }
  server = await startServer(await loadConfig({ env: {}, overrides }), { log: () => undefined })
  writeFileSync(join(root, 'bundle.json'), server.bundle())
  api = apiClient({ socketPath: server.socketPath })
  admin = adminClient(api)
  const agents = [['join-token:name:edge']]
  await admin.createEntry({ id: 'stolen', spiffeId: stolen, selectors: [me], agents })
  await admin.createEntry({ id: 'kept', spiffeId: kept, selectors: [me], agents })
  const answer = await api.send({ method: 'POST', path: '/v1/join-tokens', body: { name: 'edge', for: 'agent' } })
  const token = isJsonObject(answer) ? String(answer.token) : ''
  agent = await startAgent(settings('w.sock'), { clock, log: () => undefined, env: { AIMS_JOIN_TOKEN: token } })
})
after(async () => {
  await agent.close()
  api.close()
  await server.close()
  rmSync(root, { recursive: true })
})

const connect = (spiffeId: SpiffeId): Promise<Workload> =>
  connectWorkload({ address: agent.address, backoff: 20, maxBackoff: 50, spiffeId })
const revoke = (type: string, value: string): Promise<unknown> =>
  api.send({ method: 'POST', path: '/v1/revocations', body: { type, value } })

const codeOf = (run: Promise<unknown>): Promise<string> =>
  run.then(
    () => 'none',
    (error: unknown) => (error instanceof Error && 'code' in error ? String(error.code) : String(error)),
  )

// [provisioning.fleet.05]
describe('ValidateJWTSVID', () => {
  test('refuses a token that was revoked, and no other', async () => {
    using workload = await connect(kept)
    const { client } = workload
    const [one] = await client.fetchJwtSvids({ audience })
    const [other] = await client.fetchJwtSvids({ audience: 'https://other.example' })
    assert.ok(one && other)
    assert.equal((await client.validateJwtSvid(audience, one.token)).spiffeId, kept)
    await revoke('token', String(decodeUnverifiedJwtSvid(one.token).claims.jti))
    await eventually('the refusal', async () => {
      return (await codeOf(client.validateJwtSvid(audience, one.token))) === 'provisioning.endpoint_refused'
    })
    await client.validateJwtSvid('https://other.example', other.token)
    // The agent gives it to nobody any more.
    const [next] = await client.fetchJwtSvids({ audience })
    assert.notEqual(next?.token, one.token)
  })

  test('answers nothing while no current list says anything', async () => {
    using workload = await connect(kept)
    const { client } = workload
    const [one] = await client.fetchJwtSvids({ audience })
    assert.ok(one)
    await client.validateJwtSvid(audience, one.token)
    ahead = 61 + 12
    try {
      assert.equal(await codeOf(client.validateJwtSvid(audience, one.token)), 'provisioning.endpoint_unavailable')
    } finally {
      ahead = 0
    }
    await client.validateJwtSvid(audience, one.token)
  })
})

describe('the list that an agent relays', () => {
  test('is current for verifiers that reach nothing but the agent, and says who is revoked', async () => {
    using workload = await connect(kept)
    const { bundles, client } = workload
    const failures: string[] = []
    using revocations = followRevocations({
      server: client,
      trustDomain,
      bundles,
      maxStaleness: 30,
      onFailure: ({ code }) => void failures.push(code),
    })
    await revocations.ready()
    const credential = { kind: 'wit', subject: workload.wit.wit().subject, issuedAt: 0, id: 'a-wit' } as const
    requireNotRevoked(revocations, credential, clock())
    const changed = new Promise<void>((resolve) => revocations.onChange(resolve))
    await revoke('token', 'a-wit')
    await changed
    assert.throws(() => requireNotRevoked(revocations, credential, clock()), { code: 'credential.revoked' })
    // Fail closed: an agent that hears nothing from its server has lists that grow old.
    const good = { ...credential, id: 'another' }
    requireNotRevoked(revocations, good, clock())
    assert.throws(() => requireNotRevoked(revocations, good, clock() + 45), { code: 'credential.revocation_unknown' })
    assert.deepEqual(failures, [])
  })

  test('is signed: a relay that changes it is not believed', async () => {
    using workload = await connect(kept)
    const { bundles, client } = workload
    const list = await client.fetchRevocationList({ sequence: 0, issuedAt: 0 })
    const [header = '', payload = '', signature = ''] = list.split('.')
    const flipped = `${signature.startsWith('A') ? 'B' : 'A'}${signature.slice(1)}`
    const empty = Buffer.from(JSON.stringify({ iss: `spiffe://${trustDomain}`, seq: 9e9, iat: 0, revoked: [] }))
    for (const [relayed, code] of [
      [`${header}.${empty.toString('base64url')}.${signature}`, 'revocation.untrusted'],
      ['', 'revocation.malformed'],
      [`${header}.${payload}.${flipped}`, 'revocation.untrusted'],
    ] as const) {
      const failed = Promise.withResolvers<string>()
      using revocations = followRevocations({
        server: { fetchRevocationList: async () => relayed },
        trustDomain,
        bundles,
        maxStaleness: 30,
        onFailure: (error) => failed.resolve(error.code),
      })
      assert.equal(await failed.promise, code)
      assert.equal(revocations.current, undefined)
    }
  })

  test('whose key comes a moment later is no warning; one whose key never comes is', async () => {
    using workload = await connect(kept)
    const { client } = workload
    const list = await client.fetchRevocationList({ sequence: 0, issuedAt: 0 })
    const warnings: string[] = []
    const heard = Promise.withResolvers<void>()
    const onWarning = (warning: Error): void => {
      if (!('code' in warning) || warning.code !== 'AIMS_REVOCATIONS') return
      warnings.push(warning.message)
      heard.resolve()
    }
    process.on('warning', onWarning)
    const follow = (bundles: BundleSource) =>
      followRevocations({ server: { fetchRevocationList: async () => list }, trustDomain, bundles, maxStaleness: 30 })
    let asked = 0
    using late = follow({
      bundleFor: (name) => {
        asked += 1
        return asked > 2 ? workload.bundles.bundleFor(name) : undefined
      },
    })
    await late.ready()
    assert.deepEqual(warnings, [])
    using never = follow({ bundleFor: () => undefined })
    await heard.promise
    process.off('warning', onWarning)
    assert.match(String(warnings[0]), /\[revocation\.untrusted\]/)
    assert.equal(never.current, undefined)
  })

  test('is not to be had where nobody relays one: then nobody is accepted', async () => {
    const backend = await IssuingBackend.create()
    backend.set([{ spiffeId: kept, selector: me }])
    const socketPath = join(root, 'other.sock')
    const other = await WorkloadApiServer.start({ socketPath, backend, observer: { record: async () => undefined } })
    using client = new WorkloadApiClient({ address: other.address })
    const failed = Promise.withResolvers<string>()
    const bundles = { bundleFor: () => undefined }
    using revocations = followRevocations({
      server: client,
      trustDomain,
      bundles,
      maxStaleness: 30,
      onFailure: ({ code }) => failed.resolve(code),
    })
    assert.equal(await failed.promise, 'provisioning.unimplemented')
    const credential = { kind: 'wit', subject: kept, issuedAt: 0, id: 'x' } as const
    assert.equal(revocations.statusOf(credential, clock()), 'unknown')
    await other.close()
  })

  test('needs a staleness that lists can keep', async () => {
    const tooShort = startAgent({ ...settings('short.sock'), 'agent.revocationStaleness': 10 })
    await assert.rejects(tooShort, { code: 'operation.config_invalid', message: /agent\.revocationStaleness/ })
  })
})

describe('what an agent holds', () => {
  const serialOf = (workload: Workload): string =>
    decodeUnverifiedX509Svid(workload.x509.x509Svid().certificates).leaf.serialNumber

  test('is dropped when a certificate is revoked: the workload has another at once, and streams go on', async () => {
    using workload = await connect(stolen)
    const before = serialOf(workload)
    await revoke('certificate', before)
    await eventually('another SVID', () => serialOf(workload) !== before)
  })

  // [provisioning.workload-api.18]
  test('is dropped when the agent is retired: its streams end, and it has nothing', async () => {
    using workload = await connect(stolen)
    const { client } = workload
    const [jwt] = await client.fetchJwtSvids({ audience, spiffeId: stolen })
    assert.ok(jwt)
    using other = await connect(kept)
    const ended = codeOf(client.watchWits({ onUpdate: () => undefined }))
    await admin.deleteEntry('kept')
    await api.send({ method: 'POST', path: '/v1/retirements', body: { spiffeId: stolen } })
    // PermissionDenied.
    assert.equal(await ended, 'provisioning.no_identity')
    await eventually('nothing', () => codeOfSync(() => workload.x509.x509Svid()) === 'provisioning.not_ready')
    assert.equal(await codeOf(client.fetchX509Svids()), 'provisioning.no_identity')
    assert.equal(await codeOf(client.fetchJwtSvids({ audience })), 'provisioning.no_identity')
    assert.throws(() => other.wit.wit(), { code: 'provisioning.not_ready' })
  })
})

function codeOfSync(run: () => unknown): string {
  try {
    run()
    return 'none'
  } catch (error) {
    return error instanceof Error && 'code' in error ? String(error.code) : String(error)
  }
}
