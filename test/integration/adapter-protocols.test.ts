// HTTP/2 and the opening of WebSockets, over real connections.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import * as http2 from 'node:http2'
import { type AddressInfo, connect } from 'node:net'
import { text } from 'node:stream/consumers'
import { after, test } from 'node:test'
import { createAuthenticator, createMemoryReplayStore, proofHeaders, signRequest } from 'aims/authentication'
import type { AuditEvent } from 'aims/base'
import { protect } from 'aims/node'
import { authenticatedUpgrade, callerOf } from 'aims/ws'
import { WebSocket, WebSocketServer } from 'ws'
import { eventuallyTrue } from '../support/eventually.ts'
import { AUDIENCE, testDomain } from '../support/identities.ts'

const now = (): number => Math.floor(Date.now() / 1000)
const domain = testDomain('example.com', { now: now() })
const wit = await domain.wit()
const events: AuditEvent[] = []
const closers: (() => unknown)[] = []
after(() => closers.reverse().forEach((close) => void close()))

const authenticator = createAuthenticator({
  bundles: domain.bundles,
  audiences: [AUDIENCE],
  replays: createMemoryReplayStore({ capacity: 1000 }),
  responses: { wits: { wit: () => wit } },
  observer: { record: async (event) => void events.push(event) },
})

interface Proof {
  readonly method?: string
  readonly target?: string
  readonly audience?: string
  readonly body?: Uint8Array
}

function proven(change: Proof = {}): readonly (readonly [string, string])[] {
  const request = { method: 'POST', target: '/api?x=1', audience: AUDIENCE, ...change }
  return Object.entries(proofHeaders(wit, request, { now: now() }))
}

// Signed, and with the demand that the answer is so too.
function demanding(method: string, target: string): { readonly [name: string]: string } {
  const request = { method, target, audience: AUDIENCE, headers: [], signResponse: true }
  return { ...signRequest(wit, request, { now: now() }).headers }
}

const handled = { times: 0 }
const server = http2.createServer(
  protect<http2.Http2ServerRequest, http2.Http2ServerResponse>(
    authenticator,
    async (request, response, { principal }) => {
      handled.times += 1
      response.end(`${principal.id} ${await text(request)}`)
    },
    { maxBody: 100_000 },
  ),
)
server.listen(0, '127.0.0.1')
await once(server, 'listening')
const authority = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
const client = http2.connect(authority)
client.on('error', () => undefined)
closers.push(
  () => server.close(),
  () => client.destroy(),
)

interface Sent {
  readonly fields?: readonly (readonly [string, string])[]
  readonly pseudo?: { readonly [name: string]: string }
  readonly body?: Uint8Array
  readonly trailers?: readonly (readonly [string, string])[]
}

async function ask({ fields = [], pseudo = {}, body, trailers }: Sent): Promise<{ status: number; body: string }> {
  const line = { ':method': 'POST', ':path': '/api?x=1', ':scheme': 'http', ':authority': 'h', ...pseudo }
  const endStream = body === undefined && trailers === undefined
  // As a list, so that fields may come twice.
  const stream = client.request([...Object.entries(line), ...fields].flat(), {
    endStream,
    waitForTrailers: trailers !== undefined,
  })
  stream.on('error', () => undefined)
  stream.on('wantTrailers', () => stream.sendTrailers(Object.fromEntries(trailers ?? [])))
  let status = 0
  stream.on('response', (headers) => {
    status = Number(headers[':status'])
  })
  if (!endStream) stream.end(body)
  const answer = await text(stream).catch(() => '')
  return { status, body: answer }
}

const abc = Buffer.from('abc')
const large = Buffer.alloc(90_000, 'y')

// [authentication.wpt.21] [authentication.aims.05]
test('HTTP/2: lets a proven request through, with its body, whatever its :authority is', async () => {
  for (const body of [undefined, abc, large]) {
    for (const name of ['h', 'other.example']) {
      const sent = { fields: proven({ ...(body && { body }) }), pseudo: { ':authority': name }, ...(body && { body }) }
      const answer = await ask(sent)
      assert.deepEqual(answer, { status: 200, body: `${wit.subject} ${body?.toString() ?? ''}` })
    }
  }
})

const ROWS: { readonly [title: string]: () => readonly [Sent, number, string] } = {
  'without a proof': () => [{}, 401, 'authentication.missing'],
  'for another :path': () => [{ fields: proven(), pseudo: { ':path': '/api?x=2' } }, 401, 'proof.target_mismatch'],
  'for what dots in the :path lead to': () => [
    { fields: proven(), pseudo: { ':path': '/a/../api?x=1' } },
    401,
    'proof.target_mismatch',
  ],
  'for another :method': () => [{ fields: proven(), pseudo: { ':method': 'PUT' } }, 401, 'proof.method_mismatch'],
  'for the service of the :authority': () => [
    { fields: proven({ audience: 'https://other.example' }), pseudo: { ':authority': 'other.example' } },
    401,
    'proof.audience_mismatch',
  ],
  'with two WITs': () => [
    { fields: [...proven(), ['workload-identity-token', wit.token]] },
    400,
    'authentication.duplicate_field',
  ],
  'with another body': () => [{ fields: proven({ body: abc }), body: Buffer.from('abd') }, 401, 'proof.body_mismatch'],
  'without the body that the proof names': () => [{ fields: proven({ body: abc }) }, 401, 'proof.body_mismatch'],
  'with a body beyond the limit': () => [
    { fields: proven({ body: Buffer.alloc(100_001) }), body: Buffer.alloc(100_001) },
    413,
    'authentication.body_too_large',
  ],
  'that demands a signed response': () => [
    { fields: Object.entries(demanding('POST', '/api?x=1')) },
    501,
    'signature.cannot_sign',
  ],
  'with more fields than anybody needs': () => [
    { fields: [...proven(), ...Array.from({ length: 99 }, (_, i) => [`x-field-${i}`, '1'] as const)] },
    400,
    'authentication.malformed_field',
  ],
  'with the proof in the trailers': () => [{ body: abc, trailers: proven() }, 401, 'authentication.missing'],
}

for (const [title, row] of Object.entries(ROWS)) {
  test(`HTTP/2: a request ${title} is refused`, async () => {
    const [sent, status, reason] = row()
    const before = handled.times
    const count = events.length
    const answer = await ask(sent)
    assert.equal(answer.status, status)
    assert.deepEqual(
      events.slice(count).map(({ reasons }) => reasons),
      [[reason]],
    )
    assert.equal(JSON.parse(answer.body).id, events.at(-1)?.correlationId)
    assert.equal(handled.times, before)
  })
}

// As no client of Node would send them: frames by hand, fields as literals (RFC 7541, section 6.2.2).
test('HTTP/2: fields that occur twice on the wire are refused, in every order', async () => {
  const literal = (text: string): Buffer => {
    const bytes = Buffer.from(text)
    const length: number[] = bytes.length < 127 ? [bytes.length] : [127]
    for (let rest = bytes.length - 127; rest >= 0; rest >>= 7) {
      length.push(rest >= 128 ? (rest & 127) | 128 : rest)
      if (rest < 128) break
    }
    return Buffer.concat([Buffer.from(length), bytes])
  }
  const frame = (type: number, flags: number, stream: number, payload: Buffer): Buffer => {
    const head = Buffer.alloc(9)
    head.writeUIntBE(payload.length, 0, 3)
    head.writeUInt8(type, 3)
    head.writeUInt8(flags, 4)
    head.writeUInt32BE(stream, 5)
    return Buffer.concat([head, payload])
  }
  const line = { ':method': 'POST', ':path': '/api?x=1', ':scheme': 'http', ':authority': 'h' }
  const own = proven()
  const twice = own.filter(([name]) => name === 'authorization')
  for (const fields of [
    [...own, ['authorization', 'Bearer x']],
    [['authorization', 'Bearer x'], ...own],
    [...own, ...twice],
  ] as const) {
    const before = handled.times
    const count = events.length
    const block = [...Object.entries(line), ...fields].map(([name, value]) =>
      Buffer.concat([Buffer.from([0]), literal(name), literal(value)]),
    )
    const socket = connect((server.address() as AddressInfo).port, '127.0.0.1')
    socket.on('error', () => undefined)
    socket.write(
      Buffer.concat([
        Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'),
        frame(4, 0, 0, Buffer.alloc(0)),
        frame(1, 5, 1, Buffer.concat(block)),
      ]),
    )
    await eventuallyTrue(async () => events.length > count)
    socket.destroy()
    assert.deepEqual(events.at(-1)?.reasons, ['authentication.duplicate_field'])
    assert.equal(handled.times, before)
  }
})

test('HTTP/2: a stream that is reset in the middle of its body is refused, and nobody waits for it', async () => {
  const before = handled.times
  const count = events.length
  const line = { ':method': 'POST', ':path': '/api?x=1', ':scheme': 'http', ':authority': 'h' }
  const fields = [...Object.entries(line), ...proven({ body: abc })].flat()
  const stream = client.request(fields, { endStream: false })
  stream.on('error', () => undefined)
  stream.write('a')
  await new Promise((resolve) => setTimeout(resolve, 100))
  stream.close(http2.constants.NGHTTP2_CANCEL)
  await eventuallyTrue(async () => events.length > count)
  assert.deepEqual(events.at(-1)?.reasons, ['proof.body_mismatch'])
  assert.equal(handled.times, before)
})

test('WebSocket: who opens one is known, and nobody opens one without a proof for it', async () => {
  const sockets = new WebSocketServer({ noServer: true })
  const http = createServer((_request, response) => response.writeHead(404).end())
  http.on('upgrade', authenticatedUpgrade(authenticator, sockets))
  sockets.on('connection', (socket, request) => {
    const { principal } = callerOf(request)
    socket.on('message', (message) => socket.send(`${principal.id} ${message}`))
  })
  http.listen(0, '127.0.0.1')
  await once(http, 'listening')
  closers.push(
    () => http.close(),
    () => http.closeAllConnections(),
    () => sockets.close(),
  )
  const url = `ws://127.0.0.1:${(http.address() as AddressInfo).port}/chat`
  const open = (headers: { readonly [name: string]: string }): WebSocket => {
    const socket = new WebSocket(url, { headers })
    return socket
  }
  const proof = (change: Proof = {}): { [name: string]: string } =>
    Object.fromEntries(proven({ method: 'GET', target: '/chat', ...change }))

  const good = proof()
  const socket = open(good)
  await once(socket, 'open')
  socket.send('hello')
  const [message] = await once(socket, 'message')
  assert.equal(String(message), `${wit.subject} hello`)

  for (const [headers, status, reason] of [
    [{}, 401, 'authentication.missing'],
    [good, 401, 'proof.replayed'],
    [proof({ target: '/other' }), 401, 'proof.target_mismatch'],
    [proof({ method: 'POST' }), 401, 'proof.method_mismatch'],
    [proof({ body: abc }), 401, 'proof.body_mismatch'],
    [demanding('GET', '/chat'), 501, 'signature.cannot_sign'],
    [{ ...proof(), authorization: 'Bearer x' }, 401, 'authentication.missing_proof'],
  ] as const) {
    const refused = open(headers)
    const [, answer] = await once(refused, 'unexpected-response')
    refused.on('error', () => undefined)
    assert.equal(answer.statusCode, status, reason)
    assert.equal(answer.headers['content-type'], 'application/problem+json')
    assert.deepEqual(events.at(-1)?.reasons, [reason])
    assert.equal(JSON.parse(await text(answer)).id, events.at(-1)?.correlationId)
  }
  assert.equal(sockets.clients.size, 1)
  socket.terminate()
  assert.throws(() => callerOf({}), TypeError)
})
