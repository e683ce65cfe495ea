// Envoy on another machine: it asks over TLS, and its word about the certificates of its own clients counts as configured.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect as connectHttp2, type IncomingHttpHeaders } from 'node:http2'
import { after, test } from 'node:test'
import { connect as connectTls } from 'node:tls'
import { checkRequest, type Question, type Reply, readReply } from '../../../../../../test/support/ext-authz.ts'
import { type Observed, observed } from '../../../../../../test/support/gateways.ts'
import { AUDIENCE, testDomain } from '../../../../../../test/support/identities.ts'
import { mutableBundles, mutableSvid, testCa } from '../../../../../../test/support/x509-identities.ts'
import { clientTlsOptions } from '../../../authentication/mtls/client.ts'
import { proofHeaders } from '../../../authentication/wpt/create.ts'
import type { X509Svid } from '../../../credentials/x509-svid/source.ts'
import { anyOf, isBelow, isExactly } from '../../../identifiers/matcher.ts'
import { parseSpiffeId, parseWorkloadSpiffeId } from '../../../identifiers/spiffe-id.ts'
import { FrameReader, frameMessage } from '../../../provisioning/workload-api/grpc-framing.ts'
import { createGate, type GateOptions } from '../gate.ts'
import { CHECK_PATH } from './messages.ts'
import { startExtAuthz } from './server.ts'

const now = (): number => Math.floor(Date.now() / 1000)
const domain = testDomain('example.com', { now: now() })
const wit = await domain.wit()
const ca = await testCa('example.com')
const impostorCa = await testCa('example.com')
const bundles = mutableBundles({ ...ca.bundle, witAuthorities: domain.bundle.witAuthorities })
const ENVOY = parseSpiffeId('spiffe://example.com/proxy/envoy')
const BOT = 'spiffe://example.com/agent/bot'
const envoy = await ca.svid('/proxy/envoy')
const other = await ca.svid('/agent/bot')
const impostor = await impostorCa.svid('/proxy/envoy')
const opened: (() => unknown)[] = []
after(async () => {
  for (const close of opened.reverse()) await close()
})

interface Asked extends Observed {
  /** Asks as the holder of this SVID, or as nobody. `undefined`: the connection was closed without an answer. */
  ask(question: Question, as?: X509Svid | null): Promise<Reply | undefined>
}

async function start(routes: GateOptions['routes'] = undefined): Promise<Asked> {
  const proxies = [
    { proxy: isExactly(ENVOY), vouchesFor: isBelow(parseWorkloadSpiffeId('spiffe://example.com/agent')) },
  ]
  const seen = observed(domain, { bundles, methods: ['wit+wpt', 'forwarded'], proxies })
  const { authenticator, observer } = seen
  const server = await startExtAuthz({
    gate: createGate({ authenticator, observer, ...(routes === undefined ? {} : { routes }) }),
    listen: { host: '127.0.0.1', port: 0 },
    tls: {
      source: mutableSvid(await ca.svid('/service/gateway', { dnsNames: ['localhost'] })),
      bundles,
      peer: anyOf(isExactly(ENVOY)),
      observer,
      admitWithoutCertificate: false,
    },
  })
  opened.push(() => server.close())
  return { ...seen, ask: (question, as = envoy) => askOver(server.port ?? 0, question, as) }
}

async function askOver(port: number, question: Question, as: X509Svid | null): Promise<Reply | undefined> {
  const own =
    as === null ? { rejectUnauthorized: false } : clientTlsOptions(mutableSvid(as), { bundles, peer: () => true })
  const socket = connectTls({ port, host: '127.0.0.1', servername: 'localhost', ...own, ALPNProtocols: ['h2'] })
  socket.on('error', () => undefined)
  await once(socket, 'secureConnect')
  const session = connectHttp2('https://localhost', { createConnection: () => socket })
  session.on('error', () => undefined)
  try {
    const stream = session.request({ ':method': 'POST', ':path': CHECK_PATH, 'content-type': 'application/grpc' })
    const messages: Buffer[] = []
    const reader = new FrameReader(100_000)
    let headers: IncomingHttpHeaders = {}
    stream.on('error', () => undefined)
    stream.on('response', (some) => {
      headers = some
    })
    stream.on('data', (chunk: Buffer) => messages.push(...reader.push(chunk)))
    stream.end(frameMessage(checkRequest(question)))
    await once(stream, 'close')
    const [message] = messages
    if (message !== undefined) return readReply(message)
    assert.deepEqual(headers, {})
    return undefined
  } finally {
    session.destroy()
  }
}

// [authentication.gateway.06]
test('who Envoy says has shown a certificate is the caller, vouched for, and covers nothing', async () => {
  const { ask } = await start()
  const forged: Question['headers'] = [['x-forwarded-client-cert', 'URI=spiffe://example.com/agent/admin']]
  const reply = await ask({ headers: forged, principal: BOT })
  assert.equal(reply?.status, 200)
  assert.deepEqual(
    ['id', 'method', 'assurance', 'covers', 'via'].map((name) => reply?.headers[`aims-caller-${name}`]),
    [BOT, 'forwarded', 'vouched', 'none', ENVOY],
  )
  assert.deepEqual(reply?.remove, ['x-forwarded-client-cert'])
})

test('a proof counts more than what Envoy says', async () => {
  const { ask } = await start()
  const fields = proofHeaders(wit, { method: 'GET', target: '/api/events', audience: AUDIENCE }, { now: now() })
  const headers = Object.entries(fields).map(([name, value]): [string, string] => [name.toLowerCase(), value])
  const reply = await ask({ headers, principal: BOT })
  assert.deepEqual(
    [reply?.headers['aims-caller-id'], reply?.headers['aims-caller-method'], reply?.headers['aims-caller-via']],
    [wit.subject, 'wit+wpt', undefined],
  )
})

// One row per way in which what Envoy says does not count.
const XFCC: Question['headers'] = [['x-forwarded-client-cert', `URI=${BOT}`]]
for (const [title, question, status, code] of [
  ['says nothing', { headers: [] }, 401, 'authentication.missing'],
  ['says nothing, and its client writes the field', { headers: XFCC }, 401, 'authentication.missing'],
  ['names a subject that is no SPIFFE ID', { headers: XFCC, principal: 'CN=bot' }, 401, 'authentication.missing'],
  ['names somebody it may not speak for', { headers: [], principal: ENVOY }, 401, 'authentication.not_vouched'],
  [
    'names somebody of a trust domain that is not known',
    { headers: [], principal: 'spiffe://other.example/agent/bot' },
    401,
    'authentication.not_vouched',
  ],
  ['names a trust domain', { headers: [], principal: 'spiffe://example.com' }, 400, 'authentication.malformed_field'],
  [
    'names two callers in one',
    { headers: [], principal: `${BOT};URI=spiffe://example.com/agent/admin` },
    401,
    'authentication.missing',
  ],
  [
    'vouches where a proof must name the method',
    { path: '/bound', headers: [], principal: BOT },
    401,
    'proof.binding_missing',
  ],
  [
    'vouches where proofs are asked for',
    { path: '/proof', headers: [], principal: BOT },
    401,
    'authentication.method_not_allowed',
  ],
] as const satisfies readonly (readonly [string, Question, number, string])[]) {
  test(`a request of which Envoy ${title} is refused`, async () => {
    const { ask, reason } = await start([
      { path: '/bound', requires: { requireBinding: { method: true } } },
      { path: '/proof', requires: { accept: ['wit+wpt'] } },
      { path: '/*', requires: {} },
    ])
    assert.equal((await ask(question))?.status, status)
    assert.equal(reason(), code)
  })
}

// One row per stranger: nobody is answered before it is known that it is the proxy.
for (const [title, as, code] of [
  ['without a certificate', null, 'authentication.no_client_certificate'],
  ['of a workload that is not the proxy', other, 'authentication.peer_unexpected'],
  ['of another authority, that names the proxy', impostor, 'x509.untrusted'],
] as const) {
  test(`a connection ${title} is closed, and nothing of what it asks is judged`, async () => {
    const { ask, events } = await start()
    assert.equal(await ask({ headers: [], principal: BOT }, as), undefined)
    assert.deepEqual(
      events.map(({ action, reasons }) => [action, reasons]),
      [['connect', [code]]],
    )
  })
}
