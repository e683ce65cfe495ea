// The same requests, byte for byte over sockets, to the server of each adapter: the same refusals everywhere.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { text } from 'node:stream/consumers'
import { after, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { createAuthenticator, createMemoryReplayStore, proofHeaders } from 'aims/authentication'
import type { AuditEvent } from 'aims/base'
import { ADAPTER_SERVERS, MAX_BODY } from '../support/adapter-servers.ts'
import { eventuallyTrue } from '../support/eventually.ts'
import { AUDIENCE, testDomain } from '../support/identities.ts'

const now = (): number => Math.floor(Date.now() / 1000)
const domain = testDomain('example.com', { now: now() })
const wit = await domain.wit()
const compat = await domain.wit({ profile: 'wimse-wpt-01' })
const events: AuditEvent[] = []
const TARGET = '/api/events?x=1'
const closers: (() => void)[] = []
after(() => closers.forEach((close) => void close()))

const authenticator = createAuthenticator({
  bundles: domain.bundles,
  audiences: [AUDIENCE],
  replays: createMemoryReplayStore({ capacity: 10_000 }),
  observer: { record: async (event) => void events.push(event) },
})

interface Proof {
  readonly method?: string
  readonly target?: string
  readonly audience?: string
  readonly body?: Uint8Array
}

function fields(change: Proof = {}): { readonly [name: string]: string } {
  return { ...proofHeaders(wit, { method: 'POST', target: TARGET, audience: AUDIENCE, ...change }, { now: now() }) }
}

function lines(change: Proof = {}): string[] {
  return Object.entries(fields(change)).map(([name, value]) => `${name}: ${value}`)
}

interface Row {
  readonly lines: readonly string[]
  readonly body?: string
  readonly request?: string
  readonly host?: readonly string[]
  readonly status: number
  /** In the record. Without one the request did not get as far as to us. */
  readonly reason?: string
  /** What a `Request` leaves to see: joined fields, and a URL in which dots are resolved. */
  readonly web?: { readonly status: number; readonly reason?: string }
}

const abc = Buffer.from('abc')
const wpt = (): string => fields().authorization ?? ''
const big = 'x'.repeat(MAX_BODY + 1)

const ROWS: { readonly [title: string]: () => Row } = {
  'without a proof': () => ({ lines: [], status: 401, reason: 'authentication.missing' }),
  'with a WIT and no proof': () => ({
    lines: [`Workload-Identity-Token: ${wit.token}`],
    status: 401,
    reason: 'authentication.missing_proof',
  }),
  'with a proof and no WIT': () => ({
    lines: [`Authorization: ${wpt()}`],
    status: 401,
    reason: 'authentication.missing_credential',
  }),
  'with a WIT as bearer token': () => ({
    lines: [`Authorization: Bearer ${wit.token}`],
    status: 401,
    reason: 'authentication.wit_as_bearer',
  }),
  'with a second Authorization': () => ({
    lines: [...lines(), 'Authorization: Bearer x'],
    status: 400,
    reason: 'authentication.duplicate_field',
    web: { status: 400, reason: 'authentication.malformed_field' },
  }),
  'with a first Authorization of another scheme': () => ({
    lines: ['authorization: Bearer x', ...lines()],
    status: 400,
    reason: 'authentication.duplicate_field',
    web: { status: 401, reason: 'authentication.missing_proof' },
  }),
  'with the same Authorization twice': () => {
    const own = lines()
    return {
      lines: [...own, ...own.filter((line) => line.startsWith('authorization'))],
      status: 400,
      reason: 'authentication.duplicate_field',
      web: { status: 400, reason: 'authentication.malformed_field' },
    }
  },
  'with two WITs': () => ({
    lines: [...lines(), `WORKLOAD-IDENTITY-TOKEN: ${wit.token}`],
    status: 400,
    reason: 'authentication.duplicate_field',
    web: { status: 400, reason: 'authentication.malformed_field' },
  }),
  'with two WITs in one field': () => ({
    lines: [`Authorization: ${wpt()}`, `Workload-Identity-Token: ${wit.token}, ${wit.token}`],
    status: 400,
    reason: 'authentication.malformed_field',
  }),
  'with artefacts of two profiles': () => ({
    lines: [
      ...lines(),
      `Workload-Proof-Token: ${proofHeaders(compat, { method: 'POST', target: TARGET, audience: AUDIENCE }, { now: now() })['workload-proof-token']}`,
    ],
    status: 400,
    reason: 'authentication.mixed_profiles',
  }),
  'with a profile that is off': () => ({
    lines: Object.entries(
      proofHeaders(compat, { method: 'POST', target: TARGET, audience: AUDIENCE }, { now: now() }),
    ).map(([name, value]) => `${name}: ${value}`),
    status: 401,
    reason: 'authentication.profile_disabled',
  }),
  'with words behind the proof': () => ({
    lines: [`Workload-Identity-Token: ${wit.token}`, `Authorization: ${wpt()} and more`],
    status: 400,
    reason: 'authentication.malformed_field',
  }),
  'with a folded field': () => ({
    lines: [`Workload-Identity-Token: ${wit.token}`, `Authorization: WPT\r\n ${wpt().slice(4)}`],
    status: 400,
  }),
  'with more fields than anybody needs': () => ({
    lines: [...lines(), ...Array.from({ length: 100 }, (_, i) => `X-Field-${i}: ${i}`)],
    status: 400,
    reason: 'authentication.malformed_field',
  }),
  'for another target': () => ({
    lines: lines({ target: '/api/events?x=2' }),
    status: 401,
    reason: 'proof.target_mismatch',
  }),
  'for the target without its query': () => ({
    lines: lines({ target: '/api/events' }),
    status: 401,
    reason: 'proof.target_mismatch',
  }),
  'for what dots in the target lead to': () => ({
    request: 'POST /api/../api/events?x=1 HTTP/1.1',
    lines: lines(),
    status: 401,
    reason: 'proof.target_mismatch',
    // The handler sees the same.
    web: { status: 200 },
  }),
  'for the path of a target in absolute form': () => ({
    request: `POST http://other.example${TARGET} HTTP/1.1`,
    lines: lines(),
    status: 401,
    reason: 'proof.target_mismatch',
    // The handler sees the same.
    web: { status: 200 },
  }),
  'for another method': () => ({ lines: lines({ method: 'GET' }), status: 401, reason: 'proof.method_mismatch' }),
  'for the method of an override': () => ({
    lines: [...lines({ method: 'DELETE' }), 'X-HTTP-Method-Override: DELETE'],
    status: 401,
    reason: 'proof.method_mismatch',
  }),
  'for the service of the Host field': () => ({
    host: ['Host: other.example', 'X-Forwarded-Host: other.example'],
    lines: lines({ audience: 'https://other.example' }),
    status: 401,
    reason: 'proof.audience_mismatch',
  }),
  'with another body': () => ({
    lines: [...lines({ body: abc }), 'Content-Length: 3'],
    body: 'abd',
    status: 401,
    reason: 'proof.body_mismatch',
  }),
  'with another body in chunks': () => ({
    lines: [...lines({ body: abc }), 'Transfer-Encoding: chunked'],
    body: '1\r\na\r\n2\r\nbd\r\n0\r\n\r\n',
    status: 401,
    reason: 'proof.body_mismatch',
  }),
  'without the body that the proof names': () => ({
    lines: lines({ body: abc }),
    status: 401,
    reason: 'proof.body_mismatch',
  }),
  'with a body beyond the limit': () => ({
    lines: [...lines({ body: Buffer.from(big) }), `Content-Length: ${big.length}`],
    body: big,
    status: 413,
    reason: 'authentication.body_too_large',
  }),
  'with a large body of nobody': () => ({
    lines: ['Content-Length: 200000'],
    body: 'x'.repeat(200_000),
    status: 401,
    reason: 'authentication.missing',
  }),
  'with two lengths': () => ({
    lines: [...lines({ body: abc }), 'Content-Length: 3', 'Transfer-Encoding: chunked'],
    body: '3\r\nabc\r\n0\r\n\r\n',
    status: 400,
  }),
  'with the proof in the trailers': () => ({
    lines: ['Transfer-Encoding: chunked', 'Trailer: Authorization, Workload-Identity-Token'],
    body: `3\r\nabc\r\n0\r\n${lines().join('\r\n')}\r\n\r\n`,
    status: 401,
    reason: 'authentication.missing',
  }),
  'waiting for 100 (Continue) without a proof': () => ({
    lines: ['Expect: 100-continue', 'Content-Length: 0'],
    status: 401,
    reason: 'authentication.missing',
  }),
  // [authentication.http.05]
  'of a web page, before it asks what it may': () => ({
    request: `OPTIONS ${TARGET} HTTP/1.1`,
    lines: ['Origin: https://evil.example', 'Access-Control-Request-Method: POST'],
    status: 401,
    reason: 'authentication.missing',
  }),
  'with an upgrade that nobody offers': () => ({
    lines: ['Upgrade: h2c', 'HTTP2-Settings: AAMAAABkAAQAAP__'],
    status: 401,
    reason: 'authentication.missing',
  }),
  // [authentication.http.05]
  'with identity in fields of a proxy': () => ({
    lines: [`X-Forwarded-Client-Cert: URI=${wit.subject}`, `X-Workload-Id: ${wit.subject}`],
    status: 401,
    reason: 'authentication.missing',
  }),
}

async function send(port: number, { request, host, lines: given, body = '' }: Row): Promise<string> {
  const socket = connect(port, '127.0.0.1')
  // A server that has refused reads no further.
  socket.on('error', () => undefined)
  const first = [request ?? `POST ${TARGET} HTTP/1.1`, ...(host ?? ['Host: h']), 'Connection: close']
  socket.write(`${[...first, 'Content-Type: text/plain', ...given].join('\r\n')}\r\n\r\n${body}`)
  return text(socket).catch(() => '')
}

// A request that is good so far, and of its body of three bytes one.
async function sendStart(port: number): Promise<{ readonly socket: Socket; readonly answer: Promise<string> }> {
  const socket = connect(port, '127.0.0.1')
  socket.on('error', () => undefined)
  await once(socket, 'connect')
  const head = [
    'Host: h',
    'Connection: close',
    'Content-Type: text/plain',
    'Content-Length: 3',
    ...lines({ body: abc }),
  ]
  socket.write(`POST ${TARGET} HTTP/1.1\r\n${head.join('\r\n')}\r\n\r\na`)
  return { socket, answer: text(socket).catch(() => '') }
}

// A 100 (Continue) may come first.
function statusOf(answer: string): number {
  return Number(/^HTTP\/1\.1 (?!100)(\d{3})/m.exec(answer)?.[1])
}

for (const [name, start] of Object.entries(ADAPTER_SERVERS)) {
  // [authentication.wpt.21] [authentication.aims.02] [authentication.aims.05]
  test(`${name}: refuses what every adapter refuses, with the same codes`, async (t) => {
    const server = await start(authenticator)
    closers.push(server.close)
    for (const [title, row] of Object.entries(ROWS)) {
      await t.test(`a request ${title}`, async () => {
        const before = events.length
        const given = row()
        const { status, reason } = name === 'web' ? (given.web ?? given) : given
        const answer = await send(server.port, given)
        const problem = /\{"type".*\}/.exec(answer)?.[0]
        const reasons = events.slice(before).map((event) => event.reasons)
        // Parsed away before the framework was asked.
        assert.equal(statusOf(answer), status, answer)
        assert.deepEqual(reasons, reason === undefined ? [] : [[reason]])
        if (reason !== undefined) {
          assert.match(answer, /content-type: application\/problem\+json/i)
          assert.doesNotMatch(answer, /^access-control/im)
          assert.equal(events.at(-1)?.correlationId, JSON.parse(problem ?? '{}').id)
        }
      })
    }
    await t.test('a request that was seen before', async () => {
      const good = lines()
      assert.equal(statusOf(await send(server.port, { lines: good, status: 200 })), 200)
      assert.equal(statusOf(await send(server.port, { lines: good, status: 401 })), 401)
      assert.deepEqual(events.at(-1)?.reasons, ['proof.replayed'])
    })
    await t.test('a request whose body stops on the way', async () => {
      const before = events.length
      const { socket } = await sendStart(server.port)
      await delay(100)
      socket.destroy()
      await eventuallyTrue(async () => events.length > before)
      assert.deepEqual(
        events.slice(before).map(({ reasons }) => reasons),
        [['proof.body_mismatch']],
      )
    })
    await t.test('but not one whose body takes its time', async () => {
      const { socket, answer } = await sendStart(server.port)
      await delay(100)
      socket.write('b')
      await delay(100)
      socket.write('c')
      assert.match(await answer, /^HTTP\/1\.1 200.*"body":"abc"/s)
    })
    await t.test('but not one that is good, in whatever way its body comes', async () => {
      for (const [extra, body] of [
        [['Content-Length: 3'], 'abc'],
        [['Transfer-Encoding: chunked'], '1\r\na\r\n2\r\nbc\r\n0\r\nX-Trailer: 1\r\n\r\n'],
      ] as const) {
        const answer = await send(server.port, { lines: [...lines({ body: abc }), ...extra], body, status: 200 })
        assert.equal(statusOf(answer), 200, answer)
        assert.match(answer, /"body":"abc"/)
        assert.ok(answer.includes(`"caller":"${wit.subject}"`))
      }
    })
  })
}
