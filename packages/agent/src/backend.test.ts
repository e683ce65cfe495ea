import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { AttestationResult } from 'aims/attestation'
import { AimsError, type AimsErrorCode, verificationKey, WorkloadKey } from 'aims/base'
import { emptyBundle, issueJwtSvid, type Revocation, signRevocationList } from 'aims/credentials'
import { parseSpiffeId, parseTrustDomain, parseWorkloadSpiffeId } from 'aims/identifiers'
import { parseEntry, type RegistrationEntry } from 'aims/provisioning'
import { federatedDomain } from '../../../test/support/bundle-endpoint.ts'
import { type ServerBackend, startServerBackend } from './backend.ts'
import type { ServerClient, TrustDomainState } from './server-client.ts'
import type { ChangeScope } from './workload-backend.ts'

const trustDomain = parseTrustDomain('example.com')
const START = 1_800_000_000
const jwtKey = WorkloadKey.generate()
const keys = new Map([[jwtKey.kid, verificationKey(jwtKey.publicKey, { kid: jwtKey.kid })]])
const bundle = { ...emptyBundle(trustDomain), jwtAuthorities: keys, witAuthorities: keys }
const entry = (id: string, change: object = {}): RegistrationEntry =>
  parseEntry({ id, spiffeId: `spiffe://example.com/${id}`, selectors: ['unix:uid:1000'], ...change }, { trustDomain })
const attestation = (...selectors: string[]): AttestationResult => ({
  type: 'unix',
  selectors,
  verifiedAt: START,
  binding: 'channel',
  freshness: 'live',
  debug: false,
  warnings: [],
  attributes: {},
})
const workload = attestation('unix:uid:1000')

// The server at the other end of the wire, with a clock that the test moves.
class FakeServer implements ServerClient {
  now = START
  failure: AimsErrorCode | undefined
  federated: TrustDomainState['federated'] = new Map()
  issued = 0
  #state: TrustDomainState | undefined
  #wake = Promise.withResolvers<void>()

  publish(entries: readonly RegistrationEntry[]): void {
    this.#state = { revision: (this.#state?.revision ?? 0) + 1, bundle, federated: this.federated, entries }
    this.#wake.resolve()
    this.#wake = Promise.withResolvers<void>()
  }

  async sync(before: TrustDomainState | undefined, signal: AbortSignal): Promise<TrustDomainState | undefined> {
    while (this.#state === undefined || this.#state.revision === before?.revision) {
      await Promise.race([this.#wake.promise, new Promise((resolve) => signal.addEventListener('abort', resolve))])
      if (signal.aborted) return undefined
    }
    return this.#state
  }

  #answer(): void {
    if (this.failure !== undefined) throw new AimsError(this.failure, 'no')
    this.issued += 1
  }

  async issueX509(one: RegistrationEntry): ReturnType<ServerClient['issueX509']> {
    this.#answer()
    return { certificates: [Buffer.from(`${this.issued}`)], expiresAt: this.now + one.x509Ttl }
  }

  async issueWit(one: RegistrationEntry): ReturnType<ServerClient['issueWit']> {
    this.#answer()
    return { token: `wit-${this.issued}`, expiresAt: this.now + one.witTtl }
  }

  async issueJwt(one: RegistrationEntry, audiences: readonly string[]): ReturnType<ServerClient['issueJwt']> {
    this.#answer()
    return issueJwtSvid({ subject: one.spiffeId, audiences, now: this.now, ttl: one.jwtTtl }, jwtKey)
  }
}

async function start(server: FakeServer, ...entries: RegistrationEntry[]): Promise<ServerBackend> {
  server.publish(entries)
  const backend = startServerBackend({ server, clock: () => server.now, log: () => undefined, random: () => 0 })
  await backend.ready
  return backend
}

async function changeOf(backend: ServerBackend): Promise<ChangeScope> {
  return await new Promise((resolve) => {
    const end = backend.onChange((scope) => {
      end()
      resolve(scope)
    })
  })
}

test('a workload gets the identities whose selectors it shows, and the same snapshot until something changes', async () => {
  const server = new FakeServer()
  const other = entry('other', { selectors: ['unix:uid:1000', 'unix:gid:5'] })
  const backend = await start(server, entry('bot'), other)
  const one = await backend.snapshot(workload)
  assert.deepEqual(
    one.identities.map(({ spiffeId }) => spiffeId),
    ['spiffe://example.com/bot'],
  )
  assert.equal(await backend.snapshot(attestation('unix:uid:1000', 'unix:pid:7')), one)
  assert.equal(server.issued, 2)
  const two = await backend.snapshot(attestation('unix:gid:5', 'unix:uid:1000'))
  assert.equal(two.identities.length, 2)
  assert.deepEqual((await backend.snapshot(attestation('unix:uid:7'))).identities, [])
  backend.close()
})

test('who is revoked is known to whoever believes others here, and nobody is good while no list says so', async () => {
  const server = new FakeServer()
  const gone = parseSpiffeId('spiffe://example.com/gone')
  const issuedAt = START - 100
  const revocations: Revocation[] = [{ type: 'subject', value: gone, before: START, expiresAt: START + 3600 }]
  const list = await signRevocationList({ trustDomain, sequence: 1, issuedAt: START, revocations }, jwtKey)
  const send = async ({ signal }: { readonly signal?: AbortSignal }) => {
    if (asked === 1) await new Promise((resolve) => signal?.addEventListener('abort', resolve))
    asked = 1
    return { list }
  }
  let asked = 0
  const lists = { server: { send }, maxStaleness: 60 }
  const backend = startServerBackend({ server, clock: () => server.now, log: () => undefined, lists })
  const statusOf = (subject: string) =>
    backend.revocations?.statusOf({ subject: parseSpiffeId(subject), issuedAt, kind: 'x509-svid' }, server.now)
  assert.equal(statusOf('spiffe://example.com/there'), 'unknown')
  server.publish([])
  await backend.ready
  assert.equal(statusOf(gone), 'revoked')
  assert.equal(statusOf('spiffe://example.com/there'), 'good')
  server.now += 120
  assert.equal(statusOf('spiffe://example.com/there'), 'unknown')
  assert.equal(statusOf('spiffe://other.example/there'), 'good')
  backend.close()
})

test('selectors of several attestors in one entry must all be shown: of the process, its container and its pod', async () => {
  const selectors = ['unix:user:bot', 'docker:label:app:bot', 'k8s:pod-uid:0f1e']
  const backend = await start(new FakeServer(), entry('tied', { selectors }))
  const shown = ['unix:uid:1000', ...selectors, 'docker:image_id:bot:1']
  assert.equal((await backend.snapshot(attestation(...shown))).identities.length, 1)
  for (const missing of selectors) {
    const less = attestation(...shown.filter((one) => one !== missing))
    assert.deepEqual((await backend.snapshot(less)).identities, [], missing)
  }
  backend.close()
})

test('several identities come in the order of their SPIFFE IDs, whatever their entries are called', async () => {
  const named = (id: string, name: string): RegistrationEntry => ({ ...entry(name), id })
  const backend = await start(new FakeServer(), named('1', 'user'), named('2', 'agent'), named('3', 'bot'))
  const { identities } = await backend.snapshot(workload)
  assert.deepEqual(
    identities.map(({ spiffeId }) => spiffeId),
    ['spiffe://example.com/agent', 'spiffe://example.com/bot', 'spiffe://example.com/user'],
  )
  backend.close()
})

test('workloads that come at once share one issuance', async () => {
  const server = new FakeServer()
  const backend = await start(server, entry('bot', { credentialTypes: ['x509-svid'] }))
  const snapshots = await Promise.all(Array.from({ length: 20 }, () => backend.snapshot(workload)))
  assert.equal(new Set(snapshots).size, 1)
  assert.equal(server.issued, 1)
  backend.close()
})

// [credentials.wit.19] [provisioning.aims.04]
test('every credential and every rotation has a key of its own', async () => {
  const server = new FakeServer()
  const backend = await start(server, entry('bot', { x509Ttl: 100, witTtl: 100 }))
  const [before] = (await backend.snapshot(workload)).identities
  server.now += 49
  assert.equal((await backend.snapshot(workload)).identities[0], before)
  server.now += 1
  const [renewed] = (await backend.snapshot(workload)).identities
  assert.notDeepEqual(renewed?.x509?.privateKey, before?.x509?.privateKey)
  assert.notEqual(renewed?.wit?.privateJwk, before?.wit?.privateJwk)
  backend.close()
})

test('whoever listens is told when a renewal is due', async () => {
  const server = new FakeServer()
  const backend = await start(server, entry('bot', { x509Ttl: 1, credentialTypes: ['x509-svid'] }))
  await backend.snapshot(workload)
  server.now += 0.4
  const told = changeOf(backend)
  server.now += 0.2
  assert.equal(await told, 'identities')
  assert.equal(server.issued, 1)
  await backend.snapshot(workload)
  assert.equal(server.issued, 2)
  backend.close()
})

test('a snapshot is current until one of its identities is due, was renewed for another, or is gone', async () => {
  const server = new FakeServer()
  const short = { x509Ttl: 100, witTtl: 100 }
  const bot = entry('bot', short)
  const other = entry('other', { ...short, selectors: ['unix:uid:2000'] })
  const both = attestation('unix:uid:1000', 'unix:uid:2000')
  const backend = await start(server, bot, other)
  const current = (): readonly unknown[] => [one, two, three].map((snapshot) => backend.isCurrent?.(snapshot))
  let one = await backend.snapshot(workload)
  server.now += 30
  const two = await backend.snapshot(attestation('unix:uid:2000'))
  const three = await backend.snapshot(both)
  assert.deepEqual(current(), [true, true, true])
  // Only what has the identity of the first has to be looked at again.
  server.now += 20
  assert.deepEqual(current(), [false, true, false])
  const told = changeOf(backend)
  one = await backend.snapshot(workload)
  assert.equal(await told, 'identities')
  assert.deepEqual(current(), [true, true, false])
  assert.notEqual(await backend.snapshot(both), three)
  // The server has another revision of the entry.
  const everything = changeOf(backend)
  server.publish([{ ...bot, revision: bot.revision + 1 }, other])
  assert.equal(await everything, 'everything')
  assert.deepEqual(current(), [false, true, false])
  server.now += 100
  assert.deepEqual(current(), [false, false, false])
  assert.equal(backend.isCurrent?.({ identities: [], bundles: [] }), false)
  backend.close()
})

test('an identity that the server refuses is asked for whenever there is an occasion', async () => {
  const server = new FakeServer()
  server.failure = 'provisioning.not_entitled'
  const backend = await start(server, entry('bot'))
  const none = await backend.snapshot(workload)
  assert.deepEqual([none.identities, backend.isCurrent?.(none)], [[], false])
  server.failure = undefined
  assert.equal((await backend.snapshot(workload)).identities.length, 1)
  backend.close()
})

test('while the server is away a snapshot stays current, except for the attempts to renew it', async () => {
  const server = new FakeServer()
  const backend = await start(server, entry('bot', { x509Ttl: 100, witTtl: 100 }))
  const snapshot = await backend.snapshot(workload)
  server.failure = 'operation.server_unreachable'
  server.now += 60
  assert.equal(backend.isCurrent?.(snapshot), false)
  assert.equal(await backend.snapshot(workload), snapshot)
  assert.equal(backend.isCurrent?.(snapshot), true)
  server.now += 10
  assert.equal(backend.isCurrent?.(snapshot), false)
  backend.close()
})

test('while the server is away a valid identity is given on, an expired one is not', async () => {
  const server = new FakeServer()
  const backend = await start(server, entry('bot', { x509Ttl: 100, witTtl: 100 }))
  const first = await backend.snapshot(workload)
  server.failure = 'operation.server_unreachable'
  server.now += 99
  assert.equal((await backend.snapshot(workload)).identities[0], first.identities[0])
  server.now += 1
  await assert.rejects(backend.snapshot(workload), { code: 'operation.server_unreachable' })
  server.failure = undefined
  assert.equal((await backend.snapshot(workload)).identities.length, 1)
  backend.close()
})

// [provisioning.aims.03]
test('what the server refuses is redacted at the next renewal, although it is still valid', async () => {
  const server = new FakeServer()
  const backend = await start(server, entry('bot', { x509Ttl: 100, witTtl: 100 }))
  await backend.snapshot(workload)
  server.failure = 'provisioning.not_entitled'
  server.now += 60
  assert.deepEqual((await backend.snapshot(workload)).identities, [])
  backend.close()
})

test('a deleted entry is gone at once, and a changed one is issued again', async () => {
  const server = new FakeServer()
  const backend = await start(server, entry('bot'))
  const [before] = (await backend.snapshot(workload)).identities
  let change = changeOf(backend)
  server.publish([entry('bot', { revision: 2, hint: 'main' })])
  await change
  const [after] = (await backend.snapshot(workload)).identities
  assert.equal(after?.hint, 'main')
  assert.notEqual(after?.wit?.token, before?.wit?.token)
  change = changeOf(backend)
  server.publish([])
  await change
  assert.deepEqual((await backend.snapshot(workload)).identities, [])
  await assert.rejects(backend.jwtSvids(workload, ['a']), { code: 'provisioning.not_entitled' })
  backend.close()
})

test('an entry gives the credentials that it names and no others', async () => {
  const server = new FakeServer()
  const backend = await start(server, entry('bot', { credentialTypes: ['wit'] }))
  const [identity] = (await backend.snapshot(workload)).identities
  assert.equal(identity?.x509, undefined)
  assert.match(String(identity?.wit?.token), /^wit-/)
  assert.equal(JSON.parse(String(identity?.wit?.privateJwk)).alg, 'ES256')
  await assert.rejects(backend.jwtSvids(workload, ['a']), { code: 'provisioning.not_entitled' })
  backend.close()
})

test('a profile that has ended takes its WITs away and leaves the certificate', async () => {
  const server = new FakeServer()
  server.issueWit = () => Promise.reject(new AimsError('provisioning.profile_disabled', 'off'))
  const backend = await start(server, entry('bot'))
  const [identity] = (await backend.snapshot(workload)).identities
  assert.equal(identity?.wit, undefined)
  assert.notEqual(identity?.x509, undefined)
  backend.close()
})

test('a hint occurs once per snapshot', async () => {
  const server = new FakeServer()
  const backend = await start(server, entry('a', { hint: 'x' }), entry('b', { hint: 'x' }), entry('c', { hint: 'y' }))
  const { identities } = await backend.snapshot(workload)
  assert.deepEqual(
    identities.map(({ hint }) => hint),
    ['x', '', 'y'],
  )
  backend.close()
})

test('a JWT-SVID is given again for half of its life, and while the server is away for nearly all of it', async () => {
  const server = new FakeServer()
  const backend = await start(server, entry('bot', { jwtTtl: 100 }), entry('two'))
  const token = async (audience: string) =>
    (await backend.jwtSvids(workload, [audience], parseSpiffeId('spiffe://example.com/bot')))[0]?.token
  const first = await token('a')
  assert.notEqual(await token('b'), first)
  server.now += 49
  assert.equal(await token('a'), first)
  server.failure = 'operation.server_timeout'
  server.now += 30
  assert.equal(await token('a'), first)
  server.now += 15
  await assert.rejects(token('a'), { code: 'operation.server_timeout' })
  server.failure = undefined
  assert.notEqual(await token('a'), first)
  assert.equal((await backend.jwtSvids(workload, ['a'])).length, 2)
  const none = backend.jwtSvids(workload, ['a'], parseSpiffeId('spiffe://example.com/none'))
  await assert.rejects(none, { code: 'provisioning.not_entitled' })
  backend.close()
})

test('a JWT-SVID is validated with the bundle of the trust domain, for workloads with an identity only', async () => {
  const server = new FakeServer()
  const backend = await start(server, entry('bot'))
  const [svid] = await backend.jwtSvids(workload, ['a'])
  const token = svid?.token ?? ''
  assert.equal((await backend.validateJwtSvid(workload, 'a', token)).spiffeId, 'spiffe://example.com/bot')
  await assert.rejects(backend.validateJwtSvid(workload, 'b', token), { code: 'credential.audience_mismatch' })
  await assert.rejects(backend.validateJwtSvid(attestation('unix:uid:7'), 'a', token), {
    code: 'provisioning.not_entitled',
  })
  backend.close()
})

test('before the server was reached nothing is known, and the backend keeps trying', async () => {
  const server = new FakeServer()
  const sync = server.sync.bind(server)
  let attempts = 0
  server.sync = (after, signal) => {
    attempts += 1
    return attempts < 3 ? Promise.reject(new AimsError('operation.server_unreachable', 'away')) : sync(after, signal)
  }
  server.publish([entry('bot')])
  const lines: string[] = []
  const backend = startServerBackend({
    server,
    clock: () => server.now,
    log: (line) => lines.push(line),
    random: () => 0,
  })
  await assert.rejects(backend.snapshot(workload), { code: 'operation.server_unreachable' })
  await Promise.race([backend.ready, sleep(30_000, undefined, { ref: false })])
  assert.equal((await backend.snapshot(workload)).identities.length, 1)
  assert.deepEqual(lines, [
    'aims agent: operation.server_unreachable: away',
    'aims agent: the server answers again, after operation.server_unreachable',
  ])
  backend.close()
})

test('nothing is asked for before the agent itself was attested, and all of it after a refusal as well', async () => {
  for (const end of ['resolve', 'reject'] as const) {
    const server = new FakeServer()
    server.publish([entry('bot')])
    const attested = Promise.withResolvers<void>()
    const lines: string[] = []
    const options = { server, clock: () => server.now, log: (line: string) => lines.push(line), random: () => 0 }
    const backend = startServerBackend({ ...options, after: attested.promise })
    await sleep(20)
    await assert.rejects(backend.snapshot(workload), { code: 'operation.server_unreachable' })
    if (end === 'resolve') attested.resolve()
    else attested.reject(new AimsError('provisioning.agent_banned', 'banned'))
    await Promise.race([backend.ready, sleep(30_000, undefined, { ref: false })])
    assert.equal((await backend.snapshot(workload)).identities.length, 1)
    assert.deepEqual(lines, [])
    backend.close()
  }
})

test('a workload gets the bundles that its entries name, and no others [provisioning.federation.14]', async () => {
  const server = new FakeServer()
  const [partner, other] = await Promise.all([federatedDomain('partner.example'), federatedDomain('other.example')])
  server.federated = new Map([partner, other].map((one) => [one.bundle.trustDomain, one.bundle]))
  const friend = entry('friend', { federatesWith: ['partner.example', 'nobody.example'] })
  const stranger = entry('stranger', { selectors: ['unix:uid:2000'] })
  const backend = await start(server, friend, stranger)
  assert.deepEqual((await backend.snapshot(workload)).bundles, [bundle, partner.bundle])
  assert.deepEqual((await backend.snapshot(attestation('unix:uid:2000'))).bundles, [bundle])

  const claims = { audiences: ['us'], now: server.now, ttl: 60 }
  const subject = parseWorkloadSpiffeId('spiffe://partner.example/agent')
  const { token } = await issueJwtSvid({ ...claims, subject }, partner.jwtKey)
  assert.equal((await backend.validateJwtSvid(workload, 'us', token)).spiffeId, subject)
  await assert.rejects(backend.validateJwtSvid(attestation('unix:uid:2000'), 'us', token), {
    code: 'credential.untrusted_domain',
  })
  // The keys of the partner say nothing about our own identifiers.
  const forged = await issueJwtSvid({ ...claims, subject: friend.spiffeId }, partner.jwtKey)
  await assert.rejects(backend.validateJwtSvid(workload, 'us', forged.token), { code: 'credential.unknown_key' })

  const gone = changeOf(backend)
  server.federated = new Map([[other.bundle.trustDomain, other.bundle]])
  server.publish([friend, stranger])
  await gone
  assert.deepEqual((await backend.snapshot(workload)).bundles, [bundle])
  await assert.rejects(backend.validateJwtSvid(workload, 'us', token), { code: 'credential.untrusted_domain' })
  backend.close()
})
