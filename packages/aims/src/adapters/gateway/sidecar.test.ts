import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { type ClientRequest, createServer, get, type IncomingMessage, request } from 'node:http'
import { get as getHttps } from 'node:https'
import { connect, createServer as createTcpServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { after, test } from 'node:test'
import { WebSocket, WebSocketServer } from 'ws'
import { ATTACKS, type Habits, withstands } from '../../../../../test/support/gateway-attacks.ts'
import {
  exchange,
  observed,
  proofLines,
  requestText,
  signatureLines,
  startEcho,
  statusOf,
} from '../../../../../test/support/gateways.ts'
import { AUDIENCE, testDomain } from '../../../../../test/support/identities.ts'
import { mutableBundles, mutableSvid, testCa } from '../../../../../test/support/x509-identities.ts'
import type { RawHeaders } from '../../authentication/carriage.ts'
import { mtlsAgent } from '../../authentication/mtls/client.ts'
import type { AuthenticatorOptions } from '../../authentication/request.ts'
import { proofHeaders } from '../../authentication/wpt/create.ts'
import { noObserver } from '../../base/event.ts'
import { isExactly, isMemberOf } from '../../identifiers/matcher.ts'
import { provingFetch } from '../fetch.ts'
import { provingRequest } from '../node.ts'
import { createGate } from './gate.ts'
import { type SidecarOptions, startSidecar } from './sidecar.ts'

const now = (): number => Math.floor(Date.now() / 1000)
const domain = testDomain('example.com', { now: now() })
const wit = await domain.wit()
const wits = { wit: () => wit }
const opened: (() => unknown)[] = []
after(async () => {
  for (const close of opened.reverse()) await close()
})

async function start(options: Partial<SidecarOptions> = {}, rules: Partial<AuthenticatorOptions> = {}) {
  const service = await startEcho()
  const seen = observed(domain, rules)
  const gate = createGate(seen)
  const address = { host: '127.0.0.1', port: service.port }
  const listen = { host: '127.0.0.1', port: 0 }
  const sidecar = await startSidecar({ gate, listen, service: { address }, maxBody: 1000, ...options })
  opened.push(
    () => service.close(),
    () => sidecar.close(),
  )
  return { service, sidecar, port: sidecar.port ?? 0, wit, ...seen }
}

const proven = (method: string, target: string): Record<string, string> => ({
  ...proofHeaders(wit, { method, target, audience: AUDIENCE }, { now: now() }),
})

test('a proven request reaches the service as it was, with its caller, and the answer comes back', async () => {
  const { service, port } = await start()
  const url = `http://localhost:${port}/api/events?x=%41&y`
  const fetching = provingFetch(wits, { audience: AUDIENCE })
  const response = await fetching(url, { method: 'POST', body: '{"a":1}', headers: { 'x-a': '1' } })
  assert.equal(response.status, 200)
  assert.deepEqual(response.headers.getSetCookie(), ['a=1', 'b=2'])
  const [seen] = service.seen
  assert.ok(seen)
  assert.deepEqual([seen.method, seen.target, seen.body], ['POST', '/api/events?x=%41&y', '{"a":1}'])
  const fields = Object.fromEntries(seen.headers)
  assert.equal(fields['aims-caller-id'], wit.subject)
  assert.equal(fields['aims-caller-covers'], 'method target body')
  assert.equal(fields['x-a'], '1')
  assert.equal(fields.host, `localhost:${port}`)
  assert.ok(fields['aims-request-id'])
  for (const secret of ['authorization', 'workload-identity-token']) assert.equal(fields[secret], undefined)
})

// [authentication.gateway.01] [authentication.gateway.08]
const HABITS: Habits = {
  removesFields: true,
  exceptions: {
    CONNECT: { unasked: 0 },
    'a folded field': { unasked: 400 },
    'a blank before the colon': { unasked: 400 },
    'Transfer-Encoding and Content-Length': { unasked: 400 },
    'two Content-Length fields': { unasked: 400 },
  },
}
for (const attack of ATTACKS) {
  test(`attack: ${attack.name}`, async () => {
    await withstands(await start(), attack, HABITS)
  })
}

test('a signed request reaches the service with its caller, and another token with it; changed it does not', async () => {
  const { service, port, reason } = await start()
  const token: RawHeaders[number] = ['authorization', 'Bearer opaque-to-the-gateway']
  const body = Buffer.from('{"a":1}')
  const signed = signatureLines(wit, { method: 'POST', target: '/x', headers: [token], body })
  const text = requestText('POST /x HTTP/1.1', [...signed, token.join(': '), 'Content-Length: 7'], '{"a":1}')
  assert.equal(statusOf(await exchange(port, text)), 200)
  const [seen, ...others] = service.seen
  assert.deepEqual([seen?.body, others], ['{"a":1}', []])
  const fields = Object.fromEntries(seen?.headers ?? [])
  assert.equal(fields['aims-caller-method'], 'http-signature')
  assert.equal(fields['aims-caller-covers'], 'method target body')
  assert.equal(fields.authorization, token[1])
  assert.equal(fields['workload-identity-token'], undefined)
  for (const [changed, code] of [
    [text, 'signature.replayed'],
    [text.replace('"a":1', '"a":2'), 'signature.digest_mismatch'],
    [text.replace('/x', '/y'), 'signature.invalid_signature'],
    [text.replace('opaque', 'another'), 'signature.invalid_signature'],
  ] as const) {
    assert.equal(statusOf(await exchange(port, changed)), 400)
    assert.equal(reason(), code)
  }
  assert.equal(service.seen.length, 1)
})

// [authentication.gateway.05]
test('a body that is not the one the proof names never reaches the service, and neither does one that is too large', async () => {
  const { service, port, reason } = await start()
  const named = (body: string): readonly string[] =>
    proofLines(wit, { method: 'POST', target: '/', body: Buffer.from(body) })
  const bodies = [
    ['{"a":1}', '{"a":2}', 401, 'proof.body_mismatch'],
    ['x'.repeat(1001), 'x'.repeat(1001), 413, 'authentication.body_too_large'],
  ] as const
  for (const [proof, sent, status, code] of bodies) {
    const length = `Content-Length: ${sent.length}`
    assert.equal(
      statusOf(await exchange(port, requestText('POST / HTTP/1.1', [...named(proof), length], sent))),
      status,
    )
    assert.equal(reason(), code)
  }
  assert.deepEqual(service.seen, [])
})

test('a body that no proof names streams, at any size and without length', async () => {
  const { port } = await start()
  const passing = request({ host: '127.0.0.1', port, method: 'POST', path: '/', headers: proven('POST', '/') })
  const chunk = 'x'.repeat(100_000)
  for (let at = 0; at < 20; at += 1) passing.write(chunk)
  passing.end()
  const [answer] = await once(passing, 'response')
  assert.equal(JSON.parse(await text(answer)).body.length, 2_000_000)
})

test('a service that is away is 502, one that says nothing is 504, one that breaks off ends the connection', async () => {
  const away = await start({ service: { address: { path: '/nonexistent/service.sock' } } })
  const ask = (port: number): Promise<string> =>
    exchange(port, requestText('GET / HTTP/1.1', proofLines(wit, { method: 'GET', target: '/' })))
  assert.match(await ask(away.port), /^HTTP\/1\.1 502 [\s\S]*operation\.service_unreachable/)

  const silent = createServer(() => undefined).listen(0, '127.0.0.1')
  await once(silent, 'listening')
  opened.push(
    () => silent.close(),
    () => silent.closeAllConnections(),
  )
  const { port } = silent.address() as { port: number }
  const slow = await start({ service: { address: { host: '127.0.0.1', port }, timeout: 100 } })
  assert.match(await ask(slow.port), /^HTTP\/1\.1 504 [\s\S]*operation\.service_timeout/)

  const breaking = createServer((_, response) => {
    response.writeHead(200, { 'content-length': '10' }).write('half')
    setTimeout(() => response.destroy(), 50)
  }).listen(0, '127.0.0.1')
  await once(breaking, 'listening')
  opened.push(() => breaking.close())
  const address = { host: '127.0.0.1', port: (breaking.address() as { port: number }).port }
  const half = await start({ service: { address } })
  await assert.rejects(async () => {
    const [answer] = await once(get({ host: '127.0.0.1', port: half.port, headers: proven('GET', '/') }), 'response')
    await text(answer)
  })
})

// One row per answer of a service that is no answer: what it sends, and what the client gets.
for (const [name, reply, expected] of [
  ['with a status that is none', 'HTTP/1.1 099 X\r\nContent-Length: 0\r\n\r\n', /^HTTP\/1\.1 502 /],
  [
    'that changes the protocol',
    'HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n',
    /^HTTP\/1\.1 502 /,
  ],
  ['with a control character', 'HTTP/1.1 200 OK\r\nX: a\x01b\r\n\r\n', /^HTTP\/1\.1 502 /],
  // A problem document under the length of another message would run into the next one.
  ['that stops behind its head', 'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n', /^$/],
] as const) {
  test(`an answer ${name} does not end the gateway, and is no answer to its client`, async () => {
    const service = await startRaw(reply)
    const { port } = await start({ service: { address: service, timeout: 3000 } })
    const ask = requestText('GET / HTTP/1.1', proofLines(wit, { method: 'GET', target: '/' }))
    assert.match(await exchange(port, ask), expected)
    assert.equal(statusOf(await exchange(port, requestText('GET / HTTP/1.1', []))), 401)
  })
}

test('a service that refuses a WebSocket and then stops does not get a second head into its answer', async () => {
  const service = await startRaw('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf')
  const { port } = await start({ service: { address: service, timeout: 3000 } })
  const lines = [...proofLines(wit, { method: 'GET', target: '/' }), 'Upgrade: websocket', 'Connection: Upgrade']
  const ask = ['GET / HTTP/1.1', 'Host: api.example.com', ...lines].join('\r\n')
  const answer = await exchange(port, `${ask}\r\n\r\n`)
  assert.match(answer, /^HTTP\/1\.1 200 /)
  assert.doesNotMatch(answer, /504/)
})

async function startRaw(reply: string): Promise<{ readonly host: string; readonly port: number }> {
  const server = createTcpServer((socket) => {
    socket.on('error', () => socket.destroy())
    socket.once('data', () => socket.write(Buffer.from(reply, 'latin1')))
    opened.push(() => socket.destroy())
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  opened.push(() => server.close())
  const { port } = server.address() as { port: number }
  return { host: '127.0.0.1', port }
}

// [authentication.http.02]
test('a client that asks and asks and reads nothing is let go', { timeout: 120_000 }, async () => {
  const service = await startRaw('HTTP/1.1 204 No Content\r\n\r\n')
  const { port } = await start({ clientTimeout: 500, service: { address: service, timeout: 500 } })
  const socket = connect(port, '127.0.0.1')
  socket.on('error', () => socket.destroy())
  const isClosed = new Promise((resolve) => socket.once('close', resolve))
  socket.pause()
  const many = 'GET / HTTP/1.1\r\nHost: api.example.com\r\n\r\n'.repeat(10_000)
  // One that is paused learns of the end when it writes.
  const asking = setInterval(() => socket.write(many), 100)
  await isClosed.finally(() => clearInterval(asking))
})

test('names of fields are names only', async () => {
  const { port, service } = await start()
  const target = '/'
  for (const name of ['__proto__', 'constructor']) {
    const lines = [...proofLines(wit, { method: 'GET', target }), `${name}: x`]
    assert.equal(statusOf(await exchange(port, requestText('GET / HTTP/1.1', lines))), 200)
    assert.equal(service.seen.at(-1)?.headers.find(([one]) => one === name)?.[1], 'x')
  }
})

test('a service on a Unix socket is out of reach for everybody else', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'aims-gateway-'))
  opened.push(() => rmSync(directory, { recursive: true, force: true }))
  const path = join(directory, 'service.sock')
  const behind = createServer((asked, response) => response.end(asked.headers['aims-caller-id'])).listen(path)
  await once(behind, 'listening')
  opened.push(
    () => behind.close(),
    () => behind.closeAllConnections(),
  )
  const { port } = await start({ service: { address: { path } } })
  const [answer] = await once(get({ host: '127.0.0.1', port, headers: proven('GET', '/') }), 'response')
  assert.equal(await text(answer), wit.subject)
})

test('a WebSocket is opened by a proof, and carries both directions; without one it is not', async () => {
  const behind = createServer()
  const sockets = new WebSocketServer({ server: behind })
  sockets.on('connection', (socket, asked) => {
    socket.send(String(asked.headers['aims-caller-id']))
    socket.on('message', (message) => socket.send(`re: ${message}`))
  })
  behind.listen(0, '127.0.0.1')
  await once(behind, 'listening')
  opened.push(
    () => behind.close(),
    () => {
      for (const client of sockets.clients) client.terminate()
    },
  )
  const { port: servicePort } = behind.address() as { port: number }
  const { port, reason } = await start({ service: { address: { host: '127.0.0.1', port: servicePort } } })
  const headers = { ...proven('GET', '/live'), 'aims-caller-id': 'spiffe://example.com/agent/admin' }
  const socket = new WebSocket(`ws://127.0.0.1:${port}/live`, { headers })
  const messages: string[] = []
  socket.on('message', (message) => messages.push(String(message)))
  await once(socket, 'open')
  socket.send('hello')
  while (messages.length < 2) await once(socket, 'message')
  assert.deepEqual(messages, [wit.subject, 're: hello'])
  socket.terminate()

  const refused = new WebSocket(`ws://127.0.0.1:${port}/live`)
  const [, answer] = (await once(refused, 'unexpected-response')) as [ClientRequest, IncomingMessage]
  assert.equal(answer.statusCode, 401)
  assert.equal(reason(), 'authentication.missing')
})

test('a WebSocket ends when the credential does by which it was opened', { timeout: 120_000 }, async () => {
  const behind = createServer()
  const sockets = new WebSocketServer({ server: behind })
  behind.listen(0, '127.0.0.1')
  await once(behind, 'listening')
  opened.push(
    () => behind.close(),
    () => {
      for (const client of sockets.clients) client.terminate()
    },
  )
  const address = { host: '127.0.0.1', port: (behind.address() as { port: number }).port }
  const time = now()
  const fresh = testDomain('example.com', { now: time })
  const short = await fresh.wit({ ttl: 8 })
  const { port } = await start({ service: { address } }, { bundles: fresh.bundles })
  const headers = { ...proofHeaders(short, { method: 'GET', target: '/live', audience: AUDIENCE }, { now: time }) }
  const socket = new WebSocket(`ws://127.0.0.1:${port}/live`, { headers })
  const isClosed = once(socket, 'close')
  await once(socket, 'open')
  await isClosed
  assert.ok(Date.now() / 1000 >= time + 8)
})

test('mTLS ends here: the caller is the certificate, and a client without one needs a proof', async () => {
  const ca = await testCa()
  const bundles = mutableBundles({ ...ca.bundle, witAuthorities: domain.bundle.witAuthorities })
  const source = mutableSvid(await ca.svid('/service/events-api', { dnsNames: ['localhost'] }))
  const client = await ca.svid('/agent/by-certificate')
  const peer = isMemberOf(ca.bundle.trustDomain)
  const tls = { source, bundles, peer, observer: noObserver, admitWithoutCertificate: true }
  const { port, service } = await start({ tls }, { bundles, methods: ['wit+wpt', 'mtls'] })
  const agent = mtlsAgent(mutableSvid(client), { bundles, peer: isExactly(source.x509Svid().spiffeId) })
  opened.push(() => agent.destroy())
  const url = `https://localhost:${port}/`
  await text(await provingRequest(url, { wits, audience: AUDIENCE, agent }))
  const [answer] = await once(getHttps(url, { agent }), 'response')
  await text(answer)
  const stranger = getHttps(url, { rejectUnauthorized: false, agent: false })
  const [refused] = await once(stranger, 'response')
  assert.equal(refused.statusCode, 401)
  await text(refused)
  assert.deepEqual(
    service.seen.map(({ headers }) => [field(headers, 'aims-caller-id'), field(headers, 'aims-caller-method')]),
    [
      [wit.subject, 'wit+wpt'],
      [client.spiffeId, 'mtls'],
    ],
  )
})

function field(headers: RawHeaders, name: string): string | undefined {
  return headers.find(([one]) => one === name)?.[1]
}

test('closing lets what is under way end, and takes nothing new', async () => {
  let finish: (() => void) | undefined
  const slow = createServer((_, response) => {
    finish = () => response.end('done')
  }).listen(0, '127.0.0.1')
  await once(slow, 'listening')
  opened.push(() => slow.close())
  const { port: servicePort } = slow.address() as { port: number }
  const { port, sidecar } = await start({ service: { address: { host: '127.0.0.1', port: servicePort } } })
  const asking = get({ host: '127.0.0.1', port, headers: proven('GET', '/') })
  const answered = once(asking, 'response')
  while (finish === undefined) await new Promise((resolve) => setTimeout(resolve, 10))
  const closing = sidecar.close()
  finish()
  const [answer] = await answered
  assert.equal(await text(answer), 'done')
  await closing
  await assert.rejects(once(get({ host: '127.0.0.1', port }), 'response'))
})
