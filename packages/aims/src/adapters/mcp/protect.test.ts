import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type IncomingMessage, request } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { text } from 'node:stream/consumers'
import { after, test } from 'node:test'
import { testDomain } from '../../../../../test/support/identities.ts'
import { buildServer, sessionHandler } from '../../../../../test/support/mcp-server.ts'
import { createAuthenticator } from '../../authentication/authenticate.ts'
import { createMemoryReplayStore } from '../../authentication/replay/memory.ts'
import type { AuthenticatorOptions } from '../../authentication/request.ts'
import { type ProofRequest, proofHeaders } from '../../authentication/wpt/create.ts'
import type { Authorizer } from '../../authorization/authorizer.ts'
import { systemClock } from '../../base/clock.ts'
import type { AuditEvent } from '../../base/event.ts'
import type { Wit } from '../../credentials/wit/source.ts'
import { parseWorkloadSpiffeId } from '../../identifiers/spiffe-id.ts'
import { type ProtectMcpOptions, protectMcp } from './protect.ts'
import { withAims } from './with-aims.ts'

const now = (): number => Math.floor(Date.now() / 1000)
const domain = testDomain('example.com', { now: now() })
const alice = await domain.wit({ path: '/agent/alice' })
const bob = await domain.wit({ path: '/agent/bob' })
const AUDIENCE = 'https://bank.example.com/mcp'
const events: AuditEvent[] = []
const observer = { record: async (event: AuditEvent): Promise<void> => void events.push(event) }
const id = parseWorkloadSpiffeId('spiffe://example.com/service/bank')
const policySet = 'sha256:test'
// Everybody may read mail, and nothing else.
const authorizer: Authorizer = {
  authorize: async ({ resource }) =>
    resource.kind === 'tool' && resource.name === 'read_mail'
      ? { effect: 'allow', policies: ['mail'], policySet }
      : { effect: 'deny', because: 'no-policy', policies: [], policySet },
}

const servers: ReturnType<typeof createServer>[] = []
after(() => {
  for (const server of servers) {
    server.close()
    server.closeAllConnections()
  }
})

type Given = Partial<ProtectMcpOptions> & Pick<Partial<AuthenticatorOptions>, 'clock'>

async function start({ clock = systemClock, ...more }: Given = {}): Promise<number> {
  const authenticator = createAuthenticator({
    bundles: domain.bundles,
    audiences: [AUDIENCE],
    replays: createMemoryReplayStore({ capacity: 1000 }),
    observer,
    clock,
  })
  const handler = sessionHandler(() => withAims(buildServer(), { id, authorizer }))
  const listener = protectMcp(authenticator, handler, { resource: AUDIENCE, observer, ...more })
  const server = createServer((request, response) => void listener(request, response)).listen(0)
  servers.push(server)
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}

interface Sent {
  readonly method?: string
  readonly path?: string
  readonly body?: unknown
  readonly session?: string | undefined
  readonly headers?: { readonly [name: string]: string }
  /** Who proves it. */
  readonly wit?: Wit | undefined
  /** What the proof says that is not so. */
  readonly proven?: Partial<ProofRequest>
  /** In place of a new proof. */
  readonly proof?: { readonly [name: string]: string }
}

interface Answer {
  readonly status: number
  readonly headers: IncomingMessage['headers']
  readonly message: IncomingMessage
  text(): Promise<string>
}

async function send(port: number, sent: Sent): Promise<Answer> {
  const { method = 'POST', path = '/mcp', body, session, wit, proven, proof } = sent
  const bytes = body === undefined ? undefined : Buffer.from(JSON.stringify(body))
  const proved = { method, target: path, audience: AUDIENCE, body: bytes, ...proven }
  const headers = {
    host: 'bank.example.com',
    accept: 'application/json, text/event-stream',
    ...(bytes === undefined ? {} : { 'content-type': 'application/json', 'content-length': String(bytes.length) }),
    ...(session === undefined ? {} : { 'mcp-session-id': session, 'mcp-protocol-version': '2025-11-25' }),
    ...(wit === undefined ? {} : proofHeaders(wit, proved, { now: now() })),
    ...proof,
    ...sent.headers,
  }
  const outgoing = request({ port, host: '127.0.0.1', method, path, headers })
  outgoing.end(bytes)
  const [message]: IncomingMessage[] = await once(outgoing, 'response')
  assert.ok(message)
  return { status: message.statusCode ?? 0, headers: message.headers, message, text: () => text(message) }
}

const INITIALIZE = {
  jsonrpc: '2.0',
  id: 1,
  method: 'initialize',
  params: { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'test', version: '1' } },
}
const CALL = { jsonrpc: '2.0', id: 2, method: 'tools/call', params: { name: 'read_mail', arguments: {} } }
const TRANSFER = { ...CALL, id: 3, params: { name: 'transfer', arguments: { to: 'bob', amount: 1 } } }

async function open(port: number, wit: Wit): Promise<string> {
  const { status, headers } = await send(port, { body: INITIALIZE, wit })
  assert.equal(status, 200)
  return String(headers['mcp-session-id'])
}

/** The messages in an answer, as an event stream has them. */
async function messagesOf(
  answer: Answer,
): Promise<readonly { id: number; result?: object; error?: { code: number } }[]> {
  const lines = (await answer.text()).split('\n').filter((line) => line.startsWith('data: {'))
  return lines.map((line) => JSON.parse(line.slice(6)))
}

const reasonOf = (given: AuditEvent | undefined): string | undefined => given?.reasons?.[0]

const port = await start()
const session = await open(port, alice)

test('a session serves the identity that opened it [authentication.mcp.02]', async () => {
  const [message] = await messagesOf(await send(port, { body: CALL, wit: alice, session }))
  assert.equal(message?.id, 2)
  assert.ok(message.result)
})

// One row per way to be refused: what is sent, the status, and the reason in the record.
const REFUSED: readonly (readonly [string, Sent, number, string])[] = [
  ['POST without a proof [authentication.mcp.01]', { body: CALL, session }, 401, 'authentication.missing'],
  ['the stream without a proof [authentication.mcp.01]', { method: 'GET', session }, 401, 'authentication.missing'],
  [
    'the end of a session without a proof [authentication.mcp.01]',
    { method: 'DELETE', session },
    401,
    'authentication.missing',
  ],
  [
    'a call in place of the one proven [authentication.mcp.03]',
    { body: TRANSFER, session, wit: alice, proven: { body: Buffer.from(JSON.stringify(CALL)) } },
    401,
    'proof.body_mismatch',
  ],
  [
    'a call of which the proof says nothing [authentication.mcp.03]',
    { body: CALL, session, wit: alice, proven: { body: undefined } },
    401,
    'proof.binding_missing',
  ],
  [
    'a proof for the stream that ends the session [authentication.mcp.03]',
    { method: 'DELETE', session, wit: alice, proven: { method: 'GET' } },
    401,
    'proof.method_mismatch',
  ],
  [
    'a proof for another server on this host [authentication.mcp.03]',
    { body: CALL, session, wit: alice, proven: { target: '/other' } },
    401,
    'proof.target_mismatch',
  ],
  [
    'a proof for another service [authentication.mcp.03]',
    { body: CALL, session, wit: alice, proven: { audience: 'https://other.example.com' } },
    401,
    'proof.audience_mismatch',
  ],
  [
    'a call in the session of another [authentication.mcp.02]',
    { body: CALL, session, wit: bob },
    404,
    'mcp.session_unknown',
  ],
  ['the stream of another [authentication.mcp.02]', { method: 'GET', session, wit: bob }, 404, 'mcp.session_unknown'],
  [
    'a stream that is resumed by another [authentication.mcp.02]',
    { method: 'GET', session, wit: bob, headers: { 'last-event-id': '_GET_stream_1' } },
    404,
    'mcp.session_unknown',
  ],
  [
    'a stream that is resumed outside of a session [authentication.mcp.02]',
    { method: 'GET', wit: bob, headers: { 'last-event-id': '_GET_stream_1' } },
    404,
    'mcp.session_unknown',
  ],
  [
    'the end of the session of another [authentication.mcp.02]',
    { method: 'DELETE', session, wit: bob },
    404,
    'mcp.session_unknown',
  ],
  [
    'a session that never was [authentication.mcp.02]',
    { body: CALL, session: 'none', wit: alice },
    404,
    'mcp.session_unknown',
  ],
  [
    'a beginning in the session of another [authentication.mcp.02]',
    { body: INITIALIZE, session, wit: bob },
    404,
    'mcp.session_unknown',
  ],
  [
    'another host [authentication.mcp.05] [authentication.http.05]',
    { body: CALL, session, wit: alice, headers: { host: 'attacker.example' } },
    403,
    'mcp.host_refused',
  ],
  [
    'a host that is none [authentication.mcp.05]',
    { body: CALL, session, wit: alice, headers: { host: 'bank.example.com@attacker.example' } },
    403,
    'mcp.host_refused',
  ],
  [
    'a web page [authentication.mcp.04] [authentication.http.05]',
    { body: CALL, session, wit: alice, headers: { origin: 'https://bank.example.com' } },
    403,
    'mcp.origin_refused',
  ],
  [
    'a page without an origin [authentication.mcp.04]',
    { body: CALL, session, wit: alice, headers: { origin: 'null' } },
    403,
    'mcp.origin_refused',
  ],
  [
    'the metadata for another host [authentication.mcp.05]',
    { method: 'GET', path: '/.well-known/oauth-protected-resource/mcp', headers: { host: 'localhost' } },
    403,
    'mcp.host_refused',
  ],
]

for (const [name, sent, status, reason] of REFUSED) {
  test(`refused: ${name}`, async () => {
    const answer = await send(port, sent)
    assert.equal(answer.status, status)
    const { id: correlationId, code } = JSON.parse(await answer.text())
    assert.equal(reasonOf(events.find((event) => event.correlationId === correlationId)), reason)
    // Of a proof that failed, nobody is told why.
    assert.equal(code, reason.startsWith('proof.') ? 'authentication.refused' : reason)
  })
}

test('what was refused has harmed nobody: the session is still there', async () => {
  const [message] = await messagesOf(await send(port, { body: CALL, wit: alice, session }))
  assert.ok(message?.result)
})

test('a proof is good for one call [authentication.mcp.01]', async () => {
  const sent = { method: 'POST', target: '/mcp', audience: AUDIENCE, body: Buffer.from(JSON.stringify(CALL)) }
  const proof = { ...proofHeaders(alice, sent, { now: now() }) }
  assert.equal((await send(port, { body: CALL, session, proof })).status, 200)
  assert.equal((await send(port, { body: CALL, session, proof })).status, 401)
  assert.equal(reasonOf(events.at(-1)), 'proof.replayed')
})

test('each message of a batch is decided for itself [authorization.mcp.04]', async () => {
  const answer = await send(port, { body: [CALL, TRANSFER], wit: alice, session })
  const messages = await messagesOf(answer)
  assert.ok(messages.find((message) => message.id === 2)?.result)
  assert.equal(messages.find((message) => message.id === 3)?.error?.code, -32_011)
})

test('a call without an id is not done, since nobody decides about it [authorization.mcp.04]', async () => {
  const { id: _, ...notification } = TRANSFER
  assert.equal((await send(port, { body: notification, wit: alice, session })).status, 202)
})

test("the stream is the owner's, and ends with the credential of its caller [authentication.mcp.06]", async () => {
  let time = now()
  const other = await start({ clock: () => time })
  const own = await open(other, alice)
  const stream = await send(other, { method: 'GET', wit: alice, session: own })
  assert.equal(stream.status, 200)
  assert.match(String(stream.headers['content-type']), /event-stream/)
  time = alice.expiresAt
  await assert.rejects(stream.text(), { code: 'ECONNRESET' })
  assert.equal(events.at(-1)?.type, 'authentication.ended')
  assert.equal(reasonOf(events.at(-1)), 'credential.expired')
})

test('an ended session is gone, also for its owner [authentication.mcp.02]', async () => {
  const own = await open(port, bob)
  assert.equal((await send(port, { method: 'DELETE', wit: bob, session: own })).status, 200)
  assert.equal((await send(port, { body: CALL, wit: bob, session: own })).status, 404)
})

test('a caller with too many sessions loses its own oldest, and nobody else one [authentication.mcp.07]', async () => {
  const other = await start({ maxSessionsPerCaller: 2 })
  const hers = await open(other, alice)
  const his = [await open(other, bob), await open(other, bob), await open(other, bob)]
  const status = async (wit: Wit, of: string | undefined): Promise<number> =>
    (await send(other, { body: CALL, wit, session: of })).status
  assert.deepEqual(await Promise.all(his.map((one) => status(bob, one))), [404, 200, 200])
  assert.equal(await status(alice, hers), 200)
})

test('the metadata needs no proof, and a challenge says where it is [authentication.mcp.08]', async () => {
  const url = 'https://bank.example.com/.well-known/oauth-protected-resource/mcp'
  const answer = await send(port, { method: 'GET', path: new URL(url).pathname })
  assert.equal(answer.status, 200)
  assert.deepEqual(JSON.parse(await answer.text()), { resource: AUDIENCE, bearer_methods_supported: [] })
  const refused = await send(port, { body: CALL })
  assert.equal(refused.headers['www-authenticate'], `WPT resource_metadata="${url}"`)
  assert.equal((await send(port, { method: 'POST', path: new URL(url).pathname })).status, 401)
  assert.equal((await send(port, { method: 'GET', path: '/.well-known/oauth-protected-resource' })).status, 401)
})

test('a request with two hosts is refused, whichever a proxy has looked at [authentication.mcp.04]', async () => {
  const socket = connect(port, '127.0.0.1')
  socket.end('GET /mcp HTTP/1.1\r\nHost: bank.example.com\r\nHost: attacker.example\r\nConnection: close\r\n\r\n')
  assert.match(await text(socket), /^HTTP\/1\.1 40[03] /)
})

test('a server that does not know its own URL does not start', async () => {
  const authenticator = createAuthenticator({
    bundles: domain.bundles,
    audiences: [AUDIENCE],
    replays: createMemoryReplayStore({ capacity: 10 }),
    observer,
  })
  for (const resource of ['', '/mcp', 'undefined', `${AUDIENCE}?x=1`, `${AUDIENCE}#x`, 'ftp://bank.example.com/mcp']) {
    assert.throws(() => protectMcp(authenticator, () => undefined, { resource, observer }), /needs \{ resource \}/)
  }
})
