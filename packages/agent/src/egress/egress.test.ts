import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http'
import { createServer as createHttpsServer } from 'node:https'
import { type AddressInfo, connect, createServer as createTcpServer } from 'node:net'
import { after, before, test } from 'node:test'
import type { TLSSocket } from 'node:tls'
import { brotliCompressSync, gzipSync } from 'node:zlib'
import type { AttestationResult } from 'aims/attestation'
import {
  createAuthenticator,
  createMemoryReplayStore,
  peerPrincipal,
  rotatingServer,
  serverTlsOptions,
} from 'aims/authentication'
import { AimsError, type JsonObject, noObserver } from 'aims/base'
import { bundleSource, type RevocationStatus } from 'aims/credentials'
import { isExactly, parseSpiffeId } from 'aims/identifiers'
import { protect } from 'aims/node'
import { AGENT, type Answer, API_KEY, startTestBroker, type TestBroker } from '../../../../test/support/broker.ts'
import { type TlsHost, tlsHost } from '../../../../test/support/tls-host.ts'
import { holdIdentity } from './held-identity.ts'

const SERVICE = 'spiffe://example.com/service/ledger'
const AUDIENCE = 'https://api.example.com'

const NOBODY: AttestationResult = {
  type: 'unix',
  selectors: [],
  verifiedAt: 0,
  binding: 'channel',
  freshness: 'live',
  debug: false,
  warnings: [],
  attributes: {},
}

let host: TlsHost
let world: TestBroker
let listener: RequestListener
let received: IncomingMessage | undefined
let echoPort = 0
/** How what was begun is ended, be it all of it or not. */
const open: (() => unknown)[] = []

/** What the destination got, as JSON: a service that tells everything. */
const echo: RequestListener = (request, response) => {
  const chunks: Buffer[] = []
  request.on('data', (chunk) => chunks.push(chunk))
  request.on('end', () => {
    response.setHeader('content-type', 'application/json')
    response.end(
      JSON.stringify({
        method: request.method,
        url: request.url,
        headers: request.rawHeaders,
        body: Buffer.concat(chunks).toString('latin1'),
      }),
    )
  })
}

function rules(authorities: string): JsonObject {
  const base = { methods: ['GET', 'POST', 'HEAD'], paths: ['/**'], agents: [AGENT], authorities }
  const weather = { ...base, to: 'https://weather.example.com' }
  const place = (where: object) => ({ kind: 'secret', secret: 'weather-key', ...where })
  return {
    weather: { ...weather, credential: place({ header: 'x-api-key' }), maxRequest: 100_000, maxResponse: 1_000_000 },
    bearer: { ...weather, credential: place({ header: 'authorization', prefix: 'Bearer ' }) },
    query: { ...weather, credential: place({ query: 'key' }) },
    basic: { ...weather, credential: place({ basic: 'bot' }) },
    vendor: { ...weather, credential: place({ header: 'x-vendor-key' }) },
    lost: { ...weather, credential: { kind: 'secret', secret: 'no-such', header: 'x-api-key' } },
    strict: { ...weather, credential: place({ header: 'x-api-key' }), ownCredentials: 'refuse' },
    limited: { ...weather, credential: { kind: 'none' }, rate: '2/3600s' },
    narrow: { ...weather, paths: ['/v1/events/*'], methods: ['GET'], credential: { kind: 'none' } },
    others: { ...weather, agents: ['spiffe://example.com/agent/other'], credential: { kind: 'none' } },
    selected: { ...weather, selectors: ['unix:path:/no/such/program'], credential: { kind: 'none' } },
    patient: { ...weather, credential: { kind: 'none' }, timeout: 1 },
    calendar: { ...base, to: 'https://api.example.com:444', credential: { kind: 'wit', audience: AUDIENCE } },
    signed: {
      ...base,
      to: 'https://api.example.com:444',
      credential: { kind: 'http-signature', audience: AUDIENCE, peer: SERVICE },
    },
    stranger: {
      ...base,
      to: 'https://api.example.com:444',
      credential: { kind: 'http-signature', audience: AUDIENCE, peer: `${SERVICE}2` },
    },
    token: { ...base, to: 'https://api.example.com', credential: { kind: 'jwt-svid', audience: AUDIENCE } },
    ledger: { ...base, to: 'https://localhost:445', credential: { kind: 'mtls', peer: SERVICE } },
    imposter: { ...base, to: 'https://localhost:445', credential: { kind: 'mtls', peer: `${SERVICE}2` } },
    pipe: {
      to: `https://127.0.0.1:${echoPort}`,
      agents: [AGENT],
      credential: { kind: 'tunnel' },
      networks: ['127.0.0.0/8'],
    },
  }
}

before(async () => {
  const pipe = createTcpServer((socket) => void socket.pipe(socket))
  pipe.listen(0, '127.0.0.1')
  await once(pipe, 'listening')
  echoPort = (pipe.address() as AddressInfo).port
  open.push(() => pipe.close())
  host = await tlsHost(['weather.example.com', 'api.example.com'], (request, response) => {
    received = request
    listener(request, response)
  })
  open.push(() => host[Symbol.asyncDispose]())
  const ports: Record<number, number> = {}
  world = await startTestBroker({ host, ports, port: 0, makeRules: rules })
  open.push(() => world[Symbol.asyncDispose]())
  const { backend } = world
  const uid = `unix:uid:${process.geteuid?.()}`
  backend.set([{ spiffeId: SERVICE, selector: 'unix:path:/service' }])
  const attestation: AttestationResult = { ...NOBODY, selectors: ['unix:path:/service'] }
  const [identity] = (await backend.snapshot(attestation)).identities
  assert.ok(identity)
  const service = holdIdentity(identity)
  backend.set([{ spiffeId: AGENT, selector: uid }])

  const authenticator = createAuthenticator({
    bundles: bundleSource(backend.bundle),
    audiences: [AUDIENCE],
    replays: createMemoryReplayStore({ capacity: 1000 }),
    observer: noObserver,
    methods: ['http-signature', 'wit+wpt'],
    requireBinding: { method: true, target: true, body: true },
    responses: { wits: service },
  })
  const api = await tlsHost(
    ['api.example.com'],
    protect(authenticator, (request, response, { principal }) => {
      request.resume()
      response.setHeader('content-type', 'text/plain')
      response.end(`${principal.id} by ${principal.method}`)
    }),
  )
  open.push(() => api[Symbol.asyncDispose]())
  ports[444] = api.port
  const source = { x509Svid: () => service.x509Svid() }
  const ledger = createHttpsServer(serverTlsOptions(source), (request, response) => {
    response.end(peerPrincipal(request.socket as TLSSocket).id)
  })
  const peer = isExactly(parseSpiffeId(AGENT))
  rotatingServer(ledger, source, { bundles: bundleSource(backend.bundle), peer, observer: noObserver })
  ledger.listen(0, '127.0.0.1')
  await once(ledger, 'listening')
  open.push(
    () => ledger.close(),
    () => ledger.closeAllConnections(),
  )
  ports[445] = (ledger.address() as AddressInfo).port
})

after(async () => {
  for (const close of open.reverse()) await close()
})

const fieldOf = (answer: Answer, name: string): string | undefined => {
  const { headers } = JSON.parse(answer.body) as { readonly headers: readonly string[] }
  const at = headers.findIndex((one, i) => i % 2 === 0 && one.toLowerCase() === name)
  return at === -1 ? undefined : headers[at + 1]
}

test('a request gets the secret of its rule, and the caller does not see it [provisioning.egress.01] [provisioning.egress.06]', async () => {
  listener = echo
  const answer = await world.ask('/weather/v1/today?city=Bonn')
  assert.equal(answer.status, 200)
  assert.equal(received?.headers['x-api-key'], API_KEY)
  assert.equal(received?.headers.host, 'weather.example.com')
  assert.equal(received?.url, '/v1/today?city=Bonn')
  assert.equal(fieldOf(answer, 'x-api-key'), '*'.repeat(API_KEY.length))
  const record = world.records.findLast(({ type }) => type === 'authorization.brokered')
  assert.equal(record?.agent?.id, AGENT)
  assert.equal(record?.decision, 'allow')
  assert.deepEqual(record?.policy?.ids, ['weather'])
  assert.equal(record?.correlationId, answer.headers['x-request-id'])
  assert.ok(!JSON.stringify(world.records).includes(API_KEY))
})

// One row per way in which older services take secrets.
for (const [rule, shows] of [
  ['bearer', (request: IncomingMessage) => request.headers.authorization === `Bearer ${API_KEY}`],
  ['query', (request: IncomingMessage) => request.url === `/x?a=1&key=${encodeURIComponent(API_KEY)}`],
  [
    'basic',
    (request: IncomingMessage) =>
      request.headers.authorization === `Basic ${Buffer.from(`bot:${API_KEY}`).toString('base64')}`,
  ],
] as const) {
  test(`a secret goes where ${rule} says, and comes back from nowhere`, async () => {
    listener = echo
    const answer = await world.ask(`/${rule}/x?a=1`)
    assert.ok(received !== undefined && shows(received), received?.url)
    assert.ok(!answer.body.includes(API_KEY.slice(0, 16)))
    assert.ok(!answer.body.includes(Buffer.from(`bot:${API_KEY}`).toString('base64').slice(8, 32)))
    assert.match(answer.body, /\*{16}/)
  })
}

test('a workload proves itself by its WIT, its signature, its token or its certificate [provisioning.egress.02]', async () => {
  assert.equal(
    (await world.ask('/calendar/v1/events', { method: 'POST', body: '{"a":1}' })).body,
    `${AGENT} by wit+wpt`,
  )
  assert.equal(
    (await world.ask('/signed/v1/events', { method: 'POST', body: '{"a":1}' })).body,
    `${AGENT} by http-signature`,
  )
  assert.equal((await world.ask('/ledger/')).body, AGENT)
  listener = echo
  const answer = await world.ask('/token/')
  const sent = received?.headers.authorization ?? ''
  assert.match(sent, /^Bearer eyJ/)
  assert.ok(!answer.body.includes(sent.slice(-80)))
})

test('a destination that cannot prove who it is gets nothing', async () => {
  assert.equal((await world.ask('/imposter/')).code, 'outbound.tls_failed')
  assert.equal((await world.ask('/stranger/')).code, 'authentication.peer_unexpected')
})

// As base URL and as proxy: the same destination, over TLS, with the same credential.
for (const [how, target, headers] of [
  ['a base URL with the host', '/https/weather.example.com/v1/x', {}],
  ['a proxy for http', 'http://weather.example.com/v1/x', { host: 'weather.example.com' }],
  ['a proxy for http on port 80', 'http://weather.example.com:80/v1/x', { host: 'weather.example.com:80' }],
  ['a proxy for https', 'https://weather.example.com/v1/x', { host: 'weather.example.com' }],
] as const) {
  test(`the broker is used as ${how} [provisioning.egress.01]`, async () => {
    listener = echo
    const answer = await world.ask(target, { headers })
    assert.equal(answer.status, 200, answer.body)
    assert.equal(received?.url, '/v1/x')
    assert.equal(received?.headers['x-api-key'], API_KEY)
  })
}

// One row per way to be refused before anything is sent.
const REFUSED: readonly (readonly [
  what: string,
  target: string,
  code: string,
  options?: Parameters<TestBroker['ask']>[1],
])[] = [
  ['a rule that is not there', '/nothing/x', 'egress.no_rule'],
  ['a host without a rule', '/https/evil.example.com/x', 'egress.no_rule'],
  [
    'a host without a rule, as a proxy',
    'http://evil.example.com/x',
    'egress.no_rule',
    { headers: { host: 'evil.example.com' } },
  ],
  ['another port of a host with a rule', '/https/weather.example.com:8443/x', 'egress.no_rule'],
  ['a name below one with a rule', '/https/a.weather.example.com/x', 'egress.no_rule'],
  ['a rule for another workload', '/others/x', 'egress.caller_denied'],
  ['a rule for another program', '/selected/x', 'egress.caller_denied'],
  ['a method that the rule does not name', '/narrow/v1/events/1', 'egress.method_denied', { method: 'DELETE' }],
  ['a path that the rule does not name', '/narrow/v1/admin', 'egress.path_denied'],
  ['a path two levels below', '/narrow/v1/events/1/2', 'egress.path_denied'],
  ['a path with a dot segment', '/narrow/v1/events/../admin', 'egress.target_malformed'],
  ['a path with an escaped slash', '/narrow/v1/events/a%2fb', 'egress.target_malformed'],
  ['a path with two slashes', '/narrow/v1//events', 'egress.target_malformed'],
  ['a user in the host', '/https/bot@weather.example.com/x', 'egress.target_malformed'],
  ['a host in capitals', '/https/WEATHER.example.com/x', 'egress.target_malformed'],
  ['a host as a number', '/https/2130706433/x', 'egress.target_malformed'],
  ['another scheme', 'ftp://weather.example.com/x', 'egress.target_malformed'],
  ['TRACE', '/weather/x', 'egress.method_denied', { method: 'TRACE' }],
  [
    'a host that is not the one of Host',
    'http://weather.example.com/x',
    'egress.request_malformed',
    { headers: { host: 'api.example.com' } },
  ],
  [
    'another protocol',
    '/weather/x',
    'egress.request_malformed',
    { headers: { connection: 'upgrade', upgrade: 'websocket' } },
  ],
  ['a field in a second spelling', '/weather/x', 'egress.request_malformed', { headers: { x_api_key: 'a' } }],
  ['a field in a third spelling', '/weather/x', 'egress.request_malformed', { headers: { 'x.original!url': '/a' } }],
  [
    'the field of the secret in a third spelling',
    '/vendor/x',
    'egress.request_malformed',
    { headers: { 'x.vendor.key': 'a' } },
  ],
  [
    'the field of the secret in a second spelling',
    '/vendor/x',
    'egress.request_malformed',
    { headers: { x_vendor_key: 'a' } },
  ],
  [
    'an Authorization where the rule refuses it',
    '/strict/x',
    'egress.own_credentials',
    { headers: { authorization: 'Bearer a' } },
  ],
  ['a Cookie where the rule refuses it', '/strict/x', 'egress.own_credentials', { headers: { cookie: 'a=b' } }],
  [
    'the field of the secret where the rule refuses it',
    '/strict/x',
    'egress.own_credentials',
    { headers: { 'x-api-key': 'a' } },
  ],
  ['the parameter of the secret', '/query/x?key=a', 'egress.own_credentials'],
  ['the parameter of the secret in escapes', '/query/x?a=1&%6bEy=a', 'egress.own_credentials'],
  ['a secret that is not there', '/lost/x', 'egress.secret_unknown'],
  [
    'a body beyond what can be proven',
    '/calendar/x',
    'egress.body_too_large',
    { method: 'POST', body: Buffer.alloc(1_100_000) },
  ],
]

for (const [what, target, code, options] of REFUSED) {
  test(`${what} is refused, told by a code and an id, and recorded [provisioning.egress.03]`, async () => {
    listener = () => assert.fail('nothing may arrive')
    world.records.length = 0
    const answer = await world.ask(target, options)
    assert.equal(answer.code, code, answer.body)
    assert.ok(answer.status >= 400 && answer.status < 600)
    assert.equal(JSON.parse(answer.body).id, answer.headers['x-request-id'])
    const record = world.records.findLast(
      ({ type }) => type === 'authorization.brokered' || type.startsWith('monitoring.'),
    )
    // The first ones of a minute are recorded, the rest is counted.
    assert.ok(record === undefined || record.type.startsWith('monitoring.') || record.decision === 'deny')
  })
}

test('what a caller says of itself goes no further', async () => {
  listener = echo
  const headers = {
    authorization: 'Bearer of-the-caller',
    cookie: 'session=1',
    'x-api-key': 'of-the-caller',
    'workload-identity-token': 'x',
    'x-forwarded-for': '10.0.0.1',
    forwarded: 'for=10.0.0.1',
    'x-original-url': '/admin',
    'x-rewrite-url': '/admin',
    'x-original-method': 'DELETE',
    'x-host': 'other.example.com',
    'client-cert': ':AAAA:',
    'true-client-ip': '10.0.0.1',
    range: 'bytes=0-3',
    'proxy-authorization': 'Basic x',
    connection: 'x-secret-hop',
    'x-secret-hop': '1',
    'x-mine': 'stays',
  }
  await world.ask('/weather/x', { headers })
  const got = received?.headers ?? {}
  assert.equal(got['x-api-key'], API_KEY)
  assert.equal(got['x-mine'], 'stays')
  assert.equal(got['accept-encoding'], 'identity')
  for (const name of Object.keys(headers)) {
    if (name !== 'x-api-key' && name !== 'x-mine' && name !== 'connection') assert.equal(got[name], undefined, name)
  }
})

// One row per way in which an answer could give something away.
for (const [what, answer] of [
  ['in a field', (response: ServerResponse) => response.setHeader('x-debug', `key=${API_KEY}`).end()],
  ['in a cookie', (response: ServerResponse) => response.setHeader('set-cookie', `k=${API_KEY}`).end()],
  [
    'in the name of a field',
    (response: ServerResponse) => response.setHeader(`x-${API_KEY.replace('/', '')}`, '1').end(),
  ],
  [
    'in the target of a redirect',
    (response: ServerResponse) =>
      response.writeHead(302, { location: `https://evil.example.com/?k=${encodeURIComponent(API_KEY)}` }).end(),
  ],
  [
    'in the reason',
    (response: ServerResponse) => {
      response.statusMessage = `no ${API_KEY}`
      response.end()
    },
  ],
  [
    'compressed with gzip',
    (response: ServerResponse) => response.setHeader('content-encoding', 'gzip').end(gzipSync(`<${API_KEY}>`)),
  ],
  [
    'compressed with brotli',
    (response: ServerResponse) => response.setHeader('content-encoding', 'br').end(brotliCompressSync(`<${API_KEY}>`)),
  ],
  [
    'byte by byte',
    (response: ServerResponse) => {
      for (const byte of API_KEY) response.write(byte)
      response.end()
    },
  ],
  [
    'in an error',
    (response: ServerResponse) => {
      response.statusCode = 500
      response.end(`{"error":"bad key ${API_KEY}"}`)
    },
  ],
  [
    'in a trailer',
    (response: ServerResponse) => {
      response.setHeader('trailer', 'x-key')
      response.write('a')
      response.addTrailers({ 'x-key': API_KEY })
      response.end()
    },
  ],
] as const) {
  test(`a secret that comes back ${what} is not shown [provisioning.egress.06]`, async () => {
    listener = (_, response) => void answer(response)
    const seen = await world.ask('/weather/x')
    const all = JSON.stringify([seen.headers, seen.body, seen.status])
    assert.ok(!all.includes(API_KEY.slice(0, 16)) && !all.includes(encodeURIComponent(API_KEY).slice(0, 16)), all)
  })
}

// One row per way in which a destination proves who it is, and what is told of one that was revoked.
for (const [rule, code] of [
  ['ledger', 'outbound.tls_failed'],
  ['signed', 'credential.revoked'],
] as const) {
  test(`a destination that was revoked is not believed any more: ${rule} [provisioning.egress.13]`, async () => {
    const { backend } = world
    let status: RevocationStatus = 'good'
    backend.revocations = { statusOf: ({ subject }) => (String(subject) === SERVICE ? status : 'good') }
    backend.rotate()
    try {
      assert.equal((await world.ask(`/${rule}/x`)).status, 200)
      status = 'revoked'
      // Also over the connection that is open.
      assert.equal((await world.ask(`/${rule}/x`)).code, code)
      status = 'unknown'
      assert.ok((await world.ask(`/${rule}/x`)).status >= 500)
      status = 'good'
      assert.equal((await world.ask(`/${rule}/x`)).status, 200)
    } finally {
      backend.revocations = undefined
    }
  })
}

test('a bearer token does not come back later either, nor to another workload [provisioning.egress.06]', async () => {
  listener = echo
  assert.equal((await world.ask('/token/x')).status, 200)
  const token = String(received?.headers.authorization).slice('Bearer '.length)
  assert.match(token, /^ey[\w-]+\.[\w-]+\.[\w-]{80,}$/)
  // A list of the last requests, as services have it for those who develop with them.
  listener = (_, response) => void response.setHeader('x-last', token).end(`last: ${token}`)
  const [, , signature = ''] = token.split('.')
  const requireHidden = async (target: string): Promise<void> => {
    const answer = await world.ask(target)
    assert.equal(answer.status, 200)
    assert.ok(answer.body.startsWith('last: ey') && answer.body.endsWith('*'.repeat(signature.length)), answer.body)
    assert.ok(!JSON.stringify(answer.headers).includes(signature.slice(0, 16)))
  }
  await requireHidden('/patient/x')
  world.backend.set([{ spiffeId: 'spiffe://example.com/agent/other', selector: `unix:uid:${process.geteuid?.()}` }])
  try {
    await requireHidden('/others/x')
  } finally {
    world.backend.set([{ spiffeId: AGENT, selector: `unix:uid:${process.geteuid?.()}` }])
  }
})

// One row per answer that cannot be looked through, or does not come.
for (const [what, answer, code, rule = 'weather'] of [
  [
    'of an unknown coding',
    (response: ServerResponse) => void response.setHeader('content-encoding', 'zip').end('x'),
    'egress.response_invalid',
  ],
  [
    'of two codings',
    (response: ServerResponse) => void response.setHeader('content-encoding', 'gzip, gzip').end('x'),
    'egress.response_invalid',
  ],
  [
    'that says it is too large',
    (response: ServerResponse) => void response.setHeader('content-length', '1000001').write('x'),
    'egress.response_too_large',
  ],
  [
    'that is compressed on the way',
    (response: ServerResponse) => {
      const head = 'HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: gzip, chunked\r\n\r\n'
      const body = gzipSync(`<${API_KEY}>`)
      response.socket?.write(`${head}${body.length.toString(16)}\r\n`)
      response.socket?.write(body)
      response.socket?.end('\r\n0\r\n\r\n')
    },
    'egress.response_invalid',
  ],
  ['that breaks off', (response: ServerResponse) => void response.socket?.destroy(), 'outbound.unreachable'],
  ['that does not come', () => undefined, 'outbound.timeout', 'patient'],
  [
    'of another protocol',
    (response: ServerResponse) =>
      void response.socket?.end('HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n'),
    'egress.response_invalid',
  ],
] as const) {
  test(`an answer ${what} is refused [provisioning.egress.07]`, async () => {
    listener = (_, response) => answer(response)
    assert.equal((await world.ask(`/${rule}/x`)).code, code)
  })
}

test('an answer that grows beyond the limit ends before its end', async () => {
  listener = (_, response) => void response.setHeader('content-encoding', 'gzip').end(gzipSync(Buffer.alloc(3_000_000)))
  await assert.rejects(world.ask('/weather/x'), { code: 'ECONNRESET' })
})

test('bodies stream in both directions, and one that is too large is cut off', async () => {
  listener = (request, response) => void request.pipe(response)
  const body = Buffer.alloc(90_000, 'abc ')
  const answer = await world.ask('/weather/x', { method: 'POST', body, headers: { 'transfer-encoding': 'chunked' } })
  assert.equal(answer.body, body.toString())
  const large = await world
    .ask('/weather/x', { method: 'POST', body: Buffer.alloc(200_000), headers: { 'transfer-encoding': 'chunked' } })
    .catch((error: Error) => error)
  assert.ok(large instanceof Error || large.code === 'egress.body_too_large', JSON.stringify(large))
})

test('a workload that has used up its rate waits [provisioning.egress.04]', async () => {
  listener = echo
  assert.equal((await world.ask('/limited/1')).status, 200)
  assert.equal((await world.ask('/limited/2')).status, 200)
  const answer = await world.ask('/limited/3')
  assert.equal(answer.code, 'egress.rate_limited')
  assert.equal(answer.status, 429)
})

test('what cannot be recorded is not passed on [provisioning.egress.05]', async () => {
  listener = () => assert.fail('nothing may arrive')
  world.failAudit(new AimsError('operation.server_unreachable', 'away'))
  try {
    assert.equal((await world.ask('/weather/x')).code, 'operation.server_unreachable')
    assert.equal((await world.ask('/nothing/x')).code, 'operation.server_unreachable')
  } finally {
    world.failAudit(undefined)
  }
})

test('a process without an identity gets nothing, also one that an agent has started [provisioning.model.06]', async () => {
  listener = () => assert.fail('nothing may arrive')
  world.backend.set([{ spiffeId: AGENT, selector: 'unix:path:/usr/bin/agent' }])
  try {
    assert.equal((await world.ask('/weather/x')).code, 'provisioning.no_identity')
  } finally {
    world.backend.set([{ spiffeId: AGENT, selector: `unix:uid:${process.geteuid?.()}` }])
  }
})

test('a caller whom the kernel does not name is refused, and recorded [provisioning.egress.08]', async () => {
  const peerCredentials = {
    read: () => {
      throw new AimsError('attestation.peer_unreadable', 'not a socket that the kernel knows')
    },
  }
  await using stranger = await startTestBroker({ host, makeRules: rules, peerCredentials })
  const answer = await stranger.ask('/weather/x')
  assert.deepEqual([answer.status, answer.code], [403, 'attestation.peer_unreadable'])
  const [record] = stranger.records
  assert.deepEqual([record?.decision, record?.reasons], ['deny', ['attestation.peer_unreadable']])
  assert.equal(record?.correlationId, answer.headers['x-request-id'])
})

test('a secret that is put, or taken away, counts for the next request', async () => {
  const { putSecret, deleteSecret } = await import('./secrets/secret-store.ts')
  listener = echo
  putSecret(world.files, 'no-such', 'another-secret-of-that-kind', 1)
  const answer = await world.ask('/lost/x')
  assert.equal(received?.headers['x-api-key'], 'another-secret-of-that-kind')
  assert.ok(!answer.body.includes('another-secret'))
  deleteSecret(world.files, 'no-such')
  assert.equal((await world.ask('/lost/x')).code, 'egress.secret_unknown')
})

// Over the port: the caller is known by /proc, and the name it came by is looked at.
test('a caller on the port is who the kernel says [provisioning.egress.08]', async () => {
  listener = echo
  const { port } = world.broker
  const answer = await world.ask('/weather/x', { port, headers: { host: `localhost:${port}` } })
  assert.equal(answer.status, 200, answer.body)
  const record = world.records.findLast(({ type }) => type === 'authorization.brokered')
  assert.equal(record?.agent?.method, 'loopback')
  assert.equal(record?.details?.pid, process.pid)
})

// It names a mode of fetch, as browsers do, and comes from none.
test('the fetch of Node is served on the port [provisioning.egress.08]', async () => {
  listener = echo
  const answer = await fetch(`http://localhost:${world.broker.port}/weather/x`)
  assert.equal(answer.status, 200, await answer.text())
  assert.equal(received?.headers['sec-fetch-mode'], 'cors')
})

for (const [what, headers] of [
  ['a name of somebody else that leads here', { host: 'rebound.example.com' }],
  ['a page', { host: 'localhost', origin: 'https://evil.example.com' }],
  ['a script of a page', { host: 'localhost', 'sec-fetch-mode': 'cors', 'sec-fetch-site': 'cross-site' }],
  ['an image of a page', { host: 'localhost', 'sec-fetch-dest': 'image' }],
  ['a link of a page', { host: 'localhost', 'sec-fetch-mode': 'navigate' }],
] as const) {
  test(`a request to the port by ${what} is refused [provisioning.egress.08]`, async () => {
    listener = () => assert.fail('nothing may arrive')
    const { port } = world.broker
    const named = headers.host === 'localhost' ? { ...headers, host: `localhost:${port}` } : headers
    assert.equal((await world.ask('/weather/x', { port, headers: named })).code, 'egress.host_refused')
  })
}

/** Sends bytes as they are, and gives the first line of the answer. */
async function raw(bytes: string): Promise<string> {
  const socket = connect(world.broker.socketPath)
  socket.on('error', () => undefined)
  socket.write(bytes)
  let text = ''
  for await (const chunk of socket) {
    text += chunk
    if (text.includes('\r\n\r\n')) break
  }
  socket.destroy()
  return text
}

// One row per message that two parsers could read differently.
for (const [what, lines] of [
  ['two lengths', 'Content-Length: 1\r\nContent-Length: 2\r\n\r\nab'],
  ['two equal lengths', 'Content-Length: 2\r\nContent-Length: 2\r\n\r\nab'],
  ['a length and chunks', 'Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'],
  ['two codings', 'Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n'],
  ['a coding that is none', 'Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n'],
  ['a folded field', 'A: b\r\n c\r\n\r\n'],
  ['a blank before the colon', 'Content-Length : 0\r\n\r\n'],
  ['a bare line feed', 'A: b\nContent-Length: 0\r\n\r\n'],
  ['two Hosts', 'Host: localhost\r\n\r\n'],
] as const) {
  test(`a request with ${what} is refused [provisioning.egress.03]`, async () => {
    listener = () => assert.fail('nothing may arrive')
    assert.match(
      await raw(`POST /weather/x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n${lines}`),
      /^HTTP\/1\.1 400 /,
    )
  })
}

test('a request without Host is refused', async () => {
  assert.match(
    await raw('GET /weather/x HTTP/1.1\r\nConnection: close\r\n\r\n'),
    /^HTTP\/1\.1 400 [\s\S]*egress\.request_malformed/,
  )
})

test('a tunnel is there only where an operator said so, and nothing is attached to it [provisioning.egress.09]', async () => {
  assert.match(
    await raw('CONNECT weather.example.com:443 HTTP/1.1\r\nHost: weather.example.com:443\r\n\r\n'),
    /^HTTP\/1\.1 403 [\s\S]*egress\.tunnel_denied/,
  )
  assert.match(await raw('CONNECT evil.example.com:443 HTTP/1.1\r\nHost: x\r\n\r\n'), /egress\.tunnel_denied/)
  assert.match(await raw('CONNECT weather.example.com HTTP/1.1\r\nHost: x\r\n\r\n'), /egress\.target_malformed/)
  const through = connect(world.broker.socketPath)
  through.write(`CONNECT 127.0.0.1:${echoPort} HTTP/1.1\r\nHost: x\r\n\r\nhello`)
  let text = ''
  for await (const chunk of through) {
    text += chunk
    if (text.endsWith('hello')) break
  }
  assert.match(text, /^HTTP\/1\.1 200 [\s\S]*\r\n\r\nhello$/)
})
