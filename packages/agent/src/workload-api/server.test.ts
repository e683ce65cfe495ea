import assert from 'node:assert/strict'
import { chmodSync, existsSync, mkdtempSync, rmSync, statSync } from 'node:fs'
import { type ClientHttp2Session, connect as connectHttp2, type OutgoingHttpHeaders } from 'node:http2'
import { connect as connectSocket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { type AttestationResult, type PeerCredentials, unixAttestor } from 'aims/attestation'
import { AimsError, type AuditEvent } from 'aims/base'
import { verifyWit, verifyX509Svid, type X509Svid } from 'aims/credentials'
import { parseWorkloadSpiffeId } from 'aims/identifiers'
import {
  connectWorkload,
  frameMessage,
  GRPC_STATUS,
  WORKLOAD_API,
  WorkloadApiClient,
  type X509Context,
} from 'aims/provisioning'
import { IssuingBackend } from '../../../../test/support/issuing-backend.ts'
import { WorkloadApiServer, type WorkloadApiServerOptions } from './server.ts'

const ME = 'spiffe://example.com/agent/calendar-bot'
const OTHER = 'spiffe://example.com/agent/mail-bot'
const MY_UID = `unix:uid:${process.geteuid?.()}`

// One for all tests: it hashes the Node executable once.
const attestor = unixAttestor()

let dir: string
let backend: IssuingBackend
let server: WorkloadApiServer
let client: WorkloadApiClient
let records: AuditEvent[]
let auditFailure: Error | undefined

const code =
  (expected: string): ((error: unknown) => boolean) =>
  (error) =>
    AimsError.is(error) && error.code === expected

function options(): WorkloadApiServerOptions {
  const observer = {
    async record(event: AuditEvent): Promise<void> {
      if (auditFailure !== undefined) throw auditFailure
      records.push(event)
    },
  }
  return { socketPath: join(dir, 's'), backend, observer, attestor }
}

async function restart(overrides: Partial<WorkloadApiServerOptions> = {}): Promise<void> {
  client.close()
  await server.close()
  server = await WorkloadApiServer.start({ ...options(), ...overrides })
  client = new WorkloadApiClient({ address: server.address })
}

beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'aims-wl-'))
  records = []
  auditFailure = undefined
  backend = await IssuingBackend.create()
  backend.set([{ spiffeId: ME, selector: MY_UID }])
  server = await WorkloadApiServer.start(options())
  client = new WorkloadApiClient({ address: server.address })
})

afterEach(async () => {
  client.close()
  await server.close()
  rmSync(dir, { recursive: true })
})

/** One call by hand: its HTTP/2 status line and trailers in one. */
async function call(
  headers: OutgoingHttpHeaders,
  body: Buffer = frameMessage(Buffer.alloc(0)),
): Promise<{ readonly status: string; readonly message: string }> {
  const session = connectHttp2('http://localhost', { createConnection: () => connectSocket(join(dir, 's')) })
  try {
    return await callOn(session, headers, body)
  } finally {
    session.destroy()
  }
}

function callOn(
  session: ClientHttp2Session,
  headers: OutgoingHttpHeaders,
  body: Buffer,
): Promise<{ readonly status: string; readonly message: string }> {
  return new Promise((resolve, reject) => {
    const stream = session.request({
      ':method': 'POST',
      ':path': WORKLOAD_API.fetchX509Svid.path,
      'content-type': 'application/grpc',
      te: 'trailers',
      ...headers,
    })
    const take = (answer: Record<string, unknown>): void => {
      if (typeof answer['grpc-status'] !== 'string') return
      resolve({ status: answer['grpc-status'], message: String(answer['grpc-message'] ?? '') })
    }
    stream.on('response', take).on('trailers', take).on('error', reject)
    stream.on('close', () => reject(new Error('closed without a status')))
    stream.resume().end(body)
  })
}

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
const HEADER = { 'workload.spiffe.io': 'true' }

test('a process gets its X.509-SVID, WIT, JWT-SVID and bundles, and they verify', async () => {
  using workload = await connectWorkload({ address: server.address })
  assert.equal(workload.spiffeId, ME)
  const now = Math.floor(Date.now() / 1000)
  const { bundles } = workload
  const svid = workload.x509.x509Svid()
  assert.equal(verifyX509Svid(svid.certificates, { bundles, now }).subject, ME)
  assert.equal(verifyWit(workload.wit.wit().token, { bundles, now, profile: 'wimse' }).subject, ME)
  const jwt = await workload.jwt.jwtSvid('https://api.example.com')
  const validated = await workload.client.validateJwtSvid('https://api.example.com', jwt.token)
  assert.deepEqual([validated.spiffeId, validated.claims.sub], [ME, ME])
  const bundle = bundles.bundleFor(backend.trustDomain)
  assert.deepEqual(bundle?.x509Authorities.map(Buffer.from), backend.bundle.x509Authorities.map(Buffer.from))
  assert.deepEqual([...(bundle?.jwtAuthorities.keys() ?? [])], [...backend.bundle.jwtAuthorities.keys()])
  assert.deepEqual([...(bundle?.witAuthorities.keys() ?? [])], [...backend.bundle.witAuthorities.keys()])
})

// [provisioning.endpoint.03]
describe('the security header is looked at before anything else', () => {
  const rows: readonly (readonly [string, OutgoingHttpHeaders])[] = [
    ['absent', {}],
    ['in other letters', { 'workload.spiffe.io': 'True' }],
    ['1', { 'workload.spiffe.io': '1' }],
    ['twice', { 'workload.spiffe.io': ['true', 'true'] }],
    ['with a blank', { 'workload.spiffe.io': 'true ,' }],
    ['absent on an unknown method', { ':path': '/grpc.reflection.v1.ServerReflection/ServerReflectionInfo' }],
    ['absent on another HTTP method', { ':method': 'PATCH', 'content-type': 'text/html' }],
  ]
  for (const [title, headers] of rows) {
    test(title, async () => {
      backend.snapshots = 0
      assert.equal((await call(headers)).status, String(GRPC_STATUS.invalidArgument))
      assert.equal(backend.snapshots, 0)
    })
  }
})

describe('what is no call of this service is refused', () => {
  const audience = (values: readonly string[], spiffeId = ''): Buffer =>
    frameMessage(WORKLOAD_API.fetchJwtSvid.request.encode({ audience: values, spiffeId }))
  const jwt = { ...HEADER, ':path': WORKLOAD_API.fetchJwtSvid.path }
  const validate = { ...HEADER, ':path': WORKLOAD_API.validateJwtSvid.path }
  const wits = { ...HEADER, ':path': WORKLOAD_API.fetchWitSvid.path }
  const token = (claimed: { audience: string; svid: string }): Buffer =>
    frameMessage(WORKLOAD_API.validateJwtSvid.request.encode(claimed))
  const { invalidArgument, permissionDenied, resourceExhausted, unimplemented } = GRPC_STATUS
  const rows: readonly (readonly [string, number, OutgoingHttpHeaders, Buffer?])[] = [
    ['an unknown method', unimplemented, { ...HEADER, ':path': '/SpiffeWorkloadAPI/FetchSecrets' }],
    ['a path with two slashes', unimplemented, { ...HEADER, ':path': '//SpiffeWorkloadAPI/FetchX509SVID' }],
    ['a path in other letters', unimplemented, { ...HEADER, ':path': '/spiffeworkloadapi/fetchx509svid' }],
    ['a path with a query', unimplemented, { ...HEADER, ':path': '/SpiffeWorkloadAPI/FetchX509SVID?x' }],
    ['another HTTP method', unimplemented, { ...HEADER, ':method': 'PUT' }],
    ['another content type', unimplemented, { ...HEADER, 'content-type': 'application/json' }],
    ['a compressed request', unimplemented, { ...HEADER, 'grpc-encoding': 'gzip' }],
    ['no message', invalidArgument, HEADER, Buffer.alloc(0)],
    ['two messages', invalidArgument, HEADER, Buffer.alloc(10)],
    ['half a message', invalidArgument, HEADER, Buffer.from('0000000002aa', 'hex')],
    ['a message that is not protobuf', invalidArgument, HEADER, frameMessage(Buffer.from('ff', 'hex'))],
    ['a message that is too large', resourceExhausted, HEADER, frameMessage(Buffer.alloc(64 * 1024 + 1))],
    // [provisioning.workload-api.07] [provisioning.workload-api.10]
    ['a JWT-SVID for nobody', invalidArgument, jwt, audience([])],
    ['a JWT-SVID for an empty audience', invalidArgument, jwt, audience(['a', ''])],
    ['a JWT-SVID of a malformed identity', invalidArgument, jwt, audience(['a'], 'spiffe://example.com/../x')],
    ['a JWT-SVID of a trust domain', invalidArgument, jwt, audience(['a'], 'spiffe://example.com')],
    // [provisioning.workload-api.09]
    ['a JWT-SVID of another identity', permissionDenied, jwt, audience(['a'], OTHER)],
    [
      'a WIT of another identity',
      permissionDenied,
      wits,
      frameMessage(WORKLOAD_API.fetchWitSvid.request.encode({ spiffeId: OTHER })),
    ],
    ['validation without audience', invalidArgument, validate, token({ audience: '', svid: 'a.b.c' })],
    ['validation without token', invalidArgument, validate, token({ audience: 'a', svid: '' })],
    ['validation of what is no token', invalidArgument, validate, token({ audience: 'a', svid: 'a.b.c' })],
  ]
  for (const [title, status, headers, body] of rows) {
    test(title, async () => {
      assert.equal((await call(headers, body)).status, String(status))
    })
  }

  // [provisioning.workload-api.14]
  test('validation of a token of a foreign trust domain', async () => {
    const foreign = await IssuingBackend.create('evil.example')
    foreign.set([{ spiffeId: 'spiffe://evil.example/x' }])
    const [svid] = await foreign.jwtSvids(NOBODY, ['a'])
    assert.ok(svid !== undefined)
    await assert.rejects(client.validateJwtSvid('a', svid.token), code('provisioning.endpoint_refused'))
  })
})

// [provisioning.workload-api.09]
test('without an identity every method is refused, and the refusal is recorded', async () => {
  backend.set([{ spiffeId: ME, selector: 'unix:uid:4294967294' }])
  for (const ask of [
    () => client.fetchX509Svids(),
    () => client.fetchX509Bundles(),
    () => client.fetchJwtSvids({ audience: 'a' }),
    () => client.fetchJwtBundles(),
    () => client.fetchWits(),
    () => client.fetchWitBundles(),
    () => client.validateJwtSvid('a', 'a.b.c'),
  ]) {
    await assert.rejects(ask(), code('provisioning.no_identity'))
  }
  const refusals = records.filter(({ type }) => type === 'provisioning.refused')
  assert.equal(refusals.length, 7)
  for (const { decision, details } of refusals) assert.deepEqual([decision, details?.pid], ['deny', process.pid])
})

test('an identity without a kind of credential is refused that kind only', async () => {
  backend.set([{ spiffeId: ME, kinds: ['jwt'] }])
  await assert.rejects(client.fetchX509Svids(), code('provisioning.no_identity'))
  await assert.rejects(client.fetchWits(), code('provisioning.no_identity'))
  const [svid] = await client.fetchJwtSvids({ audience: 'a' })
  assert.equal(svid?.spiffeId, ME)
  assert.equal((await client.fetchX509Bundles()).size, 1)
})

test('several identities come in order, with their hints and the bundles of federated domains', async () => {
  const foreign = await IssuingBackend.create('partner.example')
  backend.set(
    [
      { spiffeId: ME, hint: 'internal' },
      { spiffeId: OTHER, hint: 'external' },
    ],
    [foreign.bundle],
  )
  const { svids, bundles } = await client.fetchX509Svids()
  assert.deepEqual(
    svids.map(({ spiffeId, hint }) => [spiffeId, hint]),
    [
      [ME, 'internal'],
      [OTHER, 'external'],
    ],
  )
  assert.deepEqual([...bundles.keys()], ['example.com', 'partner.example'])
  assert.deepEqual([...(await client.fetchWitBundles()).keys()], ['example.com', 'partner.example'])
  using one = await connectWorkload({ address: server.address, spiffeId: parseWorkloadSpiffeId(OTHER) })
  assert.equal(one.spiffeId, OTHER)
  assert.equal(one.wit.wit().subject, OTHER)
})

test('attestation is recorded before the answer, and without a record there is no answer', async () => {
  await client.fetchWits()
  const [first] = records
  assert.equal(first?.type, 'attestation.succeeded')
  assert.ok(first?.posture?.selectors?.includes(MY_UID))
  await client.fetchWits()
  assert.equal(records.length, 1)
  auditFailure = new Error('disk full')
  await restart()
  await assert.rejects(client.fetchWits(), code('provisioning.endpoint_unavailable'))
  assert.equal(records.length, 1)
})

test('a backend that cannot answer is unavailable, and its message stays here', async () => {
  backend.failure = new AimsError('operation.server_unreachable', 'secret details')
  await assert.rejects(client.fetchX509Svids(), code('provisioning.endpoint_unavailable'))
  const answer = await call(HEADER)
  assert.deepEqual(answer, { status: '14', message: 'operation.server_unreachable' })
  backend.failure = new Error('secret details')
  assert.equal((await call(HEADER)).message.includes('secret'), false)
})

describe('a stream', () => {
  async function* states(): AsyncGenerator<X509Context> {
    const queue: X509Context[] = []
    let wake = (): void => undefined
    let ended: unknown
    const watching = client
      .watchX509Svids({
        onUpdate(state) {
          queue.push(state)
          wake()
        },
      })
      .then(() => 'ended')
      .catch((error: unknown) => error)
    watching.then((end) => {
      ended = end
      wake()
    })
    for (;;) {
      const state = queue.shift()
      if (state !== undefined) yield state
      else if (ended !== undefined) throw ended
      else await new Promise<void>((resolve) => (wake = resolve))
    }
  }
  const next = async (stream: AsyncGenerator<X509Context>): Promise<X509Svid> => {
    const { value } = await stream.next()
    const [svid] = value.svids
    assert.ok(svid !== undefined)
    return svid
  }

  // [provisioning.workload-api.03]
  test('begins with the state and follows rotation', async () => {
    const stream = states()
    const first = await next(stream)
    backend.rotate()
    const second = await next(stream)
    assert.notDeepEqual(second.certificates[0], first.certificates[0])
  })

  test('is not woken when nothing changed for it', async () => {
    const stream = states()
    await next(stream)
    backend.poke()
    backend.poke()
    await delay(100)
    backend.set([{ spiffeId: OTHER }])
    assert.equal((await next(stream)).spiffeId, OTHER)
  })

  test('ends with PermissionDenied when the last identity goes', async () => {
    const stream = states()
    await next(stream)
    backend.set([])
    await assert.rejects(stream.next(), code('provisioning.no_identity'))
  })

  test('keeps its state while the backend is away, and goes on after', async () => {
    const stream = states()
    await next(stream)
    backend.failure = new Error('away')
    backend.rotate()
    await delay(50)
    backend.failure = undefined
    await next(stream)
  })

  test('ends with Unavailable when the server stops, so that the client comes back', async () => {
    const stream = states()
    await next(stream)
    await server.close()
    await assert.rejects(stream.next(), code('provisioning.endpoint_unavailable'))
    assert.equal(backend.listeners, 0)
    server = await WorkloadApiServer.start(options())
  })

  test('ends when the process behind it is not the one that connected any more', async () => {
    let isGone = false
    const mortal = {
      type: 'unix' as const,
      async attest(_: PeerCredentials, { now }: { readonly now: number }): Promise<AttestationResult> {
        if (isGone) throw new AimsError('attestation.process_gone', 'ended')
        return {
          type: 'unix',
          selectors: [MY_UID],
          verifiedAt: now,
          binding: 'channel',
          freshness: 'live',
          debug: false,
          warnings: [],
          attributes: {},
        }
      },
    }
    await restart({ attestor: mortal })
    const stream = states()
    await next(stream)
    isGone = true
    backend.rotate()
    await assert.rejects(stream.next(), code('provisioning.no_identity'))
    await assert.rejects(client.fetchX509Svids(), code('provisioning.no_identity'))
    assert.ok(
      records.some(
        ({ type, reasons }) => type === 'attestation.refused' && reasons?.[0] === 'attestation.process_gone',
      ),
    )
  })
})

test('one change costs one look-up per set of selectors, however many streams there are', async () => {
  const ended = new AbortController()
  let updates = 0
  let wanted = 50
  const reached = (): Promise<void> =>
    new Promise((resolve) => {
      const timer = setInterval(() => {
        if (updates < wanted) return
        clearInterval(timer)
        resolve()
      }, 5)
    })
  const clients = Array.from({ length: 5 }, () => new WorkloadApiClient({ address: server.address }))
  for (const one of clients) {
    for (let stream = 0; stream < 10; stream += 1) {
      void one.watchX509Svids({ signal: ended.signal, onUpdate: () => (updates += 1) })
    }
  }
  await reached()
  backend.snapshots = 0
  wanted = 100
  backend.rotate()
  await reached()
  assert.equal(backend.snapshots, 1)
  ended.abort()
  for (const one of clients) one.close()
})

test('a renewal is for those whose identity it is: others are not looked at', async () => {
  const client = new WorkloadApiClient({ address: server.address })
  const ended = new AbortController()
  const states: string[] = []
  const changed = async (count: number): Promise<void> => {
    while (states.length < count) await delay(5)
  }
  const onUpdate = ({ svids }: { readonly svids: readonly X509Svid[] }): void =>
    void states.push(svids[0]?.spiffeId ?? '')
  void client.watchX509Svids({ signal: ended.signal, onUpdate })
  await changed(1)
  // What a new stream is shown may be newer than what the process was last brought to: it is looked at once.
  backend.poke()
  await delay(100)
  backend.snapshots = 0
  backend.renew(OTHER)
  backend.renew(OTHER)
  await delay(100)
  assert.deepEqual([backend.snapshots, states], [0, [ME]])
  backend.renew(ME)
  await changed(2)
  assert.deepEqual([backend.snapshots, states], [1, [ME, ME]])
  // Everything that was missed comes with what concerns everybody.
  backend.renew(OTHER)
  backend.set([{ spiffeId: OTHER }])
  await changed(3)
  assert.equal(states[2], OTHER)
  ended.abort()
  client.close()
})

test('one user cannot hold more connections or calls than allowed', async () => {
  await restart({ maxConnectionsPerUser: 2, maxStreamsPerUser: 3 })
  const ended = new AbortController()
  const watch = (one: WorkloadApiClient): Promise<void> =>
    new Promise((resolve, reject) => {
      one.watchWits({ signal: ended.signal, onUpdate: () => resolve() }).catch(reject)
    })
  for (let stream = 0; stream < 3; stream += 1) await watch(client)
  await assert.rejects(watch(client), code('provisioning.endpoint_unavailable'))
  assert.equal((await call({ ...HEADER })).status, String(GRPC_STATUS.resourceExhausted))
  await delay(50)
  const second = connectSocket(join(dir, 's'))
  const third = connectSocket(join(dir, 's'))
  await new Promise((resolve) => third.once('close', resolve))
  assert.equal(second.destroyed, false)
  ended.abort()
  // What was given back may be taken again.
  second.destroy()
  await delay(50)
  await client.fetchWits()
})

// Each connection is recorded: without a limit any user of the socket fills the disk of the log.
test('one user cannot begin connections without end', async () => {
  await restart({ arrivalsPerUser: 1 })
  records.length = 0
  const begun = performance.now()
  let refused = 0
  for (let i = 0; i < 60; i += 1) {
    const before = records.length
    const socket = connectSocket(join(dir, 's'))
    socket.on('error', () => undefined).resume()
    while (!socket.closed && records.length === before) await delay(2)
    if (records.length === before) refused += 1
    socket.destroy()
  }
  const refilled = (performance.now() - begun) / 1000
  assert.ok(records.length <= 10 + refilled + 1, `${records.length} records`)
  assert.ok(refused > 0 || refilled > 49, `${refused} refused`)
})

test('a peer the kernel says nothing about is not served', async () => {
  await restart({
    peerCredentials: {
      read() {
        throw new AimsError('attestation.peer_unreadable', 'no credentials')
      },
    },
  })
  await assert.rejects(client.fetchWits(), code('provisioning.endpoint_unavailable'))
  assert.deepEqual(records, [])
})

test('the socket has its final mode, and is gone after the end', async () => {
  assert.equal(statSync(join(dir, 's')).mode & 0o777, 0o660)
  await restart({ socketMode: 0o666 })
  assert.equal(statSync(join(dir, 's')).mode & 0o777, 0o666)
  await server.close()
  assert.equal(existsSync(join(dir, 's')), false)
  chmodSync(dir, 0o777)
  await assert.rejects(WorkloadApiServer.start(options()), code('operation.socket_directory_open'))
  assert.equal(backend.listeners, 0)
  chmodSync(dir, 0o700)
  server = await WorkloadApiServer.start(options())
})

// [provisioning.workload-api.14]
test('a JWT-SVID that expired, or is for another audience, is not valid', async () => {
  const [svid] = await client.fetchJwtSvids({ audience: 'https://a.example' })
  assert.ok(svid !== undefined)
  assert.equal((await client.validateJwtSvid('https://a.example', svid.token)).spiffeId, ME)
  await assert.rejects(client.validateJwtSvid('https://b.example', svid.token), code('provisioning.endpoint_refused'))
})
