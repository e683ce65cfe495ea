import assert from 'node:assert/strict'
import { once } from 'node:events'
import {
  createServer as createHttpsServer,
  Agent as HttpsAgent,
  type Server as HttpsServer,
  type RequestOptions,
  request,
} from 'node:https'
import type { AddressInfo } from 'node:net'
import { after, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { type ConnectionOptions, connect, createServer, type Server, type TLSSocket, type TlsOptions } from 'node:tls'
import { mutableBundles, mutableSvid, testCa } from '../../../../../test/support/x509-identities.ts'
import type { AuditEvent, Observer } from '../../base/event.ts'
import { emptyBundle } from '../../credentials/bundle/source.ts'
import { isExactly, isMemberOf } from '../../identifiers/matcher.ts'
import { parseSpiffeId } from '../../identifiers/spiffe-id.ts'
import { createAuthenticator } from '../authenticate.ts'
import { createMemoryReplayStore } from '../replay/memory.ts'
import { type ClientTlsOptions, clientTlsOptions, mtlsAgent } from './client.ts'
import { peerCertificatesOf } from './material.ts'
import { peerPrincipal } from './peers.ts'
import { type RotatingServer, type RotatingServerOptions, rotatingServer, serverTlsOptions } from './server.ts'

const ca = await testCa('example.com', { intermediate: true })
const foreign = await testCa('foreign.example')
const anyone = isMemberOf(ca.bundle.trustDomain)
const service = await ca.svid('/service/events-api', { dnsNames: ['localhost'] })
const agent = await ca.svid('/agent/calendar-bot')
const bundles = mutableBundles(ca.bundle, foreign.bundle)
const opened: { close(): unknown }[] = []
after(() => opened.forEach((one) => void one.close()))

interface Running {
  readonly port: number
  readonly server: Server
  readonly control: RotatingServer
  readonly events: AuditEvent[]
  readonly source: ReturnType<typeof mutableSvid>
}

const OBSERVED = (events: AuditEvent[]): Observer => ({ record: async (event) => void events.push(event) })

// Answers every line with the caller's name.
async function listen(given: Partial<RotatingServerOptions> = {}, tls: TlsOptions = {}): Promise<Running> {
  const source = mutableSvid(service)
  const events: AuditEvent[] = []
  const server = createServer({ ...serverTlsOptions(source), ...tls })
  const control = rotatingServer(server, source, { bundles, peer: anyone, observer: OBSERVED(events), ...given })
  server.on('secureConnection', (socket: TLSSocket) => {
    socket.on('error', () => undefined)
    socket.on('data', () => socket.write(`${socket.destroyed ? 'destroyed' : peerPrincipal(socket).id}\n`))
  })
  server.listen(0)
  await once(server, 'listening')
  opened.push(server)
  return { port: (server.address() as AddressInfo).port, server, control, events, source }
}

const CLIENT: ClientTlsOptions = { bundles, peer: isExactly(service.spiffeId) }

function dial(port: number, options: ConnectionOptions): TLSSocket {
  const socket = connect({ port, host: 'localhost', servername: 'localhost', ...options })
  opened.push({ close: () => socket.destroy() })
  return socket
}

async function ask(socket: TLSSocket): Promise<string> {
  socket.write('who am I?\n')
  const [answer] = await once(socket, 'data')
  return String(answer).trim()
}

// A client that shows a certificate and believes every server.
function careless(svid = agent): ConnectionOptions {
  return {
    ...clientTlsOptions(mutableSvid(svid), { ...CLIENT, trustDomain: ca.bundle.trustDomain }),
    rejectUnauthorized: false,
  }
}

// What the client of a server that refuses it sees: an end, before any answer.
async function refusal(socket: TLSSocket): Promise<string> {
  socket.on('secureConnect', () => socket.write('who am I?\n'))
  return new Promise((resolve) => {
    socket.on('data', (data) => resolve(`answered ${data}`))
    socket.on('error', () => undefined)
    socket.on('close', () => resolve('closed'))
  })
}

test('both sides know who the other is, by a chain with an intermediate CA', async () => {
  const { port, events } = await listen()
  const socket = dial(port, clientTlsOptions(mutableSvid(agent), CLIENT))
  assert.equal(await ask(socket), 'spiffe://example.com/agent/calendar-bot')
  assert.equal(socket.getProtocol(), 'TLSv1.3')
  assert.deepEqual(events, [])
  socket.destroy()
})

const REFUSED_CLIENTS: readonly (readonly [
  string,
  () => Promise<ConnectionOptions>,
  string,
  Partial<RotatingServerOptions>?,
])[] = [
  // [authentication.mtls.01]
  [
    'B18 a client without a certificate',
    async () => ({ rejectUnauthorized: false }),
    'authentication.no_client_certificate',
  ],
  [
    'B16 an authentic client that is not expected',
    async () => careless(),
    'authentication.peer_unexpected',
    { peer: isExactly(parseSpiffeId('spiffe://example.com/agent/other')) },
  ],
  [
    'B16 a client of another trust domain than expected',
    async () => careless(await foreign.svid('/agent/calendar-bot')),
    'x509.wrong_trust_domain',
    { trustDomain: ca.bundle.trustDomain },
  ],
  [
    'a client of a trust domain without a bundle',
    async () => careless(await (await testCa('unknown.example')).svid('/a')),
    'x509.untrusted_domain',
  ],
  // [authentication.mtls.08]
  [
    'B15 a client certified by somebody who calls himself our CA',
    async () => careless(await (await testCa('example.com')).svid('/a')),
    'x509.untrusted',
  ],
]

for (const [what, options, code, given] of REFUSED_CLIENTS) {
  test(`refuses ${what} before it is answered, and records why`, async () => {
    const { port, events, server } = await listen(given)
    const refused = once(server, 'tlsClientError')
    assert.equal(await refusal(dial(port, await options())), 'closed')
    const [error] = await refused
    assert.equal(error.code, code)
    assert.deepEqual(
      events.map(({ type, reasons }) => [type, reasons]),
      [['authentication.refused', [code]]],
    )
  })
}

test('B14: a CA certificate does not authenticate its owner', async () => {
  const { port, server } = await listen()
  const { signer, certificate } = (await testCa()).authority
  const refused = once(server, 'tlsClientError')
  const held = { ...agent, certificates: [certificate.raw], key: signer as typeof agent.key }
  assert.equal(await refusal(dial(port, careless(held))), 'closed')
  assert.equal((await refused)[0].code, 'x509.leaf_is_ca')
})

// [authentication.mtls.11]
test('B18: TLS 1.2 is refused unless it is asked for, and then has AEAD ciphers only', async () => {
  const { port } = await listen()
  const old: ConnectionOptions = { ...careless(), minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2' }
  assert.equal(await refusal(dial(port, old)), 'closed')
  const compatible = await listen({ minVersion: 'TLSv1.2' }, { minVersion: 'TLSv1.2' })
  assert.equal(await ask(dial(compatible.port, old)), agent.spiffeId)
  assert.equal(await refusal(dial(compatible.port, { ...old, ciphers: 'ECDHE-ECDSA-AES128-SHA256' })), 'closed')
  const older: ConnectionOptions = {
    ...old,
    minVersion: 'TLSv1.1',
    maxVersion: 'TLSv1.1',
    ciphers: 'DEFAULT@SECLEVEL=0',
  }
  assert.equal(await refusal(dial(compatible.port, older)), 'closed')
})

test('clients without a certificate are let in where proofs are accepted too, and have no principal', async () => {
  const source = mutableSvid(service)
  const server = createServer(serverTlsOptions(source), (socket) => {
    assert.throws(() => peerPrincipal(socket), { code: 'authentication.no_client_certificate' })
    socket.end('nobody')
  })
  const observer = OBSERVED([])
  rotatingServer(server, source, { bundles, peer: anyone, observer, admitWithoutCertificate: true })
  server.listen(0)
  await once(server, 'listening')
  opened.push(server)
  const socket = dial((server.address() as AddressInfo).port, { rejectUnauthorized: false })
  assert.equal(String((await once(socket, 'data'))[0]), 'nobody')
})

const REFUSED_SERVERS: readonly (readonly [string, Partial<ClientTlsOptions>, string, string?])[] = [
  // [authentication.mtls.03] [credentials.x509-svid.19]
  [
    'B16 an authentic server that is not the one expected',
    { peer: isExactly(parseSpiffeId('spiffe://example.com/other')) },
    'authentication.peer_unexpected',
  ],
  [
    'a server of another trust domain',
    { trustDomain: foreign.bundle.trustDomain, peer: () => true },
    'SELF_SIGNED_CERT_IN_CHAIN|UNABLE_TO_GET_ISSUER',
  ],
  // [authentication.mtls.02]
  [
    'B17 a server with other host names than the one addressed',
    {},
    'authentication.peer_unexpected',
    'events.example.com',
  ],
]

for (const [what, change, code, servername = 'localhost'] of REFUSED_SERVERS) {
  test(`a client refuses ${what}`, async () => {
    const { port } = await listen()
    const options = clientTlsOptions(mutableSvid(agent), { ...CLIENT, ...change })
    const socket = dial(port, { ...options, servername, host: 'localhost' })
    const [error] = await once(socket, 'error')
    assert.match(error.code, new RegExp(code))
  })
}

// [authentication.mtls.03] [authentication.mtls.04]
test('B17: a server without host names is accepted by its identifier, unless a host name is required', async () => {
  const { port, source, control } = await listen()
  source.set(await ca.svid('/service/events-api'))
  control.refresh()
  const lenient = dial(port, clientTlsOptions(mutableSvid(agent), CLIENT))
  assert.equal(await ask(lenient), agent.spiffeId)
  const strict = dial(port, clientTlsOptions(mutableSvid(agent), { ...CLIENT, dnsName: 'required' }))
  assert.equal((await once(strict, 'error'))[0].code, 'authentication.peer_unexpected')
})

test('a client without an authority to trust does not connect', () => {
  const options = { ...CLIENT, bundles: mutableBundles(emptyBundle(ca.bundle.trustDomain)) }
  assert.throws(() => clientTlsOptions(mutableSvid(agent), options), { code: 'x509.untrusted_domain' })
})

// [authentication.mtls.09] [credentials.x509-path.05]
test('B19: neither side resumes a session, even if the other one would', async () => {
  const { port } = await listen()
  const sessions: Buffer[] = []
  for (let i = 0; i < 3; i += 1) {
    const session = sessions.at(-1)
    const socket = dial(port, { ...careless(), ...(session === undefined ? {} : { session }) })
    socket.on('session', (one) => sessions.push(one))
    assert.equal(await ask(socket), agent.spiffeId)
    assert.equal(socket.isSessionReused(), false)
    socket.destroy()
  }
  assert.ok(sessions.length > 0)
})

// [authentication.mtls.09] [credentials.x509-path.05]
test('B19: a resumed session is not taken for a handshake', async () => {
  // A server whose options were weakened after they were made.
  const { port, server, events } = await listen({}, { secureOptions: 0 })
  let session: Buffer | undefined
  const first = dial(port, careless())
  first.on('session', (one) => {
    session = one
  })
  assert.equal(await ask(first), agent.spiffeId)
  first.destroy()
  const refused = once(server, 'tlsClientError')
  const again = { ...careless(), secureOptions: 0 }
  assert.equal(await refusal(dial(port, session === undefined ? again : { ...again, session })), 'closed')
  assert.equal((await refused)[0].code, 'authentication.resumed_session')
  assert.equal(events.length, 1)
})

async function listenHttps(
  given: Partial<RotatingServerOptions> = {},
  tls: TlsOptions = {},
): Promise<Running & { readonly https: HttpsServer }> {
  const source = mutableSvid(service)
  const events: AuditEvent[] = []
  const server = createHttpsServer({ ...serverTlsOptions(source), ...tls }, (req, res) => {
    res.end(peerPrincipal(req.socket as TLSSocket).id)
  })
  const control = rotatingServer(server, source, { bundles, peer: anyone, observer: OBSERVED(events), ...given })
  server.listen(0)
  await once(server, 'listening')
  opened.push(server, { close: () => server.closeAllConnections() })
  return { port: (server.address() as AddressInfo).port, server, https: server, control, events, source }
}

function get(port: number, options: RequestOptions): Promise<{ readonly text: string; readonly socket: TLSSocket }> {
  return new Promise((resolve, reject) => {
    const req = request({ port, host: 'localhost', ...options }, async (res) => {
      const socket = res.socket as TLSSocket
      let text = ''
      for await (const chunk of res) text += String(chunk)
      resolve({ text, socket })
    })
    req.on('error', reject).end()
  })
}

test('an https server reads no request of a client that is refused', async () => {
  const { port, events } = await listenHttps({ peer: () => false })
  const code = /ECONNRESET|EPIPE/
  await assert.rejects(get(port, { ...careless(), agent: false }), { code })
  assert.deepEqual(
    events.map(({ reasons }) => reasons),
    [['authentication.peer_unexpected']],
  )
})

// [authentication.mtls.10]
test('the agent of a workload keeps its connections, and follows its SVID without closing any', async () => {
  const { port, source, control } = await listenHttps()
  const client = mutableSvid(agent)
  const workload = mtlsAgent(client, CLIENT)
  opened.push({ close: () => workload.destroy() })
  const first = await get(port, { agent: workload })
  const second = await get(port, { agent: workload })
  assert.equal(first.text, agent.spiffeId)
  assert.equal(second.socket, first.socket)

  client.set(await ca.svid('/agent/renamed'))
  source.set(await ca.svid('/service/events-api', { dnsNames: ['localhost'] }))
  control.refresh()
  assert.equal((await get(port, { agent: workload })).socket, first.socket, 'the open connection stays')
  first.socket.destroy()
  const renewed = await get(port, { agent: workload })
  assert.equal(renewed.text, 'spiffe://example.com/agent/renamed')
  assert.deepEqual(peerCertificatesOf(renewed.socket)[0], Buffer.from(source.x509Svid().certificates[0] ?? []))
})

// [credentials.x509-path.05]
test('an agent that Node shares resumes no session with these options', async () => {
  const { port } = await listenHttps({}, { secureOptions: 0 })
  const shared = new HttpsAgent({ keepAlive: false })
  for (let i = 0; i < 3; i += 1) {
    const { text, socket } = await get(port, { ...clientTlsOptions(mutableSvid(agent), CLIENT), agent: shared })
    assert.equal(text, agent.spiffeId)
    assert.equal(socket.isSessionReused(), false)
  }
})

// [credentials.x509-path.08]
test('X8: when an authority is removed, the connections it vouched for are closed on both sides', async () => {
  const mine = mutableBundles(ca.bundle)
  const theirs = mutableBundles(ca.bundle)
  const { port, control, events } = await listenHttps({ bundles: theirs })
  const workload = mtlsAgent(mutableSvid(agent), { ...CLIENT, bundles: mine })
  opened.push({ close: () => workload.destroy() })

  const first = await get(port, { agent: workload })
  theirs.set({ ...ca.bundle, sequence: 2n })
  control.refresh()
  mine.set({ ...ca.bundle, sequence: 2n })
  workload.recheck()
  assert.equal(
    (await get(port, { agent: workload })).socket,
    first.socket,
    'a new bundle with the same authority keeps them',
  )

  theirs.set({ ...emptyBundle(ca.bundle.trustDomain), sequence: 3n })
  const closed = once(first.socket, 'close')
  control.refresh()
  await closed
  assert.deepEqual(
    events.map(({ reasons }) => reasons),
    [['x509.untrusted_domain']],
  )

  theirs.set(ca.bundle)
  const second = await get(port, { agent: workload })
  mine.set(emptyBundle(ca.bundle.trustDomain))
  workload.recheck()
  assert.equal(second.socket.destroyed, true)
  await assert.rejects(async () => get(port, { agent: workload }), { code: 'x509.untrusted_domain' })
})

test('a connection ends with the certificate of its client', async () => {
  let now = Date.now() / 1000
  const { port, control, events } = await listen({ clock: () => now })
  const socket = dial(port, clientTlsOptions(mutableSvid(await ca.svid('/a', { ttl: 60 })), CLIENT))
  assert.equal(await ask(socket), 'spiffe://example.com/a')
  now += 61
  const closed = once(socket, 'close')
  control.refresh()
  await closed
  assert.deepEqual(
    events.map(({ reasons }) => reasons),
    [['x509.expired']],
  )
})

test('the server finds a new SVID and a removed authority by itself', async () => {
  const theirs = mutableBundles(ca.bundle)
  const { port, source } = await listen({ bundles: theirs, interval: 20 })
  const next = await ca.svid('/service/events-api', { dnsNames: ['localhost'] })
  source.set(next)
  await sleep(80)
  const socket = dial(port, clientTlsOptions(mutableSvid(agent), CLIENT))
  await ask(socket)
  assert.deepEqual(peerCertificatesOf(socket)[0], Buffer.from(next.certificates[0] ?? []))
  theirs.set()
  await once(socket, 'close')
})

test('authenticate() takes the certificates of a connection, verifies them once, and again when the bundle changes', async () => {
  const mine = mutableBundles(ca.bundle)
  const events: AuditEvent[] = []
  const authenticator = createAuthenticator({
    bundles: mine,
    audiences: ['https://api.example.com'],
    replays: createMemoryReplayStore({ capacity: 1 }),
    observer: OBSERVED(events),
  })
  const request = { method: 'GET', target: '/', headers: [], peerCertificates: agent.certificates }
  const principal = await authenticator.authenticate(request)
  assert.equal(principal.id, agent.spiffeId)
  assert.equal(principal.method, 'mtls')
  assert.deepEqual(principal.covers, { method: true, target: true, body: true, response: true })
  mine.set(emptyBundle(ca.bundle.trustDomain))
  await assert.rejects(authenticator.authenticate(request), { code: 'x509.untrusted_domain' })
  mine.set(foreign.bundle)
  await assert.rejects(authenticator.authenticate(request), { code: 'x509.untrusted_domain' })
  const { certificates } = await foreign.svid('/a')
  await assert.doesNotReject(authenticator.authenticate({ ...request, peerCertificates: certificates }))
  await assert.rejects(authenticator.authenticate({ ...request, peerCertificates: [Buffer.from('x')] }), {
    code: /^x509\./,
  })
  await assert.rejects(authenticator.authenticate({ ...request, peerCertificates: [] }), {
    code: 'authentication.missing',
  })
  assert.equal(events.length, 4)
})
