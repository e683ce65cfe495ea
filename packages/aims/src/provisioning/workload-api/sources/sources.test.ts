import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { status } from '@grpc/grpc-js'
import { eventually } from '../../../../../../test/support/eventually.ts'
import { FakeWorkloadApi } from '../../../../../../test/support/fake-workload-api.ts'
import { IssuingBackend } from '../../../../../../test/support/issuing-backend.ts'
import { AimsError } from '../../../base/errors.ts'
import { serializeJwks } from '../../../credentials/bundle/jwks.ts'
import { parseWorkloadSpiffeId } from '../../../identifiers/spiffe-id.ts'
import { parseTrustDomain } from '../../../identifiers/trust-domain.ts'
import { WorkloadApiClient } from '../client.ts'
import type { WitSvidMessage, X509SvidMessage } from '../messages.ts'
import { WorkloadJwtSource } from './jwt.ts'
import { WorkloadWitSource } from './wit.ts'
import { connectWorkload, type Workload } from './workload.ts'
import { WorkloadX509Source } from './x509.ts'

const ME: string = 'spiffe://example.com/agent/calendar-bot'
const OTHER: string = 'spiffe://example.com/agent/mail-bot'
const TD = 'spiffe://example.com'
const NOBODY = {
  type: 'unix',
  selectors: [],
  verifiedAt: 0,
  binding: 'channel',
  freshness: 'live',
  debug: false,
  warnings: [],
  attributes: {},
} as const
const fast = { backoff: 10, maxBackoff: 30, random: () => 0 }

const code =
  (expected: string): ((error: unknown) => boolean) =>
  (error) =>
    AimsError.is(error) && error.code === expected

let dir: string
let address: string
let backend: IssuingBackend
let api: FakeWorkloadApi
const open: { close(): void }[] = []

function keep<T extends { close(): void }>(source: T): T {
  open.push(source)
  return source
}

const until = (condition: () => boolean): Promise<void> => eventually('what was waited for', condition)

interface Answers {
  readonly x509: {
    readonly svids: readonly X509SvidMessage[]
    readonly crl: []
    readonly federatedBundles: Map<string, Uint8Array>
  }
  readonly wit: { readonly svids: readonly WitSvidMessage[] }
}

async function issue(...ids: readonly string[]): Promise<Answers> {
  backend.set(ids.map((spiffeId) => ({ spiffeId })))
  const { identities } = await backend.snapshot(NOBODY)
  const bundle = Buffer.concat(backend.bundle.x509Authorities)
  return {
    x509: {
      svids: identities.map(({ spiffeId, hint, x509 }) => ({
        spiffeId,
        hint,
        bundle,
        x509Svid: Buffer.concat(x509?.certificates ?? []),
        x509SvidKey: x509?.privateKey ?? Buffer.alloc(0),
      })),
      crl: [],
      federatedBundles: new Map(),
    },
    wit: {
      svids: identities.map(({ spiffeId, hint, wit }) => ({
        spiffeId,
        hint,
        witSvid: wit?.token ?? '',
        witSvidKey: wit?.privateJwk ?? '',
      })),
    },
  }
}

function answerBundles(): void {
  const jwks = serializeJwks(backend.bundle.jwtAuthorities)
  api.answer('fetchX509Bundles', { crl: [], bundles: new Map([[TD, Buffer.concat(backend.bundle.x509Authorities)]]) })
  api.answer('fetchJwtBundles', { bundles: new Map([[TD, Buffer.from(jwks)]]) })
  api.answer('fetchWitBundles', { bundles: new Map([[TD, jwks]]) })
}

async function answerJwt(audience: string, id = ME): Promise<void> {
  const [svid] = await backend.jwtSvids(NOBODY, [audience], parseWorkloadSpiffeId(id))
  api.answer('fetchJwtSvid', { svids: [{ spiffeId: id, svid: svid?.token ?? '', hint: '' }] })
}

async function answerAll(...ids: readonly string[]): Promise<void> {
  const { x509, wit } = await issue(...ids)
  api.answer('fetchX509Svid', x509)
  api.answer('fetchWitSvid', wit)
  answerBundles()
}

async function connect(options: object = {}): Promise<Workload> {
  return keep(await connectWorkload({ address, ...fast, readyTimeout: 30_000, onWaiting: () => undefined, ...options }))
}

beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'aims-sources-'))
  address = `unix://${join(dir, 's')}`
  backend = await IssuingBackend.create()
  api = await FakeWorkloadApi.start(address)
})

afterEach(() => {
  for (const one of open.splice(0)) one.close()
  api.stop()
  rmSync(dir, { recursive: true })
})

test('a workload is ready with all its credentials, and follows rotation', async () => {
  await answerAll(ME)
  const workload = await connect()
  assert.equal(workload.spiffeId, ME)
  const before = workload.wit.wit()
  let updates = 0
  const end = workload.onUpdate(() => (updates += 1))
  await answerAll(ME)
  await until(() => workload.wit.wit() !== before)
  assert.ok(updates >= 1)
  end()
  const seen = updates
  await answerAll(ME)
  await delay(20)
  assert.equal(updates, seen)
})

test('a workload waits for an entry that comes later', async () => {
  const connecting = connect()
  await until(() => api.calls.length >= 5)
  await answerAll(ME)
  assert.equal((await connecting).spiffeId, ME)
})

test('an entry that comes between the answers of two streams leaves out no credential', async () => {
  await answerAll(ME)
  const { x509 } = await issue(ME)
  api.answer('fetchX509Svid', status.PERMISSION_DENIED)
  const connecting = connect({ backoff: 1000, maxBackoff: 1000 })
  await until(() => api.calls.some(({ method }) => method === 'fetchX509Svid'))
  api.answer('fetchX509Svid', x509)
  assert.equal((await connecting).x509.x509Svid().spiffeId, ME)
})

test('an entry without X.509-SVID is one, after it was asked for twice', async () => {
  await answerAll(ME)
  api.answer('fetchX509Svid', status.PERMISSION_DENIED)
  const workload = await connect()
  assert.equal(workload.spiffeId, ME)
  assert.throws(() => workload.x509.x509Svid(), code('provisioning.not_ready'))
  assert.ok(api.calls.filter(({ method }) => method === 'fetchX509Svid').length >= 2)
})

test('a kind of credential that the server does not have is no failure', async () => {
  await answerAll(ME)
  api.answer('fetchWitSvid', status.UNIMPLEMENTED)
  api.answer('fetchWitBundles', status.UNIMPLEMENTED)
  const workload = await connect()
  assert.equal(workload.x509.x509Svid().spiffeId, ME)
  assert.throws(() => workload.wit.wit(), code('provisioning.not_ready'))
  // It is not asked again: there is nothing to come.
  const asked = api.calls.filter(({ method }) => method === 'fetchWitSvid').length
  await delay(60)
  assert.equal(api.calls.filter(({ method }) => method === 'fetchWitSvid').length, asked)
})

test('without an agent, or without an entry, connecting fails and says which', async () => {
  await assert.rejects(connect({ readyTimeout: 1000 }), code('provisioning.no_identity'))
  api.stop()
  await assert.rejects(connect({ readyTimeout: 50 }), code('provisioning.endpoint_unavailable'))
  await assert.rejects(connect({ address: 'unix://relative' }), code('provisioning.invalid_endpoint'))
})

test('who has to wait is told why, once, and nobody else', async () => {
  const reasons: string[] = []
  const onWaiting = (reason: AimsError): void => void reasons.push(reason.code)
  const connecting = connect({ onWaiting })
  await until(() => api.calls.length >= 15)
  assert.deepEqual(reasons, ['provisioning.no_identity'])
  await answerAll(ME)
  assert.equal((await connecting).spiffeId, ME)
  api.answer('fetchWitBundles', status.UNIMPLEMENTED)
  await connect({ onWaiting })
  api.stop()
  await assert.rejects(connect({ onWaiting, readyTimeout: 50 }), code('provisioning.endpoint_unavailable'))
  assert.deepEqual(reasons, ['provisioning.no_identity', 'provisioning.endpoint_unavailable'])
})

test('what was taken away is not used any more, of any kind', async () => {
  await answerAll(ME)
  await answerJwt('a')
  const workload = await connect()
  await workload.jwt.jwtSvid('a')
  assert.notEqual(workload.bundles.bundleFor(parseTrustDomain('example.com')), undefined)
  for (const method of [
    'fetchX509Svid',
    'fetchX509Bundles',
    'fetchJwtSvid',
    'fetchJwtBundles',
    'fetchWitSvid',
    'fetchWitBundles',
  ] as const) {
    api.answer(method, status.PERMISSION_DENIED)
  }
  await until(
    () =>
      workload.bundles.trustDomains().length === 0 &&
      workload.wit.wits().length === 0 &&
      workload.x509.x509Svids().length === 0,
  )
  assert.throws(() => workload.x509.x509Svid(), code('provisioning.not_ready'))
  assert.throws(() => workload.wit.wit(), code('provisioning.not_ready'))
  assert.throws(() => workload.spiffeId, code('provisioning.not_ready'))
  assert.equal(workload.bundles.bundleFor(parseTrustDomain('example.com')), undefined)
  await assert.rejects(workload.jwt.jwtSvid('a'), code('provisioning.no_identity'))
  // And it comes back with the entry.
  await answerAll(ME)
  await until(() => workload.wit.wits().length === 1)
})

test('one identity of several that goes away takes its tokens with it', async () => {
  await answerAll(ME, OTHER)
  await answerJwt('a')
  const workload = await connect()
  assert.deepEqual(
    workload.x509.x509Svids().map(({ spiffeId }) => spiffeId),
    [ME, OTHER],
  )
  const first = await workload.jwt.jwtSvid('a')
  assert.equal(await workload.jwt.jwtSvid('a'), first)
  await answerAll(OTHER)
  await until(() => [workload.x509.x509Svid().spiffeId, workload.wit.wit().subject].every((id: string) => id === OTHER))
  await answerJwt('a', OTHER)
  assert.equal((await workload.jwt.jwtSvid('a')).spiffeId, OTHER)
})

test('the identity chosen is used, and no other in its place', async () => {
  await answerAll(ME, OTHER)
  const workload = await connect({ spiffeId: parseWorkloadSpiffeId(OTHER) })
  assert.equal(workload.x509.x509Svid().spiffeId, OTHER)
  assert.equal(workload.spiffeId, OTHER)
  await answerAll(ME)
  await until(() => workload.wit.wits().length === 1 && workload.x509.x509Svids().length === 1)
  assert.throws(() => workload.spiffeId, {
    code: 'provisioning.not_ready',
    message: /none is the one that spiffeId names/,
  })
  assert.throws(() => workload.x509.x509Svid(), code('provisioning.not_ready'))
  assert.throws(() => workload.wit.wit(), code('provisioning.not_ready'))
})

test('a lost connection keeps what is there, and it is made again', async () => {
  await answerAll(ME)
  const workload = await connect()
  const before = workload.wit.wit()
  api.stop()
  await until(() => workload.wit.subscription.lastError !== undefined)
  assert.equal(workload.wit.wit(), before)
  api = await FakeWorkloadApi.start(address)
  await answerAll(ME)
  await until(() => workload.wit.wit() !== before)
  assert.equal(workload.wit.subscription.lastError, undefined)
})

test('a stream that the server ends in order is opened again', async () => {
  await answerAll(ME)
  const workload = await connect()
  const before = workload.wit.wit()
  const { wit } = await issue(ME)
  api.endStreams('fetchWitSvid')
  api.answer('fetchWitSvid', wit)
  await until(() => workload.wit.wit() !== before)
})

test('a malformed update is dropped: the state before it counts, and its end is not moved', async () => {
  await answerAll(ME)
  const workload = await connect()
  const before = workload.x509.x509Svid()
  const { x509 } = await issue(ME)
  api.answer('fetchX509Svid', { ...x509, svids: x509.svids.map((svid) => ({ ...svid, spiffeId: OTHER })) })
  await until(() => workload.x509.subscription.lastError?.code === 'provisioning.invalid_response')
  assert.equal(workload.x509.x509Svid(), before)
})

test('what has expired while the agent was away is not used', async () => {
  await answerAll(ME)
  let now = Date.now() / 1000
  const client = keep(new WorkloadApiClient({ address }))
  const options = { ...fast, clock: () => now }
  const x509 = keep(new WorkloadX509Source(client, options))
  const wit = keep(new WorkloadWitSource(client, options))
  await Promise.all([x509.subscription.ready(), wit.subscription.ready()])
  const { expiresAt } = wit.wit()
  now = expiresAt - 1
  assert.equal(wit.wit().subject, ME)
  now = expiresAt
  assert.throws(() => wit.wit(), code('provisioning.not_ready'))
  now = x509.x509Svids()[0]?.expiresAt ?? now
  assert.throws(() => x509.x509Svid(), code('provisioning.not_ready'))
})

test('the bundle of a trust domain is one object until it changes, and is never that of another', async () => {
  await answerAll(ME)
  const { bundles } = await connect()
  const domain = parseTrustDomain('example.com')
  const first = bundles.bundleFor(domain)
  assert.equal(bundles.bundleFor(domain), first)
  assert.equal(bundles.bundleFor(parseTrustDomain('partner.example')), undefined)
  // All keys revoked: the bundle is there and trusts nobody.
  api.answer('fetchWitBundles', { bundles: new Map([[TD, '{"keys":[]}']]) })
  await until(() => bundles.bundleFor(domain) !== first)
  assert.equal(bundles.bundleFor(domain)?.witAuthorities.size, 0)
  assert.equal(bundles.bundleFor(domain)?.jwtAuthorities.size, 1)
})

test('a closed workload gives nothing, and asks for nothing', async () => {
  await answerAll(ME)
  const workload = await connect()
  workload.close()
  assert.throws(() => workload.x509.x509Svid(), code('provisioning.not_ready'))
  await assert.rejects(workload.jwt.jwtSvid('a'), code('provisioning.closed'))
  await assert.rejects(workload.wit.subscription.ready(), code('provisioning.closed'))
  await until(() => api.open('fetchWitSvid') === 0)
  const asked = api.calls.length
  await delay(40)
  assert.equal(api.calls.length, asked)
})

function jwtSource(clock: () => number, random = 0.5): WorkloadJwtSource {
  const client = keep(new WorkloadApiClient({ address }))
  return keep(new WorkloadJwtSource(client, { ...fast, clock, random: () => random }))
}

const asked = (): number => api.calls.filter(({ method }) => method === 'fetchJwtSvid').length

test('a JWT-SVID is kept for its audience, and one fetch serves all who ask at once', async () => {
  await issue(ME)
  await answerJwt('a')
  const source = jwtSource(() => Date.now() / 1000)
  const [first, second] = await Promise.all([source.jwtSvid('a'), source.jwtSvid('a')])
  assert.equal(first, second)
  assert.equal(await source.jwtSvid('a'), first)
  assert.equal(asked(), 1)
  await answerJwt('b')
  assert.deepEqual((await source.jwtSvid('b')).audiences, ['b'])
  assert.equal(asked(), 2)
})

test('a JWT-SVID is renewed from half of its life on, while the old one is given out', async () => {
  await issue(ME)
  await answerJwt('a')
  const start = Math.floor(Date.now() / 1000)
  for (const [random, part] of [
    [0, 0.4],
    [0.5, 0.5],
    [0.999, 0.6],
  ] as const) {
    let now = start
    const source = jwtSource(() => now, random)
    const first = await source.jwtSvid('a')
    const before = asked()
    now = start + 3600 * part - 2
    assert.equal(await source.jwtSvid('a'), first)
    assert.equal(asked(), before)
    now = start + 3600 * part + 2
    assert.equal(await source.jwtSvid('a'), first)
    await until(() => asked() === before + 1)
  }
})

test('a renewal that fails leaves the time that is left; an expired token is never given out', async () => {
  await issue(ME)
  await answerJwt('a')
  const start = Math.floor(Date.now() / 1000)
  let now = start
  const source = jwtSource(() => now)
  const first = await source.jwtSvid('a')
  api.answer('fetchJwtSvid', status.UNAVAILABLE)
  now = start + 3000
  assert.equal(await source.jwtSvid('a'), first)
  await until(() => asked() === 2)
  await delay(10)
  assert.equal(await source.jwtSvid('a'), first)
  now = first.expiresAt
  await assert.rejects(source.jwtSvid('a'), code('provisioning.endpoint_unavailable'))
})

test('a token in the last tenth of its life is given out only while there is no fresh one', async () => {
  await issue(ME)
  await answerJwt('a')
  let now = Math.floor(Date.now() / 1000)
  const source = jwtSource(() => now)
  const first = await source.jwtSvid('a')
  now = first.expiresAt - 359
  await answerJwt('a')
  const fresh = await source.jwtSvid('a')
  assert.notEqual(fresh, first)
  now = fresh.expiresAt - 1
  api.answer('fetchJwtSvid', status.UNAVAILABLE)
  assert.equal(await source.jwtSvid('a'), fresh)
  api.answer('fetchJwtSvid', status.PERMISSION_DENIED)
  await assert.rejects(source.jwtSvid('a'), code('provisioning.no_identity'))
})

test('a renewal that is refused ends the use of all tokens', async () => {
  await issue(ME)
  await answerJwt('a')
  const start = Math.floor(Date.now() / 1000)
  let now = start
  const source = jwtSource(() => now)
  await source.jwtSvid('a')
  api.answer('fetchJwtSvid', status.PERMISSION_DENIED)
  now = start + 3000
  await source.jwtSvid('a')
  await until(() => asked() === 2)
  await delay(10)
  await assert.rejects(source.jwtSvid('a'), code('provisioning.no_identity'))
})

test('a token that came expired is refused', async () => {
  await issue(ME)
  await answerJwt('a')
  const source = jwtSource(() => Date.now() / 1000 + 7200)
  await assert.rejects(source.jwtSvid('a'), code('provisioning.invalid_response'))
})
