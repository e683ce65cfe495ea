import assert from 'node:assert/strict'
import { createPrivateKey } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { connect as connectHttp2 } from 'node:http2'
import { connect as connectSocket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, test } from 'node:test'
import { Client, type ClientDuplexStream, credentials, Metadata, type ServiceError, status } from '@grpc/grpc-js'
import { unixAttestor } from 'aims/attestation'
import { AimsError, type AuditEvent, type JsonObject } from 'aims/base'
import { bundleSource, decodeUnverifiedX509Svid, verifyX509Svid } from 'aims/credentials'
import {
  type DiscoveryRequest,
  type DiscoveryResponse,
  FrameReader,
  frameMessage,
  SECRET_DISCOVERY,
  SECRET_TYPE,
} from 'aims/provisioning'
import { type ReadSecret, readSecret } from '../../../../test/support/envoy-secret.ts'
import { IssuingBackend } from '../../../../test/support/issuing-backend.ts'
import { WorkloadApiServer, type WorkloadApiServerOptions } from '../workload-api/server.ts'
import { secretSettings } from './configuration.ts'
import { DEFAULT_SECRETS } from './secret-cache.ts'

const ME = 'spiffe://example.com/agent/calendar-bot'
const OTHER = 'spiffe://example.com/agent/mail-bot'
const DOMAIN = 'spiffe://example.com'
const PARTNER = 'spiffe://partner.example'
const { streamSecrets, fetchSecrets, deltaSecretsPath } = SECRET_DISCOVERY

// One for all tests: it hashes the Node executable once.
const attestor = unixAttestor()

let dir: string
let backend: IssuingBackend
let partner: IssuingBackend
let server: WorkloadApiServer
let client: Client
let records: AuditEvent[]

async function start(overrides: Partial<WorkloadApiServerOptions> = {}): Promise<void> {
  const observer = {
    async record(event: AuditEvent): Promise<void> {
      records.push(event)
    },
  }
  server = await WorkloadApiServer.start({ socketPath: join(dir, 's'), backend, observer, attestor, ...overrides })
  client = new Client(server.address, credentials.createInsecure())
}

async function stop(): Promise<void> {
  client.close()
  await server.close()
}

beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'aims-sds-'))
  records = []
  backend = await IssuingBackend.create()
  partner = await IssuingBackend.create('partner.example')
  backend.set([{ spiffeId: ME }, { spiffeId: OTHER }], [partner.bundle])
  await start()
})

afterEach(async () => {
  await stop()
  rmSync(dir, { recursive: true })
})

const ask = (resourceNames: readonly string[], rest: Partial<DiscoveryRequest> = {}): DiscoveryRequest => ({
  versionInfo: '',
  resourceNames,
  typeUrl: SECRET_TYPE,
  responseNonce: '',
  ...rest,
})

/** One call of `FetchSecrets`. */
function fetch(
  request: DiscoveryRequest | Buffer,
  path: string = fetchSecrets.path,
  metadata: Metadata = new Metadata(),
): Promise<DiscoveryResponse> {
  return new Promise((resolve, reject) => {
    client.makeUnaryRequest(
      path,
      (message: DiscoveryRequest | Buffer) =>
        Buffer.isBuffer(message) ? message : fetchSecrets.request.encode(message),
      (bytes: Buffer) => fetchSecrets.response.decode(bytes),
      request,
      metadata,
      (error, answer) => (answer === undefined ? reject(error) : resolve(answer)),
    )
  })
}

/** A client of `StreamSecrets`, as careful as Envoy: it answers each response with its nonce. */
class Subscription {
  readonly #call: ClientDuplexStream<DiscoveryRequest, DiscoveryResponse>
  readonly #queue: DiscoveryResponse[] = []
  #wake = (): void => undefined
  #error: ServiceError | undefined
  #isOver = false
  last: DiscoveryResponse | undefined

  constructor() {
    const { path, request, response } = streamSecrets
    this.#call = client.makeBidiStreamRequest(path, request.encode, (bytes: Buffer) => response.decode(bytes))
    this.#call.on('data', (message: DiscoveryResponse) => {
      this.#queue.push(message)
      this.#wake()
    })
    this.#call.on('error', (error: ServiceError) => {
      this.#error = error
      this.#wake()
    })
    this.#call.on('end', () => {
      this.#isOver = true
      this.#wake()
    })
  }

  send(names: readonly string[], rest: Partial<DiscoveryRequest> = {}): void {
    const { versionInfo = '', nonce = '' } = this.last ?? {}
    this.#call.write(ask(names, { versionInfo, responseNonce: nonce, ...rest }))
  }

  /** The next response, and what is in it. */
  async next(): Promise<ReadonlyMap<string, ReadSecret>> {
    while (this.#queue.length === 0 && this.#error === undefined) await this.#something()
    this.last = this.#queue.shift()
    if (this.last === undefined) throw this.#error
    return secretsOf(this.last)
  }

  /** Half-closes, and waits for the end. */
  async end(): Promise<void> {
    this.#call.end()
    while (!this.#isOver && this.#error === undefined) await this.#something()
    if (this.#error !== undefined) throw this.#error
  }

  cancel(): void {
    this.#call.cancel()
  }

  get waiting(): number {
    return this.#queue.length
  }

  #something(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve
    })
  }
}

function secretsOf({ resources }: DiscoveryResponse): ReadonlyMap<string, ReadSecret> {
  return new Map(resources.map(readSecret).map((secret) => [secret.name, secret]))
}

const withStatus =
  (code: status, text?: string) =>
  (error: ServiceError): boolean =>
    error.code === code && (text === undefined || error.details === text)

test('a process gets its certificate and key by its SPIFFE ID, and they verify', async () => {
  const response = await fetch(ask([ME, DOMAIN]))
  assert.equal(response.typeUrl, SECRET_TYPE)
  const { certificates = [], privateKey = Buffer.alloc(0) } = secretsOf(response).get(ME) ?? {}
  const bundles = bundleSource(backend.bundle)
  const { subject, publicKey } = verifyX509Svid(certificates, { bundles, now: Math.floor(Date.now() / 1000) })
  assert.equal(subject, ME)
  const key = createPrivateKey({ key: Buffer.from(privateKey), format: 'der', type: 'pkcs8' })
  assert.equal(key.asymmetricKeyType, publicKey.asymmetricKeyType)
  const own = secretsOf(response).get(DOMAIN)?.spiffe
  assert.deepEqual([...(own?.keys() ?? [])], ['example.com'])
  assert.deepEqual(own?.get('example.com')?.map(Buffer.from), backend.bundle.x509Authorities.map(Buffer.from))
})

// [provisioning.sds.02] [provisioning.sds.03]
describe('secrets by name', () => {
  const trust = (secret: ReadSecret | undefined): readonly string[] => [...(secret?.spiffe?.keys() ?? [])]
  const subject = ({ certificates = [] }: ReadSecret): string =>
    decodeUnverifiedX509Svid(certificates).leaf.altNames.uris.join()

  test('no name is all of them', async () => {
    assert.deepEqual([...secretsOf(await fetch(ask([]))).keys()], [ME, OTHER, DOMAIN, PARTNER])
  })

  test('the default certificate is that of the first identity', async () => {
    const secret = secretsOf(await fetch(ask(['default']))).get('default')
    assert.ok(secret !== undefined)
    assert.equal(subject(secret), ME)
  })

  test('ROOTCA is the own trust domain, ALL is each by its own authorities', async () => {
    const secrets = secretsOf(await fetch(ask(['ROOTCA', 'ALL', PARTNER])))
    assert.deepEqual(trust(secrets.get('ROOTCA')), ['example.com'])
    assert.deepEqual(trust(secrets.get('ALL')), ['example.com', 'partner.example'])
    assert.deepEqual(trust(secrets.get(PARTNER)), ['partner.example'])
  })

  test("the names are the operator's choice", async () => {
    await stop()
    await start({ secrets: { ...DEFAULT_SECRETS, defaultSvid: 'mine', defaultBundle: 'roots', allBundles: 'world' } })
    assert.deepEqual([...secretsOf(await fetch(ask(['mine', 'roots', 'world']))).keys()], ['mine', 'roots', 'world'])
    for (const name of ['default', 'ROOTCA', 'ALL']) {
      await assert.rejects(fetch(ask([name])), withStatus(status.PERMISSION_DENIED, 'provisioning.not_entitled'))
    }
  })

  const nodes: readonly (readonly [string, boolean, JsonObject])[] = [
    ['a node that asks for no SPIFFE validator', true, { disable_spiffe_cert_validation: true }],
    ['the same as text', true, { disable_spiffe_cert_validation: 'true' }],
    ['a node that wants one', false, { disable_spiffe_cert_validation: false }],
    ['a node that says something else', false, { disable_spiffe_cert_validation: 1, other: 'true' }],
  ]
  for (const [title, isPlain, nodeMetadata] of nodes) {
    test(title, async () => {
      const secret = secretsOf(await fetch(ask(['ROOTCA'], { nodeMetadata }))).get('ROOTCA')
      assert.equal(secret?.trustedCa !== undefined, isPlain)
      assert.equal(secret?.spiffe !== undefined, !isPlain)
    })
  }

  test('an operator may prefer plain authorities, and a node the SPIFFE validator', async () => {
    await stop()
    await start({ secrets: { ...DEFAULT_SECRETS, validator: 'trusted-ca' } })
    assert.ok(secretsOf(await fetch(ask(['ROOTCA']))).get('ROOTCA')?.trustedCa !== undefined)
    const nodeMetadata = { disable_spiffe_cert_validation: 'false' }
    assert.ok(secretsOf(await fetch(ask(['ALL'], { nodeMetadata }))).get('ALL')?.spiffe !== undefined)
  })
})

// [provisioning.sds.01] [provisioning.sds.04]
describe('what is refused', () => {
  const { INVALID_ARGUMENT, PERMISSION_DENIED, RESOURCE_EXHAUSTED, UNIMPLEMENTED } = status
  const rows: readonly (readonly [string, status, string, DiscoveryRequest | Buffer, string?])[] = [
    ['an identity of another', PERMISSION_DENIED, 'provisioning.not_entitled', ask(['spiffe://example.com/other'])],
    ['the authorities of a stranger', PERMISSION_DENIED, 'provisioning.not_entitled', ask(['spiffe://evil.example'])],
    ['an unknown name beside a known one', PERMISSION_DENIED, 'provisioning.not_entitled', ask([ME, 'other'])],
    [
      'one list of the authorities of all',
      PERMISSION_DENIED,
      'provisioning.not_entitled',
      ask(['ALL'], { nodeMetadata: { disable_spiffe_cert_validation: true } }),
    ],
    ['another type', INVALID_ARGUMENT, 'only secrets are served here', ask([ME], { typeUrl: 'x/y' })],
    ['an empty name', INVALID_ARGUMENT, 'a malformed resource name', ask([''])],
    ['a name without end', INVALID_ARGUMENT, 'a malformed resource name', ask(['a'.repeat(2049)])],
    ['names without end', INVALID_ARGUMENT, 'too many resource names', ask(Array(257).fill(ME))],
    ['what is no protobuf', INVALID_ARGUMENT, 'provisioning.malformed_message', Buffer.from('ff', 'hex')],
    [
      'a request that is too large',
      RESOURCE_EXHAUSTED,
      'provisioning.message_too_large',
      Buffer.alloc(1024 * 1024 + 1),
    ],
    [
      'the incremental form',
      UNIMPLEMENTED,
      'use StreamSecrets: secrets are few, and always sent together',
      ask([ME]),
      deltaSecretsPath,
    ],
    [
      'a method that there is not',
      INVALID_ARGUMENT,
      'security header missing from request',
      ask([ME]),
      '/envoy.service.secret.v3.SecretDiscoveryService/Other',
    ],
  ]
  for (const [title, code, text, request, path] of rows) {
    test(title, async () => {
      await assert.rejects(fetch(request, path), withStatus(code, text))
    })
  }

  test('a process without identity, and the refusal is recorded', async () => {
    backend.set([])
    await assert.rejects(fetch(ask([])), withStatus(PERMISSION_DENIED, 'provisioning.no_identity'))
    const [refusal] = records.filter(({ type }) => type === 'provisioning.refused')
    assert.deepEqual([refusal?.action, refusal?.details?.pid], [fetchSecrets.path, process.pid])
  })

  test('an identity without X.509-SVID', async () => {
    backend.set([{ spiffeId: ME, kinds: ['wit'] }])
    await assert.rejects(fetch(ask(['default'])), withStatus(PERMISSION_DENIED, 'provisioning.no_identity'))
  })

  test('while the server is away', async () => {
    backend.failure = new AimsError('operation.server_unreachable', 'secret details')
    await assert.rejects(fetch(ask([ME])), withStatus(status.UNAVAILABLE, 'operation.server_unreachable'))
  })

  test('two secrets of one name in the configuration', () => {
    assert.throws(
      () => secretSettings({ 'agent.sds.allBundles': 'ROOTCA' }),
      (error) => AimsError.is(error) && error.code === 'operation.config_invalid',
    )
    assert.deepEqual(secretSettings({}), DEFAULT_SECRETS)
  })
})

// [provisioning.sds.05] [provisioning.sds.06]
describe('a stream', () => {
  let subscription: Subscription

  beforeEach(() => {
    subscription = new Subscription()
  })
  afterEach(() => subscription.cancel())

  const chain = (secrets: ReadonlyMap<string, ReadSecret>, name = ME): string =>
    Buffer.concat(secrets.get(name)?.certificates ?? []).toString('hex')

  test('begins with the secrets, follows rotation with a new version, and ends in order', async () => {
    subscription.send([ME])
    const first = chain(await subscription.next())
    const { versionInfo, nonce } = subscription.last ?? {}
    subscription.send([ME])
    backend.rotate()
    assert.notEqual(chain(await subscription.next()), first)
    assert.notEqual(subscription.last?.versionInfo, versionInfo)
    assert.notEqual(subscription.last?.nonce, nonce)
    await subscription.end()
  })

  test('two streams with one state have one version, each with its own nonces', async () => {
    subscription.send(['default'])
    await subscription.next()
    subscription.send(['default', 'ROOTCA'])
    await subscription.next()
    const other = new Subscription()
    other.send([ME])
    await other.next()
    assert.equal(other.last?.versionInfo, subscription.last?.versionInfo)
    assert.equal(other.last?.nonce, '1')
    other.cancel()
  })

  test('an acknowledgement is answered by nothing, other names at once', async () => {
    subscription.send([ME])
    await subscription.next()
    subscription.send([ME])
    subscription.send([ME, 'ROOTCA'])
    const more = await subscription.next()
    assert.deepEqual([...more.keys()], [ME, 'ROOTCA'])
    assert.equal(subscription.last?.nonce, '2')
    subscription.send(['ROOTCA'])
    assert.deepEqual([...(await subscription.next()).keys()], ['ROOTCA'])
  })

  test('an answer to an earlier response is passed over', async () => {
    subscription.send([ME])
    await subscription.next()
    subscription.send([OTHER], { responseNonce: '99' })
    subscription.send(['ROOTCA'])
    assert.deepEqual([...(await subscription.next()).keys()], ['ROOTCA'])
  })

  test('what the client rejects is recorded once for each version, without its text, and not sent again', async () => {
    subscription.send([ME])
    await subscription.next()
    const errorDetail = { code: 3, message: 'text of the client' }
    subscription.send([ME], { versionInfo: '', errorDetail })
    subscription.send([ME], { versionInfo: '', errorDetail })
    subscription.send([ME, OTHER], { versionInfo: '', errorDetail })
    assert.deepEqual([...(await subscription.next()).keys()], [ME, OTHER])
    const rejections = records.filter(({ type }) => type === 'provisioning.rejected')
    assert.equal(rejections.length, 1)
    assert.deepEqual([rejections[0]?.details?.status, rejections[0]?.decision], [3, 'none'])
    assert.equal(JSON.stringify(rejections).includes('text of'), false)
  })

  test('is not woken when nothing changed for it', async () => {
    subscription.send(['ROOTCA'])
    await subscription.next()
    backend.poke()
    // The authorities stay the same.
    backend.rotate()
    await fetch(ask([ME]))
    subscription.send(['ROOTCA', 'default'])
    await subscription.next()
    assert.deepEqual([subscription.last?.nonce, subscription.waiting], ['2', 0])
  })

  test('ends with PermissionDenied when what it shows is taken away', async () => {
    subscription.send([OTHER])
    await subscription.next()
    backend.set([{ spiffeId: ME }])
    await assert.rejects(subscription.next(), withStatus(status.PERMISSION_DENIED, 'provisioning.not_entitled'))
  })

  test('keeps its state while the backend is away, and goes on after', async () => {
    subscription.send([ME])
    const first = chain(await subscription.next())
    backend.failure = new Error('away')
    backend.rotate()
    backend.failure = undefined
    assert.notEqual(chain(await subscription.next()), first)
  })

  test('ends with Unavailable when the server stops', async () => {
    subscription.send([ME])
    await subscription.next()
    await server.close()
    await assert.rejects(subscription.next(), withStatus(status.UNAVAILABLE))
    assert.equal(backend.listeners, 0)
    await start()
  })

  const bad: readonly (readonly [string, Partial<DiscoveryRequest>, readonly string[]])[] = [
    ['another type later', { typeUrl: 'x/y' }, [ME]],
    ['names without end later', {}, Array(257).fill(ME)],
  ]
  for (const [title, rest, names] of bad) {
    test(`ends for ${title}`, async () => {
      subscription.send([ME])
      await subscription.next()
      subscription.send(names, rest)
      await assert.rejects(subscription.next(), withStatus(status.INVALID_ARGUMENT))
    })
  }
})

// [provisioning.sds.07]
test('a client that does not read gets the newest state when it reads again, and holds up nobody', async () => {
  const session = connectHttp2('http://localhost', { createConnection: () => connectSocket(join(dir, 's')) })
  const slow = session.request({
    ':method': 'POST',
    ':path': streamSecrets.path,
    'content-type': 'application/grpc',
    te: 'trailers',
  })
  slow.on('error', () => undefined)
  slow.write(frameMessage(streamSecrets.request.encode(ask([]))))
  const quick = new Subscription()
  quick.send([ME])
  await quick.next()
  for (let round = 0; round < 200; round += 1) {
    backend.rotate()
    quick.send([ME])
    await quick.next()
  }
  const newest = quick.last?.versionInfo
  const seen: string[] = []
  const reader = new FrameReader(1024 * 1024)
  for await (const chunk of slow) {
    for (const message of reader.push(chunk)) seen.push(streamSecrets.response.decode(message).versionInfo)
    if (seen.at(-1) === newest) break
  }
  session.destroy()
  // The rest was dropped: what waits for a slow client is one state.
  assert.ok(seen.length < 100, `${seen.length} states waited`)
  quick.cancel()
})
