import assert from 'node:assert/strict'
import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer as createHttp2Server } from 'node:http2'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, before, beforeEach, describe, test } from 'node:test'
import { status } from '@grpc/grpc-js'
import { FakeWorkloadApi } from '../../../../../test/support/fake-workload-api.ts'
import { IssuingBackend } from '../../../../../test/support/issuing-backend.ts'
import { AimsError } from '../../base/errors.ts'
import { serializeBundle } from '../../credentials/bundle/serialize.ts'
import type { Wit } from '../../credentials/wit/source.ts'
import type { X509Svid } from '../../credentials/x509-svid/source.ts'
import { WorkloadApiClient } from './client.ts'
import { frameMessage } from './grpc-framing.ts'
import type { JwtSvidMessage, WitSvidMessage, X509SvidMessage } from './messages.ts'

const ME = 'spiffe://example.com/agent/calendar-bot'
const OTHER = 'spiffe://example.com/agent/mail-bot'
const TD = 'spiffe://example.com'

const code =
  (expected: string): ((error: unknown) => boolean) =>
  (error) =>
    AimsError.is(error) && error.code === expected

let dir: string
let address: string
let api: FakeWorkloadApi
let client: WorkloadApiClient
let mine: X509SvidMessage
let others: X509SvidMessage
let wit: WitSvidMessage
let otherWit: WitSvidMessage
let jwt: JwtSvidMessage
let jwks: string
let wholeBundle: string

before(async () => {
  const backend = await IssuingBackend.create()
  backend.set([{ spiffeId: ME }, { spiffeId: OTHER }])
  const nobody = {
    type: 'unix',
    selectors: [],
    verifiedAt: 0,
    binding: 'channel',
    freshness: 'live',
    debug: false,
    warnings: [],
    attributes: {},
  } as const
  const { identities } = await backend.snapshot(nobody)
  const [bundle = Buffer.alloc(0)] = backend.bundle.x509Authorities
  const svids = identities.map(({ spiffeId, x509, wit: token }) => ({
    x509: {
      spiffeId,
      hint: '',
      bundle,
      x509Svid: Buffer.concat(x509?.certificates ?? []),
      x509SvidKey: x509?.privateKey ?? Buffer.alloc(0),
    },
    wit: { spiffeId, hint: '', witSvid: token?.token ?? '', witSvidKey: token?.privateJwk ?? '' },
  }))
  const [first, second] = svids
  assert.ok(first !== undefined && second !== undefined)
  mine = first.x509
  others = second.x509
  wit = first.wit
  otherWit = second.wit
  const [token] = await backend.jwtSvids(nobody, ['a'])
  assert.ok(token !== undefined)
  jwt = { spiffeId: token.spiffeId, svid: token.token, hint: '' }
  wholeBundle = serializeBundle(backend.bundle)
  const keys: readonly { readonly use: string }[] = JSON.parse(wholeBundle).keys
  jwks = JSON.stringify({ keys: keys.filter(({ use }) => use === 'jwt-svid') })
})

beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'aims-client-'))
  address = `unix://${join(dir, 's')}`
  api = await FakeWorkloadApi.start(address)
  client = new WorkloadApiClient({ address, timeout: 30_000 })
})

afterEach(() => {
  client.close()
  api.stop()
  rmSync(dir, { recursive: true })
})

const x509 = (...svids: readonly X509SvidMessage[]): object => ({ svids, crl: [], federatedBundles: new Map() })

test('a client reads what a server by grpc-js sends, and sends the security header', async () => {
  api.answer('fetchX509Svid', x509(mine, others))
  const { svids, bundles } = await client.fetchX509Svids()
  assert.deepEqual(
    svids.map(({ spiffeId }) => spiffeId),
    [ME, OTHER],
  )
  assert.equal(bundles.size, 1)
  api.answer('fetchWitSvid', { svids: [wit] })
  const [held] = await client.fetchWits()
  assert.deepEqual([held?.subject, held?.profile, held?.key.alg], [ME, 'wimse', 'ES256'])
  api.answer('fetchJwtSvid', { svids: [jwt] })
  const [token] = await client.fetchJwtSvids({ audience: 'a' })
  assert.deepEqual([token?.spiffeId, token?.audiences], [ME, ['a']])
  api.answer('validateJwtSvid', { spiffeId: ME, claims: { sub: ME } })
  assert.equal((await client.validateJwtSvid('a', jwt.svid)).spiffeId, ME)
  api.answer('fetchJwtBundles', { bundles: new Map([[TD, Buffer.from(jwks)]]) })
  assert.equal((await client.fetchJwtBundles()).size, 1)
  for (const { header } of api.calls) assert.deepEqual(header, ['true'])
})

test('of two identities with one hint the first counts', async () => {
  api.answer('fetchX509Svid', x509({ ...mine, hint: 'h' }, { ...others, hint: 'h' }))
  const { svids } = await client.fetchX509Svids()
  assert.deepEqual(
    svids.map(({ spiffeId }) => spiffeId),
    [ME],
  )
})

test('the keys that came are not shown by the objects that hold them', async () => {
  api.answer('fetchX509Svid', x509(mine))
  api.answer('fetchWitSvid', { svids: [wit] })
  const shown = JSON.stringify([(await client.fetchX509Svids()).svids, await client.fetchWits()])
  assert.equal(shown.includes(wit.witSvid), false)
  assert.equal(shown.includes('"d"'), false)
})

describe('an X.509 response that breaks the rules is refused whole', () => {
  const pem = '-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n'
  const none = Buffer.alloc(0)
  const encrypted = generateKeyPairSync('ec', {
    namedCurve: 'P-256',
    publicKeyEncoding: { type: 'spki', format: 'der' },
    privateKeyEncoding: { type: 'pkcs8', format: 'der', cipher: 'aes-256-cbc', passphrase: 'x' },
  }).privateKey
  const federated = (name: string, bundle: Uint8Array): object => ({
    svids: [mine],
    crl: [],
    federatedBundles: new Map([[name, bundle]]),
  })
  const rows: readonly (readonly [string, () => object])[] = [
    ['no identity', () => x509()],
    ['no SPIFFE ID', () => x509({ ...mine, spiffeId: '' })],
    ['no certificate', () => x509({ ...mine, x509Svid: none })],
    ['no key', () => x509({ ...mine, x509SvidKey: none })],
    ['no bundle', () => x509({ ...mine, bundle: none })],
    ['the SPIFFE ID of another', () => x509({ ...mine, spiffeId: OTHER })],
    ['a SPIFFE ID without path', () => x509({ ...mine, spiffeId: TD })],
    ['the key of another', () => x509({ ...mine, x509SvidKey: others.x509SvidKey })],
    ['the certificate of another', () => x509({ ...mine, x509Svid: others.x509Svid })],
    ['an encrypted key', () => x509({ ...mine, x509SvidKey: encrypted })],
    ['a PEM certificate', () => x509({ ...mine, x509Svid: Buffer.from(pem) })],
    ['a PEM bundle', () => x509({ ...mine, bundle: Buffer.from(pem) })],
    ['noise', () => x509({ ...mine, x509Svid: randomBytes(100) })],
    [
      'bytes after the last certificate',
      () => x509({ ...mine, x509Svid: Buffer.concat([mine.x509Svid, none, Buffer.from([0])]) }),
    ],
    ['one bad identity among good ones', () => x509(mine, { ...others, x509SvidKey: none })],
    [
      'two bundles for one trust domain',
      () => x509(mine, { ...others, bundle: Buffer.concat([mine.bundle, mine.bundle]) }),
    ],
    ['a federated bundle for the own domain', () => federated(TD, Buffer.concat([mine.bundle, mine.bundle]))],
    ['a bundle named by a workload', () => federated(ME, mine.bundle)],
    ['a bundle named without scheme', () => federated('partner.example', mine.bundle)],
    ['an empty federated bundle', () => federated('spiffe://partner.example', none)],
  ]
  for (const [title, answer] of rows) {
    test(title, async () => {
      api.answer('fetchX509Svid', answer())
      await assert.rejects(client.fetchX509Svids(), code('provisioning.invalid_response'))
    })
  }
})

describe('a WIT or JWT-SVID response that breaks the rules is refused whole', () => {
  const wits: readonly (readonly [string, () => readonly WitSvidMessage[]])[] = [
    ['no identity', () => []],
    ['no token', () => [{ ...wit, witSvid: '' }]],
    ['no key', () => [{ ...wit, witSvidKey: '' }]],
    ['the SPIFFE ID of another', () => [{ ...wit, spiffeId: OTHER }]],
    ['the key of another', () => [{ ...wit, witSvidKey: otherWit.witSvidKey }]],
    ['a public key', () => [{ ...wit, witSvidKey: withoutD(wit.witSvidKey) }]],
    ['a key that is no JSON', () => [{ ...wit, witSvidKey: 'key' }]],
    ['a token that confirms nothing', () => [{ ...wit, witSvid: jwt.svid }]],
    ['a token cut short', () => [{ ...wit, witSvid: wit.witSvid.slice(0, 40) }]],
  ]
  for (const [title, svids] of wits) {
    test(`WIT: ${title}`, async () => {
      api.answer('fetchWitSvid', { svids: svids() })
      await assert.rejects(client.fetchWits(), code('provisioning.invalid_response'))
    })
  }
  const jwts: readonly (readonly [string, () => readonly JwtSvidMessage[]])[] = [
    ['no identity', () => []],
    ['no token', () => [{ ...jwt, svid: '' }]],
    ['the SPIFFE ID of another', () => [{ ...jwt, spiffeId: OTHER }]],
    ['no SPIFFE ID', () => [{ ...jwt, spiffeId: '' }]],
  ]
  for (const [title, svids] of jwts) {
    test(`JWT-SVID: ${title}`, async () => {
      api.answer('fetchJwtSvid', { svids: svids() })
      await assert.rejects(client.fetchJwtSvids({ audience: 'a' }), code('provisioning.invalid_response'))
    })
  }
  test('JWT-SVID: for another audience', async () => {
    api.answer('fetchJwtSvid', { svids: [jwt] })
    await assert.rejects(client.fetchJwtSvids({ audience: 'b' }), code('provisioning.invalid_response'))
  })
  test('validation without a SPIFFE ID', async () => {
    api.answer('validateJwtSvid', { spiffeId: '', claims: {} })
    await assert.rejects(client.validateJwtSvid('a', jwt.svid), code('provisioning.invalid_response'))
  })
})

describe('a bundle response that breaks the rules is refused whole', () => {
  const rows: readonly (readonly [string, () => ReadonlyMap<string, string>])[] = [
    ['no bundle', () => new Map()],
    ['an empty document', () => new Map([[TD, '']])],
    ['no JSON', () => new Map([[TD, 'keys']])],
    ['no keys', () => new Map([[TD, '{}']])],
    ['keys of another use', () => new Map([[TD, wholeBundle]])],
    ['a bundle named by a workload', () => new Map([[ME, jwks]])],
  ]
  for (const [title, bundles] of rows) {
    test(title, async () => {
      const bytes = new Map([...bundles()].map(([name, text]) => [name, Buffer.from(text)]))
      api.answer('fetchJwtBundles', { bundles: bytes })
      api.answer('fetchWitBundles', { bundles: bundles() })
      await assert.rejects(client.fetchJwtBundles(), code('provisioning.invalid_response'))
      await assert.rejects(client.fetchWitBundles(), code('provisioning.invalid_response'))
    })
  }
  test('an X.509 bundle that is empty', async () => {
    api.answer('fetchX509Bundles', { crl: [], bundles: new Map() })
    await assert.rejects(client.fetchX509Bundles(), code('provisioning.invalid_response'))
  })
})

describe('each status has its code', () => {
  const rows: readonly (readonly [status, string])[] = [
    [status.INVALID_ARGUMENT, 'provisioning.endpoint_refused'],
    [status.PERMISSION_DENIED, 'provisioning.no_identity'],
    [status.UNIMPLEMENTED, 'provisioning.unimplemented'],
    [status.UNAVAILABLE, 'provisioning.endpoint_unavailable'],
    [status.RESOURCE_EXHAUSTED, 'provisioning.endpoint_unavailable'],
    [status.INTERNAL, 'provisioning.endpoint_unavailable'],
    [status.DEADLINE_EXCEEDED, 'provisioning.timeout'],
  ]
  for (const [answer, expected] of rows) {
    test(`${status[answer]} is ${expected}`, async () => {
      api.answer('fetchX509Svid', answer)
      api.answer('fetchJwtSvid', answer)
      await assert.rejects(client.fetchX509Svids(), code(expected))
      await assert.rejects(client.fetchJwtSvids({ audience: 'a' }), code(expected))
    })
  }
})

test('a bad message within a stream is dropped, and the stream goes on', async () => {
  api.answer('fetchX509Svid', x509(mine))
  const seen: string[] = []
  const ended = new AbortController()
  const watching = client.watchX509Svids({
    signal: ended.signal,
    onUpdate({ svids }) {
      seen.push(svids[0]?.spiffeId ?? '')
      if (seen.length === 1) api.answer('fetchX509Svid', x509({ ...mine, spiffeId: OTHER }))
      else ended.abort()
    },
    onInvalid(error) {
      seen.push(error.code)
      api.answer('fetchX509Svid', x509(others))
    },
  })
  await watching
  assert.deepEqual(seen, [ME, 'provisioning.invalid_response', OTHER])
})

describe('what a message repeats is not read again', () => {
  test('an X.509-SVID: the same object until any part of it is another', async () => {
    const { x509Svid, hint } = mine
    const seen: (X509Svid | string)[] = []
    const ended = new AbortController()
    const messages = [
      x509(mine, others),
      x509(others, mine),
      x509({ ...mine, hint: 'primary' }),
      // A chain that is known does not make its key known, nor the other way round.
      x509({ ...others, x509Svid }),
      x509({ ...mine, x509SvidKey: others.x509SvidKey }),
      x509({ ...mine, spiffeId: OTHER }),
      x509({ ...mine, x509Svid: Buffer.concat([x509Svid, x509Svid.subarray(0, 1)]) }),
      x509(mine),
    ]
    const goOn = (): void => {
      const next = messages.shift()
      if (next === undefined) ended.abort()
      else api.answer('fetchX509Svid', next)
    }
    goOn()
    await client.watchX509Svids({
      signal: ended.signal,
      onUpdate({ svids }) {
        seen.push(...svids)
        goOn()
      },
      onInvalid(error) {
        seen.push(error.code)
        goOn()
      },
    })
    const [first, second, third, fourth, hinted, ...rest] = seen
    assert.ok(typeof first === 'object' && typeof hinted === 'object')
    assert.equal(fourth, first)
    assert.equal(third, second)
    assert.deepEqual([first.hint, hinted.hint], [hint, 'primary'])
    assert.deepEqual(rest.slice(0, 4), Array(4).fill('provisioning.invalid_response'))
    assert.ok(typeof rest[4] === 'object' && String(rest[4].spiffeId) === ME)
  })

  test('a WIT: the same object until any part of it is another', async () => {
    const seen: (Wit | string)[] = []
    const ended = new AbortController()
    const messages = [
      { svids: [wit, otherWit] },
      { svids: [otherWit, wit] },
      { svids: [{ ...wit, witSvidKey: otherWit.witSvidKey }] },
      { svids: [{ ...otherWit, witSvid: wit.witSvid }] },
    ]
    const goOn = (): void => {
      const next = messages.shift()
      if (next === undefined) ended.abort()
      else api.answer('fetchWitSvid', next)
    }
    goOn()
    await client.watchWits({
      signal: ended.signal,
      onUpdate(wits) {
        seen.push(...wits)
        goOn()
      },
      onInvalid(error) {
        seen.push(error.code)
        goOn()
      },
    })
    const [first, second, third, fourth, ...rest] = seen
    assert.ok(typeof first === 'object')
    assert.equal(fourth, first)
    assert.equal(third, second)
    assert.deepEqual(rest, Array(2).fill('provisioning.invalid_response'))
  })
})

test('an AIMS agent says by a code what it could not do; no other text is shown', async () => {
  const ID = '6c1f2f0e-5d0b-4a36-9d0e-0a5b7e0f5f11'
  for (const [told, shown, id] of [
    ['operation.server_unreachable', 'the call ended with gRPC status 14: operation.server_unreachable'],
    ['operation.server_unreachable, token', 'the call ended with gRPC status 14'],
    ['constructor', 'the call ended with gRPC status 14'],
    [
      'operation.server_unreachable',
      `the call ended with gRPC status 14: operation.server_unreachable (aims explain ${ID})`,
      ID,
    ],
    ['operation.server_unreachable', 'the call ended with gRPC status 14: operation.server_unreachable', `${ID} or so`],
    ['no code of ours', 'the call ended with gRPC status 14', ID],
  ] as const) {
    const server = createHttp2Server().listen(join(dir, 'says'))
    server.on('stream', (stream) => {
      stream.respond({
        ':status': 200,
        'content-type': 'application/grpc',
        'grpc-status': '14',
        'grpc-message': told,
        ...(id === undefined ? {} : { 'aims-request-id': id }),
      })
      stream.end()
    })
    using agent = new WorkloadApiClient({ address: `unix://${join(dir, 'says')}`, timeout: 30_000 })
    await assert.rejects(agent.fetchX509Svids(), { code: 'provisioning.endpoint_unavailable', message: shown })
    agent.close()
    server.close()
  }
})

test('a message larger than the reader allows ends the call', async () => {
  api.answer('fetchX509Svid', x509(mine))
  using small = new WorkloadApiClient({ address, maxMessageSize: 100 })
  await assert.rejects(small.fetchX509Svids(), code('provisioning.message_too_large'))
})

test('nobody at the address is unavailable, and so is a server that goes away in between', async () => {
  using lost = new WorkloadApiClient({ address: `unix://${join(dir, 'nobody')}` })
  await assert.rejects(lost.fetchWits(), code('provisioning.endpoint_unavailable'))
  api.answer('fetchWitSvid', { svids: [wit] })
  const watching = client.watchWits({ onUpdate: () => api.stop() })
  await assert.rejects(watching, code('provisioning.endpoint_unavailable'))
  api = await FakeWorkloadApi.start(address)
  api.answer('fetchWitSvid', { svids: [wit] })
  assert.equal((await client.fetchWits()).length, 1)
})

test('an answer that does not come is given up', async () => {
  const silent = createServer(() => undefined).listen(join(dir, 'silent'))
  using waiting = new WorkloadApiClient({ address: `unix://${join(dir, 'silent')}`, timeout: 50 })
  await assert.rejects(waiting.fetchX509Svids(), code('provisioning.timeout'))
  silent.close()
})

describe('a server that does not speak gRPC properly is refused', () => {
  const rows: readonly (readonly [string, string, object, Buffer, object?])[] = [
    ['another content type', 'provisioning.malformed_message', { 'content-type': 'text/html' }, Buffer.alloc(0)],
    ['another HTTP status', 'provisioning.malformed_message', { ':status': 404 }, Buffer.alloc(0)],
    ['no status at the end', 'provisioning.endpoint_unavailable', {}, Buffer.alloc(0)],
    ['a status that is no number', 'provisioning.endpoint_unavailable', { 'grpc-status': 'x' }, Buffer.alloc(0)],
    ['a compressed message', 'provisioning.malformed_message', {}, Buffer.from('0100000000', 'hex')],
    ['a message that is not protobuf', 'provisioning.malformed_message', {}, frameMessage(Buffer.from('ff', 'hex'))],
    ['OK without a message', 'provisioning.malformed_message', { 'grpc-status': '0' }, Buffer.alloc(0)],
  ]
  for (const [title, expected, headers, body] of rows) {
    test(title, async () => {
      const server = createHttp2Server().listen(join(dir, 'odd'))
      server.on('stream', (stream) => {
        stream.respond({ ':status': 200, 'content-type': 'application/grpc', ...headers })
        stream.end(body)
      })
      using odd = new WorkloadApiClient({ address: `unix://${join(dir, 'odd')}`, timeout: 30_000 })
      await assert.rejects(odd.fetchJwtSvids({ audience: 'a' }), code(expected))
      odd.close()
      server.close()
    })
  }
})

test('a closed client makes no more calls', async () => {
  client.close()
  await assert.rejects(client.fetchWits(), code('provisioning.closed'))
  await assert.rejects(client.fetchJwtSvids({ audience: '' }), TypeError)
})

function withoutD(json: string): string {
  const { d: _, ...jwk } = JSON.parse(json)
  return JSON.stringify(jwk)
}
