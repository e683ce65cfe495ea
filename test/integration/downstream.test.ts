import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { after, before, test } from 'node:test'
import {
  type AimsErrorCode,
  type ApiClient,
  apiClient,
  decodeBase64,
  encodePem,
  exportPublicJwk,
  isJsonObject,
  type JsonObject,
  systemClock,
  WorkloadKey,
} from 'aims/base'
import {
  bundleSource,
  createX509Authority,
  decodeUnverifiedX509Svid,
  issueCaCertificate,
  parseBundle,
  serializeBundle,
  type TrustBundle,
  verifyJwtSvid,
  verifyWit,
  verifyX509Svid,
  type X509Svid,
} from 'aims/credentials'
import { parseSpiffeId, parseTrustDomain } from 'aims/identifiers'
import { connectWorkload, downstreamProofNonce, identityServer, signKeyProof, type Workload } from 'aims/provisioning'
import { type RunningAgent, startAgent } from 'aims-agent'
import {
  type AdminClient,
  adminClient,
  type Configuration,
  loadConfig,
  type RunningServer,
  startServer,
} from 'aims-server'
import { eventually } from '../support/eventually.ts'
import { startGithub } from '../support/platform-services.ts'
import { GITHUB, jwks, platformKey } from '../support/platform-tokens.ts'

const trustDomain = parseTrustDomain('example.com')
const audience = 'https://api.example.com'
const hasOpenssl = spawnSync('openssl', ['version']).status === 0
const root = mkdtempSync(join(tmpdir(), 'aims-downstream-'))
const selectors = [`unix:uid:${process.geteuid?.()}`]
const EAST = parseSpiffeId('spiffe://example.com/servers/east')
const PLAIN = parseSpiffeId('spiffe://example.com/servers/plain')
const BOT = 'spiffe://example.com/agent/bot'

/** A server, its agent, and its administrator. */
interface Site {
  readonly config: Configuration
  server: RunningServer
  agent: RunningAgent
  readonly api: ApiClient
  readonly admin: AdminClient
  /** What the server has complained about. */
  readonly lines: string[]
}

async function startSite(name: string, more: object): Promise<Site> {
  const overrides = {
    trustDomain,
    dataDirectory: join(root, name),
    'agent.socket': join(root, `${name}.sock`),
    'listen.port': 0,
    'bundle.refreshHint': 1,
    ...more,
  }
  const config = await loadConfig({ env: {}, overrides })
  const lines: string[] = []
  const server = await startServer(config, { log: (line) => lines.push(line) })
  const agent = await startAgent(config, { log: () => undefined })
  const api = apiClient({ socketPath: config['api.socket'] })
  return { config, server, agent, api, admin: adminClient(api), lines }
}

async function stopSite({ api, agent, server }: Site): Promise<void> {
  api.close()
  await agent.close()
  await server.close()
}

let above: Site
let below: Site
let workload: Workload
const upstreamOf = ({ server, agent }: Site) => ({
  aims: { server: `https://127.0.0.1:${server.port}`, workload: agent.address },
})
const bundleOf = ({ server }: Site): TrustBundle => parseBundle(server.bundle(), trustDomain).bundle
const activeKey = async ({ admin }: Site, purpose: string): Promise<string> =>
  (await admin.listKeys()).find((key) => key.purpose === purpose && key.state === 'active')?.thumbprint ?? 'none'
const rootsOf = (bundle: TrustBundle): readonly string[] =>
  bundle.x509Authorities.map((der) => Buffer.from(der).toString('base64')).toSorted()

before(async () => {
  const keys = join(root, 'above', 'collateral', GITHUB.collateral)
  mkdirSync(join(root, 'above'), { mode: 0o700 })
  mkdirSync(dirname(keys), { recursive: true, mode: 0o700 })
  writeFileSync(keys, jwks(platformKey))
  above = await startSite('above', {
    attestation: { github: {} },
    'keys.lifetime': '14d',
    'keys.downstreamTtl': '7d',
  })
  await above.admin.createEntry({ spiffeId: EAST, selectors, downstream: true })
  below = await startSite('below', { 'keys.lifetime': '4d', 'keys.upstream': upstreamOf(above) })
  await below.admin.createEntry({ spiffeId: BOT, selectors, owner: 'team', purpose: 'calendar' })
  workload = await connectWorkload({ address: below.agent.address, backoff: 20, maxBackoff: 50 })
})
after(async () => {
  workload?.close()
  for (const site of [below, above]) if (site !== undefined) await stopSite(site)
  rmSync(root, { recursive: true })
})

async function verifyAll(bundle: TrustBundle, who = workload): Promise<void> {
  const bundles = bundleSource(bundle)
  const now = systemClock()
  assert.equal(verifyX509Svid(who.x509.x509Svid().certificates, { bundles, now }).subject, BOT)
  assert.equal(verifyWit(who.wit.wit().token, { profile: 'wimse', bundles, now }).subject, BOT)
  const { token } = await who.jwt.jwtSvid(audience)
  assert.equal(verifyJwtSvid(token, { bundles, now, audience }).subject, BOT)
}

test('what a server below issues is believed above and below, and the other way round', async () => {
  await verifyAll(bundleOf(above))
  await verifyAll(bundleOf(below))
  assert.deepEqual(rootsOf(bundleOf(below)), rootsOf(bundleOf(above)))
  for (const purpose of ['jwt', 'wit'])
    assert.notEqual(await activeKey(above, purpose), await activeKey(below, purpose))
  using client = await connectWorkload({ address: above.agent.address })
  const { certificates } = client.x509.x509Svid()
  const bundles = bundleSource(bundleOf(below))
  assert.equal(verifyX509Svid(certificates, { bundles, now: systemClock() }).subject, EAST)
  assert.equal(verifyWit(client.wit.wit().token, { profile: 'wimse', bundles, now: systemClock() }).subject, EAST)
})

test('the CA below has path length 0 and the constraint, ends in time, and openssl agrees', () => {
  const { certificates } = workload.x509.x509Svid()
  assert.equal(certificates.length, 2)
  const [leaf = Buffer.of(), ca = Buffer.of()] = certificates
  const { extensions, notAfter } = decodeUnverifiedX509Svid([ca]).leaf
  assert.equal(extensions.basicConstraints?.pathLength, 0)
  assert.deepEqual(extensions.nameConstraints?.permitted?.uris, [trustDomain])
  assert.ok(notAfter <= systemClock() + 7 * 86_400)
  if (!hasOpenssl) return
  const file = (name: string, ders: readonly Uint8Array[]): string => {
    const path = join(root, name)
    writeFileSync(path, ders.map((der) => encodePem('CERTIFICATE', der)).join(''))
    return path
  }
  const roots = file('roots.pem', bundleOf(above).x509Authorities)
  const args = [
    'verify',
    '-x509_strict',
    '-CAfile',
    roots,
    '-untrusted',
    file('ca.pem', [ca]),
    file('leaf.pem', [leaf]),
  ]
  assert.match(execFileSync('openssl', args, { encoding: 'utf8' }), /: OK/)
})

test('new keys below are published above before they sign', async () => {
  for (const purpose of ['x509-ca', 'jwt', 'wit'] as const) {
    const before = await activeKey(below, purpose)
    const { thumbprint } = await below.admin.stepAuthority({ step: 'prepare', purpose })
    const { jwtAuthorities, witAuthorities } = bundleOf(above)
    if (purpose === 'jwt') assert.ok(jwtAuthorities.has(thumbprint) && jwtAuthorities.has(before))
    if (purpose === 'wit') assert.ok(witAuthorities.has(thumbprint) && witAuthorities.has(before))
    await below.admin.stepAuthority({ step: 'activate', purpose, force: true })
    assert.equal(await activeKey(below, purpose), thumbprint)
  }
  using fresh = await connectWorkload({ address: below.agent.address })
  await verifyAll(bundleOf(above), fresh)
})

test('new keys above are known below, and the CA below stays good', async () => {
  const before = rootsOf(bundleOf(above))
  for (const purpose of ['x509-ca', 'jwt', 'wit'] as const) await above.admin.rotate(purpose, { immediately: true })
  await eventually('the new keys are below', async () => {
    const { jwtAuthorities, witAuthorities } = bundleOf(below)
    const [jwt, wit] = [await activeKey(above, 'jwt'), await activeKey(above, 'wit')]
    return rootsOf(bundleOf(below)).length > before.length && jwtAuthorities.has(jwt) && witAuthorities.has(wit)
  })
  assert.deepEqual(rootsOf(bundleOf(below)), rootsOf(bundleOf(above)))
  await verifyAll(bundleOf(above))
})

// What a downstream server may not do, over the API, with the SVID that it has.
interface Attempt {
  readonly as?: 'east' | 'plain' | 'nobody'
  readonly key?: (svid: X509Svid) => WorkloadKey
  readonly purpose?: 'x509-ca' | 'jwt' | 'wit'
  readonly serialNumber?: string
  readonly notAfter?: number
  readonly path?: string
  readonly body?: (proven: JsonObject) => JsonObject
}

const used = WorkloadKey.generate()
const REFUSALS: readonly (readonly [string, Attempt, AimsErrorCode])[] = [
  ['an entry without the flag', { as: 'plain' }, 'operation.not_permitted'],
  ['nobody in particular', { as: 'nobody' }, 'operation.unauthenticated'],
  ['the key of its own SVID', { key: (svid) => new WorkloadKey(svid.key.tlsKey) }, 'credential.key_reuse'],
  ['a key that is a CA already', { key: () => used }, 'credential.key_reuse'],
  ['a proof for a token key', { purpose: 'jwt' }, 'provisioning.key_proof_invalid'],
  ['a proof for another SVID', { serialNumber: '01' }, 'provisioning.key_proof_invalid'],
  ['a life that is over', { notAfter: 1000 }, 'operation.request_malformed'],
  [
    'no proof',
    { body: ({ publicKey = null }) => ({ publicKey, notAfter: 4_000_000_000 }) },
    'operation.request_malformed',
  ],
  [
    'a token key with the proof of a CA',
    { path: '/v1/downstream/keys', body: (proven) => ({ keys: [{ ...proven, purpose: 'jwt' }] }) },
    'provisioning.key_proof_invalid',
  ],
  [
    'one key for two purposes',
    {
      path: '/v1/downstream/keys',
      purpose: 'wit',
      body: (proven) => ({
        keys: [
          { ...proven, purpose: 'wit' },
          { ...proven, purpose: 'wit' },
        ],
      }),
    },
    'credential.key_reuse',
  ],
]

async function attempt({ as = 'east', ...more }: Attempt): Promise<JsonObject> {
  using client = await connectWorkload({
    address: above.agent.address,
    spiffeId: as === 'plain' ? PLAIN : EAST,
  })
  const svid = client.x509.x509Svid()
  const { purpose = 'x509-ca', key = () => WorkloadKey.generate(), notAfter = 4_000_000_000 } = more
  const { serialNumber = decodeUnverifiedX509Svid(svid.certificates).leaf.serialNumber, path = '/v1/downstream/ca' } =
    more
  const bundle = Buffer.from(serializeBundle(bundleOf(above), { includeWit: true }))
  const server = identityServer({
    trustDomain,
    server: `https://127.0.0.1:${above.server.port}`,
    bundle,
    clock: systemClock,
  })
  try {
    const own = key(svid)
    const nonce = downstreamProofNonce({ server: as === 'plain' ? PLAIN : EAST, serialNumber, purpose })
    const keyProof = await signKeyProof({ nonce, trustDomain, thumbprint: own.kid }, own)
    const proven = { publicKey: { ...exportPublicJwk(own.publicKey, { alg: own.alg, kid: own.kid }) }, keyProof }
    const body = more.body?.(proven) ?? { ...proven, notAfter }
    const method = path.endsWith('keys') ? 'PUT' : 'POST'
    const answer = await server.send({ method, path, body }, as === 'nobody' ? undefined : svid)
    assert.ok(answer !== undefined && isJsonObject(answer))
    return answer
  } finally {
    server.close()
  }
}

test('a life that is too long is cut, and the new CA certifies no other', async () => {
  const { chain } = await attempt({ key: () => used })
  const [certificate = Buffer.of(), ...rest] = (Array.isArray(chain) ? chain : []).map(
    (one) => decodeBase64(String(one)) ?? Buffer.of(),
  )
  const authority = createX509Authority({ trustDomain, signer: used, certificate, chain: rest })
  assert.ok(authority.expiresAt <= systemClock() + 7 * 86_400)
  const times = { notBefore: Math.floor(systemClock()), notAfter: Math.floor(systemClock()) + 1000 }
  const further = { trustDomain, issuer: authority, subjectKey: WorkloadKey.generate().publicKey, ...times }
  await assert.rejects(issueCaCertificate(further), { code: 'x509.path_length' })
})

for (const [what, one, code] of REFUSALS) {
  test(`a CA or key from below is refused: ${what}`, async () => {
    if (one.as === 'plain') await above.admin.createEntry({ spiffeId: PLAIN, selectors })
    await assert.rejects(attempt(one), { code })
  })
}

test('a server below may get its identity by evidence, too', async (t) => {
  const github = await startGithub(GITHUB, 'job', { now: systemClock })
  t.after(() => github.close())
  process.env.ACTIONS_ID_TOKEN_REQUEST_URL = `${github.address}/token?api-version=2.0`
  process.env.ACTIONS_ID_TOKEN_REQUEST_TOKEN = 'job'
  t.after(() => {
    delete process.env.ACTIONS_ID_TOKEN_REQUEST_URL
    delete process.env.ACTIONS_ID_TOKEN_REQUEST_TOKEN
  })
  const repository = `github:repository_id:${String(GITHUB.claims.repository_id)}`
  const west = parseSpiffeId('spiffe://example.com/servers/west')
  await above.admin.createEntry({ spiffeId: west, selectors: [repository], downstream: true })
  const bundle = join(root, 'bundle.json')
  writeFileSync(bundle, above.server.bundle())
  const aims = { server: `https://127.0.0.1:${above.server.port}`, evidence: ['github'], bundle }
  const site = await startSite('west', { 'keys.lifetime': '4d', 'keys.upstream': { aims } })
  try {
    assert.deepEqual(rootsOf(bundleOf(site)), rootsOf(bundleOf(above)))
    assert.ok(bundleOf(above).jwtAuthorities.has(await activeKey(site, 'jwt')))
  } finally {
    await stopSite(site)
  }
})

test('a server that certifies no others says so', async () => {
  // The one below the other: nothing is below it.
  await below.admin.createEntry({ spiffeId: EAST, selectors, downstream: true })
  await assert.rejects(startSite('third', { 'keys.upstream': upstreamOf(below) }), {
    code: 'operation.upstream_refused',
  })
})

test('with the server above away, the one below serves, restarts, and makes no new key that nobody would know', async () => {
  const { port } = above.server
  await above.server.close()
  using fresh = await connectWorkload({ address: below.agent.address })
  await verifyAll(bundleOf(below), fresh)
  for (const purpose of ['x509-ca', 'jwt'] as const) {
    await assert.rejects(below.admin.stepAuthority({ step: 'prepare', purpose }), {
      code: 'operation.upstream_unreachable',
    })
  }
  const before = rootsOf(bundleOf(below))
  await below.agent.close()
  await below.server.close()
  below.server = await startServer(below.config, { log: (line) => below.lines.push(line) })
  below.agent = await startAgent(below.config, { log: () => undefined })
  assert.deepEqual(rootsOf(bundleOf(below)), before)
  const config = { ...above.config, 'listen.port': port }
  above.server = await startServer(config, { log: (line) => above.lines.push(line) })
  using again = await connectWorkload({ address: below.agent.address })
  await verifyAll(bundleOf(above), again)
})

test('who is no longer a server below loses its keys above, and gets nothing more', async () => {
  const jwt = await activeKey(below, 'jwt')
  assert.ok(bundleOf(above).jwtAuthorities.has(jwt))
  const entry = (await above.admin.listEntries()).find(({ spiffeId }) => spiffeId === EAST)
  assert.ok(entry !== undefined)
  const { downstream: _, revision, ...plain } = entry
  await above.admin.updateEntry(entry.id, plain, revision)
  await eventually('its keys are gone', () => !bundleOf(above).jwtAuthorities.has(jwt))
  await assert.rejects(attempt({}), { code: 'operation.not_permitted' })
  await eventually('it hears of it', () => below.lines.some((line) => line.includes('operation.not_permitted')))
})
