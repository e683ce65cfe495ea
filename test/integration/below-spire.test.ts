import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { status } from '@grpc/grpc-js'
import { type ApiClient, apiClient, systemClock } from 'aims/base'
import { bundleSource, parseBundle, type TrustBundle, verifyJwtSvid, verifyX509Svid } from 'aims/credentials'
import { parseTrustDomain } from 'aims/identifiers'
import { connectWorkload, type SpireJwtKey, type Workload } from 'aims/provisioning'
import { type RunningAgent, startAgent } from 'aims-agent'
import {
  type AdminClient,
  adminClient,
  type Configuration,
  loadConfig,
  type RunningServer,
  startServer,
} from 'aims-server'
import { FakeSpire, fakeSpireAgent } from '../support/fake-spire.ts'
import { testCa } from '../support/x509-identities.ts'

// A whole server below a SPIRE server, whose part a fake plays: interop/spire has the real one, by hand.

const root = mkdtempSync(join(tmpdir(), 'aims-below-spire-'))
const trustDomain = parseTrustDomain('example.com')
const subject = 'spiffe://example.com/job/bot'
const audience = 'https://api.example.com'
const ca = await testCa()
const spireSocket = `unix://${join(root, 'spire.sock')}`
const spireAgent = await fakeSpireAgent(spireSocket, await ca.svid('/servers/aims'), ca.bundle.x509Authorities)
const spire = await FakeSpire.start(await ca.svid('/spire/server'), ca.bundle.x509Authorities)
const above: Map<string, SpireJwtKey> = spire.serve(ca)
const lines: string[] = []
let config: Configuration
let server: RunningServer
let agent: RunningAgent
let api: ApiClient
let admin: AdminClient
let workload: Workload

before(async () => {
  const overrides = {
    trustDomain,
    dataDirectory: join(root, 'data'),
    'agent.socket': join(root, 'workload.sock'),
    'listen.port': 0,
    'keys.upstream': { spire: { server: spire.address, workload: spireSocket } },
    'keys.lifetime': '40m',
    'keys.publishAhead': '1m',
    'agents.ttl': '5m',
    ...Object.fromEntries(
      ['x509', 'jwt', 'wit'].flatMap((kind) => [
        [`ttl.${kind}.default`, '5m'],
        [`ttl.${kind}.max`, '10m'],
      ]),
    ),
  }
  config = await loadConfig({ env: {}, overrides })
  server = await startServer(config, { log: (line) => lines.push(line) })
  agent = await startAgent(config, { log: () => undefined })
  api = apiClient({ socketPath: server.socketPath })
  admin = adminClient(api)
  await admin.createEntry({ spiffeId: subject, selectors: [`unix:uid:${process.geteuid?.()}`] })
  workload = await connectWorkload({ address: agent.address, backoff: 20, maxBackoff: 50 })
})
after(async () => {
  workload?.close()
  api?.close()
  await agent?.close()
  await server?.close()
  spire.stop()
  spireAgent.stop()
  rmSync(root, { recursive: true })
})

const bundleOf = (): TrustBundle => parseBundle(server.bundle(), trustDomain).bundle

test('a workload gets what whoever believes SPIRE believes, and SPIRE has the key of its JWT-SVIDs', async () => {
  const { certificates } = workload.x509.x509Svid()
  const now = systemClock()
  assert.equal(verifyX509Svid(certificates, { bundles: bundleSource(ca.bundle), now }).subject, subject)
  const { token } = await workload.jwt.jwtSvid(audience)
  assert.equal(verifyJwtSvid(token, { bundles: workload.bundles, now, audience }).subject, subject)
  const kids = (await admin.listKeys()).flatMap(({ purpose, thumbprint }) => (purpose === 'jwt' ? [thumbprint] : []))
  assert.deepEqual([...above.keys()], kids)
  assert.deepEqual([...bundleOf().jwtAuthorities.keys()], kids)
  // The one root there is, and not the CA below it.
  assert.deepEqual(
    bundleOf().x509Authorities.map((der) => Buffer.from(der)),
    ca.bundle.x509Authorities.map((der) => Buffer.from(der)),
  )
})

// One row per step that needs SPIRE, when the entry there has lost its flag.
for (const purpose of ['x509-ca', 'jwt'] as const) {
  test(`without the flag in SPIRE no key is made for ${purpose}, and the refusal says so`, async () => {
    const before = await admin.listKeys()
    const method = purpose === 'jwt' ? 'publishJwtAuthority' : 'newDownstreamX509Ca'
    spire.answer(method, status.PERMISSION_DENIED)
    await assert.rejects(admin.stepAuthority({ step: 'prepare', purpose }), { code: 'operation.upstream_refused' })
    assert.deepEqual(await admin.listKeys(), before)
    spire.serve(ca, above)
    await server.close()
    server = await startServer(config, { log: (line) => lines.push(line) })
  })
}

test('with SPIRE and its agent away the server is started anew and serves', async () => {
  spire.stop()
  spireAgent.stop()
  await server.close()
  server = await startServer(config, { log: (line) => lines.push(line) })
  using fresh = await connectWorkload({ address: agent.address, backoff: 20, maxBackoff: 50 })
  const { certificates } = fresh.x509.x509Svid()
  assert.equal(verifyX509Svid(certificates, { bundles: bundleSource(ca.bundle), now: systemClock() }).subject, subject)
  await assert.rejects(admin.stepAuthority({ step: 'prepare', purpose: 'x509-ca' }), {
    code: 'operation.upstream_unreachable',
    message: /^there is no identity to ask the upstream server with \(provisioning\.[a-z_]+\)/,
  })
})
