import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import type { AuditEvent, Observer } from 'aims/base'
import { WorkloadKey } from 'aims/base'
import { bundleSource, issueX509Svid, serializeBundle, verifyX509Svid } from 'aims/credentials'
import { parseTrustDomain, parseWorkloadSpiffeId } from 'aims/identifiers'
import { openStore } from '../store/database.ts'
import { openKeyStore } from '../store/key-store.ts'
import { openMeta } from '../store/meta.ts'
import { openSeal } from '../store/seal.ts'
import { type Authorities, type AuthoritiesOptions, openAuthorities } from './authorities.ts'
import { keyEncryptionKey } from './key-encryption-key.ts'

const trustDomain = parseTrustDomain('example.com')
const START = 1_800_000_000
const LIFETIME = 1000
const PUBLISH_AHEAD = 50
const MAX_TTL = 100
const actor = { name: 'unix:uid:0', method: 'unix', correlationId: 'c1' }

interface World {
  now: number
  readonly records: AuditEvent[]
  readonly options: AuthoritiesOptions
}

function world(observer?: Observer): World {
  const db = openStore(':memory:')
  const meta = openMeta(db)
  const kek = keyEncryptionKey(randomBytes(32))
  const seal = openSeal(db, kek, meta)
  const records: AuditEvent[] = []
  const self: World = {
    now: START,
    records,
    options: {
      trustDomain,
      seal,
      store: openKeyStore(db, kek, seal),
      meta,
      clock: () => self.now,
      observer: observer ?? { record: async (event) => void records.push(event) },
      lifetime: LIFETIME,
      publishAhead: PUBLISH_AHEAD,
      maxTtl: { 'x509-ca': MAX_TTL, jwt: MAX_TTL, wit: MAX_TTL },
      refreshHint: 60,
    },
  }
  return self
}

const states = (authorities: Authorities, purpose = 'x509-ca') =>
  authorities
    .list()
    .filter((key) => key.purpose === purpose)
    .map(({ state }) => state)

const byId = (authorities: Authorities) => authorities.list().toSorted((a, b) => (a.id < b.id ? -1 : 1))

test('the first start makes one key per purpose, each its own, and the next start finds them', async () => {
  const one = world()
  const first = await openAuthorities(one.options)
  assert.equal(new Set(first.list().map(({ thumbprint }) => thumbprint)).size, 3)
  assert.deepEqual(states(first, 'jwt'), ['active'])
  const second = await openAuthorities(one.options)
  assert.deepEqual(byId(second), byId(first))
  assert.equal(
    serializeBundle(second.bundle(), { includeWit: true }),
    serializeBundle(first.bundle(), { includeWit: true }),
  )
  assert.equal(one.records.length, 3)
})

// [credentials.bundle.16] [credentials.bundle.17]
test('a successor is published at half of the life, signs at three quarters, and the old key stays until its last SVID has expired', async () => {
  const one = world()
  const authorities = await openAuthorities(one.options)
  const old = authorities.x509().certificate.serialNumber
  const at = async (seconds: number) => {
    one.now = START + seconds
    await authorities.advance()
    return [
      states(authorities),
      authorities.bundle().x509Authorities.length,
      authorities.x509().certificate.serialNumber === old,
    ]
  }
  assert.deepEqual(await at(499), [['active'], 1, true])
  assert.deepEqual(await at(500), [['active', 'prepared'], 2, true])
  assert.deepEqual(await at(749), [['active', 'prepared'], 2, true])
  assert.deepEqual(await at(750), [['retired', 'active'], 2, false])
  assert.deepEqual(await at(750 + MAX_TTL + 59), [['retired', 'active'], 2, false])
  assert.deepEqual(await at(750 + MAX_TTL + 60), [['active'], 1, false])
})

test('over many rotations every SVID verifies from its issue to its end with the bundle of that moment', async () => {
  const one = world()
  const authorities = await openAuthorities(one.options)
  const { publicKey } = WorkloadKey.generate()
  const spiffeId = parseWorkloadSpiffeId('spiffe://example.com/agent/bot')
  const live: { readonly chain: readonly Uint8Array[]; readonly until: number }[] = []
  for (let step = 0; step < 4 * LIFETIME; step += 10) {
    one.now = START + step
    await authorities.advance()
    const request = { spiffeId, publicKey, notBefore: one.now - 10, notAfter: one.now + MAX_TTL }
    const { certificates } = await issueX509Svid(request, authorities.x509())
    live.push({ chain: certificates, until: one.now + MAX_TTL })
    while ((live[0]?.until ?? Number.POSITIVE_INFINITY) <= one.now) live.shift()
    const bundles = bundleSource(authorities.bundle())
    for (const { chain } of live) verifyX509Svid(chain, { bundles, now: one.now })
  }
  assert.ok(authorities.list().length <= 6, 'dropped keys pile up')
})

// [credentials.bundle.02]
test('the sequence of the bundle grows when its content changes, and only then', async () => {
  const one = world()
  const authorities = await openAuthorities(one.options)
  const before = authorities.bundle().sequence ?? 0n
  await authorities.advance()
  assert.equal(authorities.bundle().sequence, before)
  await authorities.rotate('jwt', actor)
  assert.equal(authorities.bundle().sequence, before + 1n)
  one.now += PUBLISH_AHEAD
  await authorities.advance()
  assert.deepEqual(states(authorities, 'jwt'), ['retired', 'active'])
  assert.equal(authorities.bundle().sequence, before + 1n)
})

test('a rotation that is asked for waits until the key was published for a while, unless told not to', async () => {
  const one = world()
  const authorities = await openAuthorities(one.options)
  const before = authorities.wit().kid
  await authorities.rotate('wit', actor)
  assert.equal(authorities.wit().kid, before)
  assert.deepEqual([...authorities.bundle().witAuthorities.keys()].length, 2)
  await authorities.rotate('wit', actor, { immediately: true })
  assert.notEqual(authorities.wit().kid, before)
  assert.deepEqual(one.records.at(-1)?.action, 'activate')
})

test('after a stop of longer than a key lives there is a new one at once', async () => {
  const one = world()
  const before = (await openAuthorities(one.options)).x509().certificate.serialNumber
  one.now += 10 * LIFETIME
  const authorities = await openAuthorities(one.options)
  assert.notEqual(authorities.x509().certificate.serialNumber, before)
  assert.deepEqual(states(authorities), ['retired', 'active'])
})

test('a step that cannot be recorded does not happen', async () => {
  const one = world({ record: () => Promise.reject(new Error('disk full')) })
  await assert.rejects(openAuthorities(one.options), { message: 'disk full' })
  assert.deepEqual(one.options.store.load(), [])
  assert.equal(one.options.meta.counter('bundle_sequence'), 0)
})

test('listeners hear of every change', async () => {
  const one = world()
  const authorities = await openAuthorities(one.options)
  let heard = 0
  const end = authorities.onChange(() => {
    heard += 1
  })
  await authorities.rotate('jwt', actor)
  assert.equal(heard, 1)
  end()
  await authorities.rotate('wit', actor)
  assert.equal(heard, 1)
})
