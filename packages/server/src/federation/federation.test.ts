import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import type { RequestListener } from 'node:http'
import { test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { type AuditEvent, keyEncryptionKey } from 'aims/base'
import { serializeBundle, serializePemBundle } from 'aims/credentials'
import { federatedDomain, network, serving, spiffeEndpoint } from '../../../../test/support/bundle-endpoint.ts'
import type { TlsHost } from '../../../../test/support/tls-host.ts'
import { openStore } from '../store/database.ts'
import { openFederationStore } from '../store/federation-store.ts'
import { openMeta } from '../store/meta.ts'
import { openSeal } from '../store/seal.ts'
import { createFederation, type Federation } from './federation.ts'

const partner = await federatedDomain('partner.example')
const other = await federatedDomain('other.example')
const own = await federatedDomain('example.com')
const { trustDomain } = partner.bundle
const server = await partner.ca.svid('/aims/server')
const actor = { name: 'unix:uid:0', method: 'unix', correlationId: 'c' }
const relationship = {
  trustDomain,
  url: 'https://bundles.partner.example:8443/v1/bundle?include=wit-svid',
  profile: 'https_spiffe',
  endpointSpiffeId: 'spiffe://partner.example/aims/server',
  bundle: serializeBundle(partner.bundle),
}

interface Surroundings {
  readonly federation: Federation
  readonly events: AuditEvent[]
  readonly failures: unknown[]
  now: number
  changes: number
  revision(): number
  /** The relationships as the next start finds them. */
  reopen(): Federation
}

function open(host: TlsHost): Surroundings {
  const db = openStore(':memory:')
  const key = keyEncryptionKey(randomBytes(32))
  const meta = openMeta(db)
  const events: AuditEvent[] = []
  const failures: unknown[] = []
  const start = (): Federation => {
    const store = openFederationStore(db, openSeal(db, key, meta), meta)
    return createFederation({
      trustDomain: own.bundle.trustDomain,
      store,
      clock: () => around.now,
      observer: { record: async (event) => void events.push(event) },
      own: () => own.bundle,
      failed: (error) => failures.push(error),
      network: network({ 'bundles.partner.example': host }),
    })
  }
  const around: Surroundings = {
    federation: start(),
    events,
    failures,
    now: Date.now() / 1000,
    changes: 0,
    revision: () => meta.counter('revision'),
    reopen: start,
  }
  around.federation.onChange(() => {
    around.changes += 1
  })
  return around
}

const endpoint = (answer: () => RequestListener): Promise<TlsHost> =>
  spiffeEndpoint(server, (request, response) => answer()(request, response))
const down: RequestListener = (_request, response) => void response.writeHead(500).end()

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await turn()
}

test('a relationship gives its first bundle at once, and the fetched one as soon as it is in the log [provisioning.federation.15]', async () => {
  await using host = await endpoint(() => serving(partner.bundle))
  const around = open(host)
  const { federation, events } = around
  await federation.set(relationship, actor)
  assert.equal(federation.bundleFor(trustDomain)?.witAuthorities.size, 0)
  assert.equal(federation.bundleFor(trustDomain), federation.bundleFor(trustDomain))
  const before = around.revision()
  const status = await federation.refresh(trustDomain, actor)
  assert.deepEqual(status.keys, { x509: 1, jwt: 1, wit: 1 })
  assert.equal(status.sequence, '5')
  assert.equal(status.lastError, null)
  assert.equal(status.origin, 'api')
  assert.equal(around.revision(), before + 1)
  assert.deepEqual(
    events.map(({ type, decision, resource, details }) => [type, decision, resource.id, details?.changed]),
    [
      ['provisioning.federation-set', 'allow', trustDomain, undefined],
      ['provisioning.bundle-fetched', 'allow', trustDomain, true],
    ],
  )
  // The same once more is in the log, and no news to agents.
  const { changes } = around
  const held = federation.bundleFor(trustDomain)
  await federation.refresh(trustDomain, actor)
  assert.equal(events.at(-1)?.details?.changed, false)
  assert.deepEqual([around.changes, around.revision()], [changes, before + 1])
  assert.notEqual(held, undefined)
  // The next start knows all of it.
  const again = around.reopen()
  assert.equal(again.bundleFor(trustDomain)?.witAuthorities.size, 1)
  assert.deepEqual(again.show(trustDomain).fetchedAt, status.fetchedAt)
})

// A mix-up of an operator, which would let one trust domain speak for another until the first fetch, or for ever.
for (const [what, bundle] of [
  ['our own bundle', serializeBundle(own.bundle)],
  ['our own bundle in PEM', serializePemBundle(own.bundle)],
  ['the bundle of a third trust domain', serializeBundle(other.bundle)],
  ['one of our keys among its own', serializeBundle({ ...partner.bundle, jwtAuthorities: own.bundle.jwtAuthorities })],
] as const) {
  test(`a relationship does not begin with ${what}`, async () => {
    await using host = await endpoint(() => down)
    const { federation, events } = open(host)
    await assert.rejects(federation.set({ ...relationship, bundle }, actor), { code: 'bundle.wrong_trust_domain' })
    assert.deepEqual([federation.list(), federation.bundles(), events], [[], [], []])
  })
}

test('a record that cannot be kept changes nothing', async () => {
  await using host = await endpoint(() => serving(partner.bundle))
  const around = open(host)
  const broken = around.reopen()
  await broken.set(relationship, actor)
  around.events.push = () => {
    throw new Error('the disk is full')
  }
  await assert.rejects(broken.refresh(trustDomain, actor), /disk/)
  assert.equal(broken.bundleFor(trustDomain)?.witAuthorities.size, 0)
  await assert.rejects(broken.end(trustDomain, actor), /disk/)
  await assert.rejects(broken.set({ ...relationship, redirects: false }, actor), /disk/)
  assert.equal(broken.show(trustDomain).redirects, true)
})

test('bundles are fetched when they are due, a failure waits for the next time, and what was held stays [provisioning.federation.08]', async () => {
  let answer = serving(partner.bundle)
  await using host = await endpoint(() => answer)
  const around = open(host)
  const { federation, events } = around
  await federation.set(relationship, actor)
  federation.advance()
  federation.advance()
  await until(() => events.length === 2)
  assert.equal(host.requests.length, 1)
  assert.equal(events[1]?.agent?.method, 'schedule')
  await until(() => federation.show(trustDomain).nextFetchAt > around.now)

  around.now += 59
  federation.advance()
  await turn()
  assert.equal(host.requests.length, 1)
  answer = down
  around.now += 1
  federation.advance()
  await until(() => events.length === 3)
  assert.deepEqual([events[2]?.type, events[2]?.reasons], ['provisioning.bundle-refused', ['outbound.refused_by_host']])
  assert.equal(federation.bundleFor(trustDomain)?.witAuthorities.size, 1)
  await until(() => federation.show(trustDomain).nextFetchAt > around.now)
  around.now += 59
  federation.advance()
  await turn()
  assert.equal(host.requests.length, 2)
  assert.equal(federation.show(trustDomain).lastError, 'outbound.refused_by_host')
  assert.deepEqual(around.failures, [])
})

// Each is an answer of the right endpoint after a good one.
for (const [what, answer, code] of [
  ['rolls back', serving({ ...partner.bundle, sequence: 4n }), 'bundle.rollback'],
  [
    'changes a bundle under its number',
    serving({ ...partner.bundle, jwtAuthorities: new Map() }),
    'bundle.sequence_reused',
  ],
  ['serves the bundle of another trust domain', serving(other.bundle), 'bundle.wrong_trust_domain'],
  ['serves our own bundle', serving(own.bundle), 'bundle.wrong_trust_domain'],
  ['serves garbage', serving('{"keys":'), 'bundle.malformed'],
  [
    'redirects into this machine',
    (_request, response) => void response.writeHead(302, { location: 'https://127.0.0.1/' }).end(),
    'outbound.address_refused',
  ],
] as readonly (readonly [string, RequestListener, string])[]) {
  test(`an endpoint that ${what} is recorded, and workloads keep what they have [provisioning.federation.09]`, async () => {
    let current = serving(partner.bundle)
    await using host = await endpoint(() => current)
    const { federation, events } = open(host)
    await federation.set(relationship, actor)
    await federation.refresh(trustDomain, actor)
    const held = federation.bundleFor(trustDomain)
    current = answer
    const { lastError } = await federation.refresh(trustDomain, actor)
    assert.equal(lastError, code)
    assert.deepEqual([events.at(-1)?.type, events.at(-1)?.decision], ['provisioning.bundle-refused', 'deny'])
    assert.equal(events.at(-1)?.reasons?.[0], code)
    assert.equal(federation.bundleFor(trustDomain), held)
  })
}

test('an operator may take an older bundle once', async () => {
  let current = serving(partner.bundle)
  await using host = await endpoint(() => current)
  const { federation } = open(host)
  await federation.set(relationship, actor)
  await federation.refresh(trustDomain, actor)
  current = serving({ ...partner.bundle, sequence: 4n })
  const taken = await federation.refresh(trustDomain, actor, { acceptRollback: true })
  assert.equal(taken.sequence, '4')
})

test('a relationship that ends is gone, also for a fetch that is under way [provisioning.federation.12]', async () => {
  const asked = Promise.withResolvers<void>()
  const go = Promise.withResolvers<void>()
  await using host = await endpoint(() => async (request, response) => {
    asked.resolve()
    await go.promise
    serving(partner.bundle)(request, response)
  })
  const around = open(host)
  const { federation, events } = around
  await federation.set(relationship, actor)
  federation.advance()
  await asked.promise
  await federation.end(trustDomain, actor)
  assert.equal(federation.bundleFor(trustDomain), undefined)
  assert.deepEqual(federation.bundles(), [])
  assert.equal(around.changes, 2)
  go.resolve()
  await until(() => events.length === 3)
  assert.deepEqual(events[2]?.reasons, ['operation.busy'])
  assert.equal(federation.bundleFor(trustDomain), undefined)
  assert.equal(around.reopen().list().length, 0)
  await assert.rejects(federation.end(trustDomain, actor), { code: 'provisioning.federation_not_found' })
  await assert.rejects(federation.refresh(trustDomain, actor), { code: 'provisioning.federation_not_found' })
})

test('another relationship with the same trust domain begins anew', async () => {
  await using host = await endpoint(() => serving(partner.bundle))
  const { federation } = open(host)
  await federation.set(relationship, actor)
  await federation.refresh(trustDomain, actor)
  await federation.set({ trustDomain, url: relationship.url, profile: 'https_web' }, actor)
  assert.equal(federation.bundleFor(trustDomain), undefined)
  assert.equal(federation.show(trustDomain).fetchedAt, null)
  // The profile is another one now, and nothing falls back [provisioning.federation.06]
  assert.equal((await federation.refresh(trustDomain, actor)).lastError, 'outbound.tls_failed')
})

test('what the configuration says is not changed over the API, and the own trust domain is nobody else', async () => {
  await using host = await endpoint(() => serving(partner.bundle))
  const { federation } = open(host)
  await federation.set(relationship, actor, 'configuration')
  await assert.rejects(federation.set(relationship, actor), { code: 'provisioning.federation_configured' })
  await assert.rejects(federation.end(trustDomain, actor), { code: 'provisioning.federation_configured' })
  const self = { ...relationship, trustDomain: 'example.com' }
  await assert.rejects(federation.set(self, actor), { code: 'provisioning.federation_malformed' })
  await federation.end(trustDomain, actor, 'configuration')
})

test('a bundle is imported for a relationship that is there, with the same refusals', async () => {
  await using host = await endpoint(() => down)
  const { federation, events } = open(host)
  const document = serializeBundle(partner.bundle, { includeWit: true })
  await assert.rejects(federation.importBundle(trustDomain, document, actor), {
    code: 'provisioning.federation_not_found',
  })
  await federation.set(relationship, actor)
  assert.deepEqual((await federation.importBundle(trustDomain, document, actor)).keys, { x509: 1, jwt: 1, wit: 1 })
  assert.equal(events.at(-1)?.action, 'import')
  for (const [text, code] of [
    [serializeBundle({ ...partner.bundle, sequence: 4n }), 'bundle.rollback'],
    [serializeBundle(partner.bundle), 'bundle.sequence_reused'],
    [serializeBundle(own.bundle), 'bundle.wrong_trust_domain'],
    ['', 'bundle.malformed'],
  ] as const) {
    await assert.rejects(federation.importBundle(trustDomain, text, actor), { code })
    assert.deepEqual(events.at(-1)?.reasons, [code])
  }
})

test('a row that others wrote is found at the start', () => {
  const db = openStore(':memory:')
  const key = keyEncryptionKey(randomBytes(32))
  const meta = openMeta(db)
  openFederationStore(db, openSeal(db, key, meta), meta)
  db.prepare('INSERT INTO federation VALUES (?, ?, ?, NULL, NULL)').run(
    trustDomain,
    'api',
    JSON.stringify(relationship),
  )
  assert.throws(() => openSeal(db, key, meta), { code: 'operation.store_damaged' })
})
