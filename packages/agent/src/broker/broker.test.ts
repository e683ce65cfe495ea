import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readlinkSync, rmSync } from 'node:fs'
import { type ClientHttp2Session, connect as connectHttp2, type OutgoingHttpHeaders } from 'node:http2'
import { connect as connectSocket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, before, beforeEach, describe, test } from 'node:test'
import { connect as connectTls, type TLSSocket } from 'node:tls'
import { fromBinary } from '@bufbuild/protobuf'
import { unixAttestor } from 'aims/attestation'
import { AimsError, type AuditEvent, encodePem } from 'aims/base'
import { bundleSource, decodeUnverifiedX509Svid, type X509Svid } from 'aims/credentials'
import { isExactly, parseSpiffeId } from 'aims/identifiers'
import {
  BROKER_API,
  FrameReader,
  frameMessage,
  GRPC_STATUS,
  kubernetesReference,
  pidReference,
  REFERENCE_TYPES,
} from 'aims/provisioning'
import { IssuingBackend } from '../../../../test/support/issuing-backend.ts'
import { protobufPeer } from '../../../../test/support/protobuf-peer.ts'
import { type TestCa, testCa } from '../../../../test/support/x509-identities.ts'
import { brokerSettings } from './configuration.ts'
import { BrokerServer } from './server.ts'

const WORKLOAD = 'spiffe://example.com/agent/calendar-bot'
const BROKER = parseSpiffeId('spiffe://example.com/mesh/broker')
const HEADER = { 'broker.spiffe.io': 'true' }
const { subscribeToX509Svid, subscribeToX509Bundles, fetchJwtSvid, subscribeToJwtBundles } = BROKER_API

const peer = protobufPeer({
  Status: ['code int32', 'message string', 'details google.protobuf.Any*'],
  ErrorInfo: ['reason string', 'domain string', 'metadata string{}'],
})

// One for all tests: it hashes the Node executable once.
const attestor = unixAttestor()

let dir: string
let ca: TestCa
let broker: X509Svid
let backend: IssuingBackend
let server: BrokerServer
let workload: ChildProcess
let records: AuditEvent[]

before(async () => {
  ca = await testCa()
  broker = await ca.svid('/mesh/broker')
})

beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'aims-broker-'))
  records = []
  workload = spawn('sleep', ['300'], { stdio: 'ignore' })
  await once(workload, 'spawn')
  backend = await IssuingBackend.create()
  backend.set([{ spiffeId: WORKLOAD, selector: `unix:path:${readlinkSync(`/proc/${workload.pid}/exe`)}` }])
  const agent = await ca.svid('/aims/node-agent')
  server = await BrokerServer.start({
    endpoint: { kind: 'unix', path: join(dir, 's') },
    x509: { x509Svid: () => agent },
    bundles: bundleSource(ca.bundle),
    callers: isExactly(BROKER),
    backend,
    attestor,
    interval: 50,
    observer: {
      async record(event) {
        records.push(event)
      },
    },
  })
})

afterEach(async () => {
  workload.kill('SIGKILL')
  await server.close()
  rmSync(dir, { recursive: true })
})

interface Answer {
  readonly status: string
  readonly message: string
  readonly reason: string
  readonly messages: readonly Buffer[]
}

/** A broker's side of the connection, or anybody's. */
async function connect(
  svid: X509Svid | undefined,
  options: { readonly alpn?: string } = {},
): Promise<ClientHttp2Session> {
  const credentials =
    svid === undefined
      ? {}
      : {
          cert: svid.certificates.map((der) => encodePem('CERTIFICATE', der)).join(''),
          key: svid.key.tlsKey.export({ type: 'pkcs8', format: 'pem' }),
        }
  const socket: TLSSocket = connectTls({
    socket: connectSocket(join(dir, 's')),
    rejectUnauthorized: false,
    ALPNProtocols: [options.alpn ?? 'h2'],
    ...credentials,
  })
  await once(socket, 'secureConnect')
  const { leaf } = decodeUnverifiedX509Svid([socket.getPeerX509Certificate()?.raw ?? Buffer.alloc(0)])
  // Clients check whom they ask, too.
  assert.deepEqual(leaf.altNames.uris, ['spiffe://example.com/aims/node-agent'])
  const session = connectHttp2('https://localhost', { createConnection: () => socket })
  session.on('error', () => undefined)
  return session
}

/** Runs one call to its end. */
async function call(
  session: ClientHttp2Session,
  path: string,
  body: Buffer,
  headers: OutgoingHttpHeaders = HEADER,
  onMessage: (count: number) => void = () => undefined,
): Promise<Answer> {
  const stream = session.request({
    ':method': 'POST',
    ':path': path,
    'content-type': 'application/grpc',
    te: 'trailers',
    ...headers,
  })
  const reader = new FrameReader(1024 * 1024)
  const messages: Buffer[] = []
  let end: Record<string, unknown> = {}
  const take = (answer: Record<string, unknown>): void => {
    if (answer['grpc-status'] !== undefined) end = answer
  }
  stream.on('response', take).on('trailers', take)
  stream.on('error', () => undefined)
  stream.on('data', (chunk: Buffer) => {
    messages.push(...reader.push(chunk))
    onMessage(messages.length)
  })
  stream.end(body)
  await once(stream, 'close')
  const status = String(end['grpc-status'])
  const message = decodeURI(String(end['grpc-message'] ?? ''))
  return { status, message, reason: reasonOf(end['grpc-status-details-bin']), messages }
}

function reasonOf(details: unknown): string {
  if (typeof details !== 'string') return ''
  const { details: list }: Record<string, unknown> = { ...fromBinary(peer('Status'), Buffer.from(details, 'base64')) }
  assert.ok(Array.isArray(list))
  const [{ typeUrl, value }] = list
  assert.equal(typeUrl, 'type.googleapis.com/google.rpc.ErrorInfo')
  const info: Record<string, unknown> = { ...fromBinary(peer('ErrorInfo'), value) }
  assert.equal(info.domain, 'spiffe.io')
  return String(info.reason)
}

const byPid = (pid: number): Buffer => byBytes(pidReference.encode(pid))
const byBytes = (value: Uint8Array, typeUrl: string = REFERENCE_TYPES.pid): Buffer =>
  frameMessage(subscribeToX509Svid.request.encode({ reference: { typeUrl, value } }))
const jwt = (pid: number, audience: readonly string[], spiffeId = ''): Buffer => {
  const reference = { typeUrl: REFERENCE_TYPES.pid, value: pidReference.encode(pid) }
  return frameMessage(fetchJwtSvid.request.encode({ reference, audience, spiffeId }))
}
const pidOf = (child: ChildProcess): number => child.pid ?? 0

async function using<T>(svid: X509Svid | undefined, run: (session: ClientHttp2Session) => Promise<T>): Promise<T> {
  const session = await connect(svid)
  try {
    return await run(session)
  } finally {
    session.destroy()
  }
}

// [provisioning.broker.01] [provisioning.broker.05]
test('a broker follows the X.509-SVID of a process through rotation to its end', async () => {
  const answer = await using(broker, (session) =>
    call(session, subscribeToX509Svid.path, byPid(pidOf(workload)), HEADER, (count) => {
      if (count === 1) backend.rotate()
      else workload.kill('SIGKILL')
    }),
  )
  assert.deepEqual([answer.status, answer.reason], [String(GRPC_STATUS.notFound), 'WORKLOAD_NOT_FOUND'])
  const [first, second] = answer.messages.map((bytes) => subscribeToX509Svid.response.decode(bytes))
  assert.deepEqual([first?.svids.length, first?.svids[0]?.spiffeId], [1, WORKLOAD])
  assert.notDeepEqual(second?.svids[0]?.x509Svid, first?.svids[0]?.x509Svid)
  const [attested] = records
  assert.deepEqual([attested?.type, attested?.agent?.id], ['attestation.succeeded', BROKER])
  assert.equal(attested?.details?.pid, pidOf(workload))
})

test('a broker gets bundles and JWT-SVIDs of a process', async () => {
  await using(broker, async (session) => {
    const { messages, status } = await call(session, fetchJwtSvid.path, jwt(pidOf(workload), ['https://a.example']))
    assert.equal(status, '0')
    assert.equal(fetchJwtSvid.response.decode(messages[0] ?? Buffer.alloc(0)).svids[0]?.spiffeId, WORKLOAD)
    for (const { path, response } of [subscribeToX509Bundles, subscribeToJwtBundles]) {
      const answer = await call(session, path, byPid(pidOf(workload)), HEADER, () => backend.set([]))
      const { bundles } = response.decode(answer.messages[0] ?? Buffer.alloc(0))
      assert.deepEqual([...bundles.keys()], ['spiffe://example.com'])
      assert.deepEqual([answer.status, answer.reason], ['7', 'WORKLOAD_NOT_ENTITLED'])
      backend.set([{ spiffeId: WORKLOAD }])
    }
  })
})

// [provisioning.broker.02]
describe('who is no broker', () => {
  test('an authentic caller that is not on the list gets nothing, and is recorded once', async () => {
    const other = await ca.svid('/mesh/other')
    const answers = await using(other, async (session) => [
      await call(session, subscribeToX509Svid.path, byPid(pidOf(workload))),
      await call(session, subscribeToX509Svid.path, byPid(pidOf(workload))),
    ])
    for (const { status, message, messages } of answers) {
      assert.deepEqual([status, message, messages.length], ['7', 'provisioning.broker_not_allowed', 0])
    }
    const refusals = records.filter(({ type }) => type === 'provisioning.refused')
    assert.deepEqual(
      refusals.map(({ agent, reasons }) => [agent?.id, reasons?.[0]]),
      [['spiffe://example.com/mesh/other', 'provisioning.broker_not_allowed']],
    )
  })

  const strangers: readonly (readonly [string, () => Promise<X509Svid | undefined>, string])[] = [
    ['a caller without certificate', async () => undefined, 'authentication.no_client_certificate'],
    ['the same name under another authority', async () => (await testCa()).svid('/mesh/broker'), 'x509.'],
    ['a caller of another trust domain', async () => (await testCa('evil.example')).svid('/mesh/broker'), 'x509.'],
    ['a certificate that has expired', async () => ca.svid('/mesh/broker', { ttl: -10 }), 'x509.'],
  ]
  for (const [title, svid, reason] of strangers) {
    test(title, async () => {
      const answer = await using(await svid(), (session) =>
        call(session, subscribeToX509Svid.path, byPid(pidOf(workload))),
      ).catch(() => undefined)
      assert.equal(answer?.messages.length ?? 0, 0)
      const [refusal] = records
      assert.equal(refusal?.type, 'authentication.refused')
      assert.ok(refusal?.reasons?.[0]?.startsWith(reason), refusal?.reasons?.[0])
    })
  }
})

// [provisioning.broker.03] [provisioning.broker.04]
describe('what is refused', () => {
  const kubernetes = (reference: Parameters<typeof kubernetesReference.encode>[0]): Buffer =>
    byBytes(kubernetesReference.encode(reference), REFERENCE_TYPES.kubernetes)
  const pods = { plural: 'pods', group: 'core' }
  const { path } = subscribeToX509Svid
  const REFERENCE = 'WORKLOAD_REFERENCE_INVALID'
  const rows: readonly (readonly [string, string, string, () => Buffer, string?, OutgoingHttpHeaders?])[] = [
    ['no security header', '3', '', () => byPid(1), path, {}],
    ['a security header in other letters', '3', '', () => byPid(1), path, { 'broker.spiffe.io': 'True' }],
    ['the header of the Workload API', '3', '', () => byPid(1), path, { 'workload.spiffe.io': 'true' }],
    ['a method that there is not', '12', '', () => byPid(1), '/spiffe.broker.API/FetchWITSVID'],
    ['a method of the Workload API', '12', '', () => byPid(1), '/SpiffeWorkloadAPI/FetchX509SVID'],
    ['no reference', '3', REFERENCE, () => frameMessage(Buffer.alloc(0))],
    ['an empty reference', '3', REFERENCE, () => frameMessage(Buffer.from('0a00', 'hex'))],
    ['a negative PID', '3', REFERENCE, () => byBytes(Buffer.from('08ffffffffffffffffff01', 'hex'))],
    ['PID 0', '3', REFERENCE, () => byPid(0)],
    ['a reference without PID', '3', REFERENCE, () => byBytes(Buffer.alloc(0))],
    ['a PID that is no protobuf', '3', REFERENCE, () => byBytes(Buffer.from('08', 'hex'))],
    [
      'a reference of an unknown type',
      '3',
      REFERENCE,
      () => byBytes(pidReference.encode(1), 'type.googleapis.com/x.Y'),
    ],
    [
      'a PID under another type URL',
      '3',
      REFERENCE,
      () => byBytes(pidReference.encode(1), 'spiffe.broker.WorkloadPIDReference'),
    ],
    [
      'a Kubernetes object',
      '3',
      REFERENCE,
      () => kubernetes({ type: pods, uid: 'a1b2c3d4-e5f6-7890-abcd-ef1234567890' }),
    ],
    ['a Kubernetes object without key and uid', '3', REFERENCE, () => kubernetes({ type: pods, uid: '' })],
    ['a process that there is not', '5', 'WORKLOAD_NOT_FOUND', () => byPid(0x7fff_fff0)],
    ['a process without identity', '7', 'WORKLOAD_NOT_ENTITLED', () => byPid(process.pid)],
    ['a JWT-SVID for nobody', '3', '', () => jwt(pidOf(workload), []), fetchJwtSvid.path],
    [
      'a JWT-SVID of another identity',
      '7',
      'WORKLOAD_NOT_ENTITLED',
      () => jwt(pidOf(workload), ['a'], BROKER),
      fetchJwtSvid.path,
    ],
    ['what is no protobuf', '3', '', () => frameMessage(Buffer.from('ff', 'hex'))],
  ]
  for (const [title, status, reason, body, method = path, headers = HEADER] of rows) {
    test(title, async () => {
      const answer = await using(broker, (session) => call(session, method, body(), headers))
      assert.deepEqual([answer.status, answer.reason, answer.messages.length], [status, reason, 0])
    })
  }

  test('a process that has ended, also while its parent has not noticed', async () => {
    workload.kill('SIGKILL')
    const answer = await using(broker, (session) => call(session, path, byPid(pidOf(workload))))
    assert.deepEqual([answer.status, answer.reason], ['5', 'WORKLOAD_NOT_FOUND'])
  })

  test('a caller that speaks no HTTP/2', async () => {
    await assert.rejects(connect(broker, { alpn: 'http/1.1' }))
  })
})

test('calls about several processes of one connection are kept apart', async () => {
  backend.set([{ spiffeId: WORKLOAD }])
  const second = spawn('sleep', ['300'], { stdio: 'ignore' })
  await once(second, 'spawn')
  await using(broker, async (session) => {
    const ended = call(session, subscribeToX509Svid.path, byPid(pidOf(second)), HEADER, () => second.kill('SIGKILL'))
    let answers = 0
    const kept = call(session, subscribeToX509Svid.path, byPid(pidOf(workload)), HEADER, (count) => {
      answers = count
    })
    assert.equal((await ended).status, '5')
    backend.rotate()
    while (answers < 2) await new Promise((resolve) => setTimeout(resolve, 20))
    workload.kill('SIGKILL')
    assert.equal((await kept).reason, 'WORKLOAD_NOT_FOUND')
  })
})

describe('the configuration of a broker endpoint', () => {
  const good = {
    'agent.broker.address': 'unix:///run/aims/broker.sock',
    'agent.broker.spiffeId': 'spiffe://example.com/aims-agent',
    'agent.broker.callers': [BROKER],
  }
  test('is absent, or complete', () => {
    assert.equal(brokerSettings({}), undefined)
    const settings = brokerSettings({ ...good, 'agent.broker.address': 'tcp://127.0.0.1:8000' })
    assert.deepEqual(settings?.endpoint, { kind: 'tcp', host: '127.0.0.1', port: 8000 })
    assert.equal(settings?.callers(BROKER), true)
    assert.equal(settings?.callers(parseSpiffeId('spiffe://example.com/mesh')), false)
  })
  for (const [title, wrong] of [
    ['no callers', { 'agent.broker.callers': [] }],
    ['a caller that is no SPIFFE ID', { 'agent.broker.callers': ['example.com'] }],
    ['a whole trust domain', { 'agent.broker.callers': ['spiffe://example.com'] }],
    ['no identity', { 'agent.broker.spiffeId': undefined }],
    ['an address of another machine', { 'agent.broker.address': 'tcp://192.0.2.1:8000' }],
    ['an address that is none', { 'agent.broker.address': '/run/aims/broker.sock' }],
  ] as const) {
    test(`is refused with ${title}`, () => {
      assert.throws(
        () => brokerSettings({ ...good, ...wrong }),
        (error) => AimsError.is(error) && error.code === 'operation.config_invalid',
      )
    })
  }
})
