import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { Agent, type AgentOptions, request } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { TLSSocket } from 'node:tls'
import { type ApiClient, apiClient, type Clock, isJsonObject, type JsonObject, parseJson, WorkloadKey } from 'aims/base'
import {
  bundleSource,
  createX509Authority,
  issueCaCertificate,
  issueX509Svid,
  parseBundle,
  verifyX509Svid,
} from 'aims/credentials'
import { parseTrustDomain, parseWorkloadSpiffeId } from 'aims/identifiers'
import { remoteObserver } from 'aims/monitoring'
import { adminClient } from './admin-client.ts'
import { loadConfig } from './config/config.ts'
import { operationRoutes } from './routes/operations.ts'
import { type RunningServer, startServer } from './server.ts'

const trustDomain = parseTrustDomain('example.com')
const root = mkdtempSync(join(tmpdir(), 'aims-https-'))
// Ahead of the machine's, and moved by the tests; TLS does not look at it.
let ahead = 0
const clock: Clock = () => Date.now() / 1000 + ahead
let server: RunningServer
let local: ApiClient
const lines: string[] = []

before(async () => {
  const overrides = {
    trustDomain,
    dataDirectory: join(root, 'data'),
    'listen.port': 0,
    'listen.dnsNames': ['aims.example.com', 'localhost'],
    'limits.workload': 4,
    'entries.delegations': [
      { registrar: 'spiffe://example.com/team-a/ci', prefixes: ['/team-a/'], selectorTypes: ['unix'] },
    ],
  }
  server = await startServer(await loadConfig({ env: {}, overrides }), { clock, log: (line) => lines.push(line) })
  local = apiClient({ socketPath: server.socketPath })
  const admin = adminClient(local)
  const selectors = ['unix:uid:1000']
  await admin.createEntry({
    id: 'bot',
    spiffeId: 'spiffe://example.com/agent/bot',
    selectors,
    x509Ttl: 600,
    owner: 'test',
    purpose: 'test',
  })
  await admin.createEntry({ id: 'root', spiffeId: 'spiffe://example.com/operator/root', selectors, admin: true })
})
after(async () => {
  local.close()
  await server.close()
  rmSync(root, { recursive: true })
  assert.deepEqual(lines, [])
})

interface ClientCertificate {
  readonly cert: string
  readonly key: string
}

async function certificateOf(entryId: string): Promise<ClientCertificate> {
  const key = WorkloadKey.generate()
  const posture = { type: 'unix', selectors: ['unix:uid:1000'] }
  const publicKey = key.publicKey.export({ format: 'jwk' })
  const answer = await local.send({
    method: 'POST',
    path: '/v1/agent/x509-svids',
    body: { entryId, posture, publicKey },
  })
  const { chain } = answer as JsonObject
  return { cert: pem((chain as string[])[0] ?? ''), key: pemKey(key) }
}

const pem = (base64: string) => `-----BEGIN CERTIFICATE-----\n${base64}\n-----END CERTIFICATE-----\n`
const pemKey = (key: WorkloadKey) => key.tlsKey.export({ type: 'pkcs8', format: 'pem' }).toString()

interface Answer {
  readonly status: number
  readonly type: string
  readonly body: string
  readonly json: JsonObject
  readonly certificate: Buffer
  readonly resumed: boolean
  readonly retryAfter: string | undefined
}

// The tests judge the server's certificate themselves, by the SPIFFE bundle.
function get(
  path: string,
  options: AgentOptions & { readonly agent?: Agent; readonly method?: string; readonly body?: string } = {},
): Promise<Answer> {
  const { method = 'GET', body, agent = new Agent({ ...options, rejectUnauthorized: false }) } = options
  const headers = { host: 'localhost', ...(body === undefined ? {} : { 'content-type': 'application/json' }) }
  return new Promise((resolve, reject) => {
    const sent = request({ host: '127.0.0.1', port: server.port, path, method, agent, headers }, async (response) => {
      const chunks: Buffer[] = []
      for await (const chunk of response) chunks.push(chunk)
      const text = Buffer.concat(chunks).toString()
      const type = response.headers['content-type'] ?? ''
      const value = type.includes('json') ? parseJson(text) : null
      const socket = sent.socket
      assert.ok(socket instanceof TLSSocket)
      resolve({
        status: response.statusCode ?? 0,
        retryAfter: response.headers['retry-after'],
        type,
        body: text,
        json: isJsonObject(value) ? value : {},
        certificate,
        resumed: socket.isSessionReused(),
      })
    })
    let certificate = Buffer.alloc(0)
    sent.once('socket', (socket) => {
      assert.ok(socket instanceof TLSSocket)
      const read = (): void => {
        certificate = socket.getPeerCertificate().raw ?? certificate
      }
      read()
      socket.once('secureConnect', read)
    })
    sent.on('error', reject)
    sent.end(body)
  })
}

test('metrics are for operators, and for everybody where a setting says so', async () => {
  assert.equal((await get('/metrics')).json.code, 'operation.unauthenticated')
  assert.equal((await get('/metrics', await certificateOf('bot'))).json.code, 'operation.not_permitted')
  const { body } = await get('/metrics', await certificateOf('root'))
  assert.match(body, /^aims_credentials_issued_total\{type="x509-svid"\} \d+$/m)
  const around = { isReady: () => true, metrics: () => '', status: () => ({}) }
  const accessOf = (openMetrics: boolean) =>
    operationRoutes({ ...around, openMetrics })
      .filter(({ path }) => path === '/metrics')
      .map(({ access, entrances }) => `${access} ${entrances.join(' ')}`)
  assert.deepEqual(accessOf(false), ['public unix', 'admin https'])
  assert.deepEqual(accessOf(true), ['public unix', 'public https'])
})

test('anybody may ask for health, bundle, checkpoint and the description of the API', async () => {
  assert.equal((await get('/healthz')).body, 'ok\n')
  assert.equal((await get('/readyz')).body, 'ready\n')
  assert.match((await get('/v1/audit/checkpoint')).body, /^example\.com\/aims-log\n\d+\n/)
  assert.equal((await get('/v1/openapi.json')).json.openapi, '3.1.0')
  const plain = await get('/v1/bundle')
  assert.equal(plain.type, 'application/json')
  assert.equal(parseBundle(plain.body, trustDomain).bundle.witAuthorities.size, 0)
  const { bundle } = parseBundle((await get('/v1/bundle?include=wit-svid')).body, trustDomain)
  assert.equal(bundle.witAuthorities.size, 1)
})

// [credentials.wic.03]
test('the certificate of the server is an SVID of its own trust domain, with its DNS names', async () => {
  const { bundle } = parseBundle((await get('/v1/bundle')).body, trustDomain)
  const { certificate } = await get('/healthz')
  const svid = verifyX509Svid([certificate], { bundles: bundleSource(bundle), now: clock() })
  assert.equal(svid.subject, 'spiffe://example.com/aims/server')
  assert.deepEqual(svid.dnsNames, ['aims.example.com', 'localhost'])
})

// One row per caller and route: who may do what over HTTPS.
for (const [who, method, path, body, status, code] of [
  ['nobody', 'GET', '/v1/entries', undefined, 401, 'operation.unauthenticated'],
  ['nobody', 'POST', '/v1/audit/events', '{}', 401, 'operation.unauthenticated'],
  ['nobody', 'POST', '/v1/decisions', '{}', 401, 'operation.unauthenticated'],
  ['nobody', 'GET', '/v1/agent/entries', undefined, 401, 'operation.unauthenticated'],
  ['bot', 'GET', '/v1/entries', undefined, 403, 'operation.not_permitted'],
  ['bot', 'POST', '/v1/keys/rotate', '{"purpose":"jwt"}', 403, 'operation.not_permitted'],
  ['bot', 'GET', '/v1/audit/records', undefined, 403, 'operation.not_permitted'],
  ['root', 'POST', '/v1/agent/wits', '{}', 403, 'operation.not_permitted'],
  ['bot', 'POST', '/v1/audit/events', '{"type":"agent.note"}', 400, 'audit.missing_field'],
  ['root', 'GET', '/v1/audit/records/999999', undefined, 404, 'audit.unknown_index'],
] as const) {
  test(`${who} gets ${status} for ${method} ${path}`, async () => {
    const certificate = who === 'nobody' ? {} : await certificateOf(who)
    const answer = await get(path, { ...certificate, method, ...(body === undefined ? {} : { body }) })
    assert.equal(answer.status, status)
    assert.equal(answer.json.code, code)
    // Outside of the machine a code and an id must do.
    assert.equal(answer.json.detail, undefined)
  })
}

test('a workload whose entry says so administers', async () => {
  const answer = await get('/v1/entries', await certificateOf('root'))
  assert.equal((answer.json.entries as JsonObject[]).length, 2)
})

test('a workload reports events, and the record names it', async () => {
  const agent = new Agent({ ...(await certificateOf('bot')), rejectUnauthorized: false })
  const client = apiClient({ host: 'localhost', port: server.port, agent })
  await remoteObserver(client).record({
    type: 'authorization.decided',
    agent: { id: 'spiffe://example.com/agent/other' },
    resource: { type: 'service', id: 'spiffe://example.com/service/events-api' },
    action: 'POST',
    decision: 'deny',
    correlationId: 'reported-1',
  })
  const [record] = await adminClient(local).listRecords({ correlationId: 'reported-1' })
  assert.equal(record?.details?.reporter, 'spiffe://example.com/agent/bot')
  const forged = remoteObserver(client).record({
    type: 'provisioning.issued',
    agent: { id: 'spiffe://example.com/agent/other' },
    resource: { type: 'credential', id: 'wit' },
    action: 'issue',
    decision: 'allow',
    correlationId: 'reported-2',
  })
  await assert.rejects(forged, { code: 'operation.not_permitted' })
  client.close()
})

test('a certificate of a foreign CA is refused and recorded, although it names our trust domain', async () => {
  const signer = WorkloadKey.generate()
  const now = Math.floor(Date.now() / 1000)
  const certificate = await issueCaCertificate({ trustDomain, signer, notBefore: now - 60, notAfter: now + 600 })
  const authority = createX509Authority({ trustDomain, signer, certificate })
  const key = WorkloadKey.generate()
  const spiffeId = parseWorkloadSpiffeId('spiffe://example.com/operator/root')
  const svid = await issueX509Svid(
    { spiffeId, publicKey: key.publicKey, notBefore: now, notAfter: now + 600 },
    authority,
  )
  const cert = pem(Buffer.from(svid.certificates[0] ?? []).toString('base64'))
  const answer = await get('/v1/entries', { cert, key: pemKey(key) })
  assert.equal(answer.json.code, 'operation.unauthenticated')
  const [record] = await adminClient(local).listRecords({ correlationId: String(answer.json.id) })
  assert.deepEqual([record?.type, record?.reasons?.[0]], ['authentication.refused', 'x509.untrusted'])
})

const LATE: readonly (readonly [string, string, (id: string) => Promise<unknown>, number])[] = [
  [
    'was revoked',
    'revoked',
    (id) =>
      local.send({
        method: 'POST',
        path: '/v1/revocations',
        body: { type: 'subject', value: `spiffe://example.com/late/${id}` },
      }),
    401,
  ],
  ['has no entry any more', 'deleted', (id) => adminClient(local).deleteEntry(id), 403],
  [
    'shows an SVID that has expired',
    'expired',
    async () => {
      ahead += 30
    },
    401,
  ],
]
for (const [what, id, change, status] of LATE) {
  test(`who ${what} before the body was there is refused, and nothing is recorded for it`, async () => {
    const spiffeId = `spiffe://example.com/late/${id}`
    await adminClient(local).createEntry({ id, spiffeId, selectors: ['unix:uid:1000'], x509Ttl: 20 })
    const agent = new Agent({ ...(await certificateOf(id)), rejectUnauthorized: false })
    const event = { type: 'agent.note', resource: { type: 'x', id: 'y' }, action: 'z', decision: 'none' }
    const body = JSON.stringify({ ...event, correlationId: `late-${id}` })
    const headers = { 'content-type': 'application/json', 'content-length': body.length, expect: '100-continue' }
    const answer = await new Promise<number | undefined>((resolve, reject) => {
      const path = '/v1/audit/events'
      const options = { host: 'localhost', port: server.port, path, method: 'POST', agent, headers }
      const sent = request(options, (response) => {
        response.resume()
        resolve(response.statusCode)
      })
      sent.on('error', reject)
      // The server has seen the head, and the caller as it was then.
      sent.once('continue', () => {
        sent.write(body.slice(0, 10))
        change(id).then(() => sent.end(body.slice(10)), reject)
      })
      sent.flushHeaders()
    })
    agent.destroy()
    assert.equal(answer, status)
    assert.deepEqual(await adminClient(local).listRecords({ correlationId: `late-${id}` }), [])
    ahead = 0
  })
}

test('an open connection does not outlive the credential it began with', async () => {
  const agent = new Agent({ ...(await certificateOf('bot')), keepAlive: true, rejectUnauthorized: false })
  const event = JSON.stringify({
    type: 'agent.note',
    resource: { type: 'x', id: 'y' },
    action: 'z',
    decision: 'none',
    correlationId: 'c',
  })
  const report = () => get('/v1/audit/events', { agent, method: 'POST', body: event })
  assert.equal((await report()).status, 201)
  ahead = 601
  assert.equal((await report()).json.code, 'operation.unauthenticated')
  ahead = 0
  agent.destroy()
})

test('who reports without end is told to wait, and another identity is heard', async () => {
  const selectors = ['unix:uid:1000']
  await adminClient(local).createEntry({ id: 'flooder', spiffeId: 'spiffe://example.com/flooder', selectors })
  const [flooder, other] = [await certificateOf('flooder'), await certificateOf('bot')]
  const body = JSON.stringify({
    type: 'agent.note',
    resource: { type: 'x', id: 'y' },
    action: 'z',
    decision: 'none',
    correlationId: 'flood',
  })
  const report = (certificate: ClientCertificate) => get('/v1/audit/events', { ...certificate, method: 'POST', body })
  let refused: Answer | undefined
  for (let n = 0; n < 1000 && refused === undefined; n += 1) {
    const answer = await report(flooder)
    if (answer.status !== 201) refused = answer
  }
  assert.deepEqual([refused?.status, refused?.json.code], [429, 'operation.rate_limited'])
  assert.match(refused?.retryAfter ?? '', /^[1-9]\d*$/)
  assert.equal((await report(other)).status, 201)
  const [record] = await adminClient(local).listRecords({ agent: 'spiffe://example.com/flooder', decision: 'deny' })
  assert.deepEqual(record?.reasons, ['operation.rate_limited'])
})

test('a workload whose entry was deleted reports no more, and one that lost its rights administers no more', async () => {
  const admin = adminClient(local)
  const entry = { id: 'temp', spiffeId: 'spiffe://example.com/temp', selectors: ['unix:uid:1000'], admin: true }
  const { revision } = await admin.createEntry(entry)
  const certificate = await certificateOf('temp')
  const status = async () => (await get('/v1/status', certificate)).status
  assert.equal(await status(), 200)
  await admin.updateEntry('temp', { ...entry, admin: false }, revision)
  assert.equal(await status(), 403)
  const body = JSON.stringify({
    type: 'agent.note',
    resource: { type: 'x', id: 'y' },
    action: 'z',
    decision: 'none',
    correlationId: 'c',
  })
  const report = async () => (await get('/v1/audit/events', { ...certificate, method: 'POST', body })).json.code
  assert.equal(await report(), undefined)
  await admin.deleteEntry('temp')
  assert.equal(await report(), 'operation.not_permitted')
})

test('a plan has room for thousands of entries, and another body has not', async () => {
  const entries = Array.from({ length: 3000 }, (_, index) => {
    return { spiffeId: `spiffe://example.com/many/${index}`, selectors: [`unix:uid:${index}`], dnsNames: ['a', 'b'] }
  })
  const send = (path: string, body: object) => local.send({ method: 'POST', path, body })
  const plan = (await send('/v1/entry-plans', { entries })) as JsonObject
  assert.equal((plan.changes as unknown[]).length, entries.length)
  await assert.rejects(send('/v1/entries', { dnsNames: Array.from({ length: 10_001 }, () => 0) }), {
    code: 'json.too_large',
  })
})

test('a registrar is known by its certificate while it has an entry, and registers what was delegated to it', async () => {
  const admin = adminClient(local)
  const spiffeId = 'spiffe://example.com/team-a/ci'
  await admin.createEntry({ id: 'ci', spiffeId, selectors: ['unix:uid:1000'] })
  const certificate = await certificateOf('ci')
  const post = (path: string, body: object) => get(path, { ...certificate, method: 'POST', body: JSON.stringify(body) })
  const bot = { id: 'a-bot', spiffeId: 'spiffe://example.com/team-a/bot', selectors: ['unix:user:a-bot'] }
  const { json } = await post('/v1/entry-plans', { entries: [bot], prune: { idPrefix: '/' } })
  const changes = json.changes as readonly JsonObject[]
  assert.deepEqual(
    changes.map(({ action, id, entry }) => [action, id ?? (entry as JsonObject).id]),
    [['create', 'a-bot']],
  )
  assert.equal((await post('/v1/entry-changes', { changes })).status, 200)
  const seen = (await get('/v1/entries', certificate)).json.entries as readonly JsonObject[]
  assert.deepEqual(
    seen.map(({ id }) => id),
    ['a-bot'],
  )
  const NOT_FOUND = 'provisioning.entry_not_found'
  // One row per thing that was not.
  for (const [path, body, status, code] of [
    ['/v1/entries', { ...bot, id: 'x', spiffeId: 'spiffe://example.com/agent/x' }, 403, 'provisioning.not_delegated'],
    // That of somebody else, and one that nobody has: a registrar cannot tell.
    ['/v1/entry-changes', { changes: [{ action: 'delete', id: 'bot', revision: 1 }] }, 404, NOT_FOUND],
    ['/v1/entry-changes', { changes: [{ action: 'delete', id: 'none', revision: 1 }] }, 404, NOT_FOUND],
    ['/v1/entry-changes', { changes: [{ action: 'remove', id: 'a-bot' }] }, 400, 'operation.request_malformed'],
    ['/v1/entry-plans', { entries: [], prune: {} }, 400, 'operation.request_malformed'],
    ['/v1/entry-plans', { entries: [], prune: { idPrefix: '/team-a' } }, 400, 'operation.request_malformed'],
    ['/v1/keys/rotate', { purpose: 'jwt' }, 403, 'operation.not_permitted'],
  ] as const) {
    const answer = await post(path, body)
    assert.deepEqual([answer.status, answer.json.code], [status, code], path)
  }
  assert.equal((await get('/v1/entries/bot', certificate)).json.code, 'provisioning.entry_not_found')
  assert.equal((await get('/v1/retired-entries', certificate)).json.code, 'operation.not_permitted')
  await admin.deleteEntry('ci')
  assert.equal((await get('/v1/entries', certificate)).status, 403)
})

test('strangers do not fill the log: what is beyond the limit is counted, and the log says so', async () => {
  const agent = new Agent({ keepAlive: true, rejectUnauthorized: false })
  const before = (await adminClient(local).listRecords({ type: 'authentication.refused' })).length
  for (let i = 0; i < 60; i += 1) assert.equal((await get('/v1/entries', { agent })).status, 401)
  agent.destroy()
  const refused = await adminClient(local).listRecords({ type: 'authentication.refused', limit: 1000 })
  assert.ok(refused.length - before <= 40, 'two windows at most')
  assert.ok((await adminClient(local).listRecords({ type: 'monitoring.refusals-limited' })).length >= 1)
  const metrics = await get('/metrics', await certificateOf('root'))
  assert.match(metrics.body, /^aims_refusals_omitted_total [1-9]/m)
  // Others, known by their certificate, are recorded as ever.
  const answer = await get('/v1/entries', await certificateOf('bot'))
  const [record] = await adminClient(local).listRecords({ correlationId: String(answer.json.id) })
  assert.deepEqual(record?.reasons, ['operation.not_permitted'])
})

test('a session is not resumed', async () => {
  const agent = new Agent({ ...(await certificateOf('bot')), rejectUnauthorized: false, maxCachedSessions: 10 })
  for (const _ of [1, 2, 3]) assert.equal((await get('/healthz', { agent })).resumed, false)
  agent.destroy()
})

test('TLS 1.2 is refused', async () => {
  await assert.rejects(get('/healthz', { maxVersion: 'TLSv1.2' }), /protocol version|EPROTO|alert/i)
})
