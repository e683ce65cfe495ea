import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type AuditEvent, type Observer, WorkloadKey } from 'aims/base'
import { bundleSource, issueX509Svid, serializeBundle, verifyX509Svid } from 'aims/credentials'
import { parseWorkloadSpiffeId } from 'aims/identifiers'
import { authoritiesOptions } from '../../../../test/support/authorities.ts'
import { openAuthorities } from './authorities.ts'
import type { Authorities, AuthoritiesOptions } from './authority-types.ts'

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
  const records: AuditEvent[] = []
  const self: World = {
    now: START,
    records,
    options: {
      ...authoritiesOptions(() => self.now),
      observer: observer ?? { record: async (event) => void records.push(event) },
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

const idOf = (authorities: Authorities, state: string): string =>
  authorities.list().find((key) => key.purpose === 'x509-ca' && key.state === state)?.id ?? 'none'

test('an operator prepares, activates, taints and revokes, each recorded, and the bundle follows', async () => {
  const one = world()
  const authorities = await openAuthorities(one.options)
  const old = authorities.standing()['x509-ca'][0]
  const size = () => authorities.bundle().x509Authorities.length
  await authorities.prepare('x509-ca', actor)
  assert.deepEqual([states(authorities), size()], [['active', 'prepared'], 2])
  one.now += PUBLISH_AHEAD
  await authorities.activate('x509-ca', actor)
  assert.deepEqual([states(authorities), size()], [['retired', 'active'], 2])
  assert.ok(authorities.standing()['x509-ca'].includes(old ?? ''))
  await authorities.taint('x509-ca', idOf(authorities, 'retired'), actor)
  assert.deepEqual([states(authorities), size()], [['tainted', 'active'], 2])
  assert.equal(authorities.standing()['x509-ca'].includes(old ?? ''), false)
  const before = authorities.bundle().sequence ?? 0n
  await authorities.revoke('x509-ca', idOf(authorities, 'tainted'), actor)
  assert.deepEqual([states(authorities), size()], [['active'], 1])
  assert.equal(authorities.bundle().sequence, before + 1n)
  const mine = one.records.filter(({ agent }) => agent?.id === actor.name)
  assert.deepEqual(
    mine.map(({ action, type, decision }) => [action, type, decision]),
    [
      ['prepare', 'provisioning.bundle-changed', 'allow'],
      ['activate', 'provisioning.key-rotated', 'allow'],
      ['taint', 'provisioning.key-tainted', 'allow'],
      ['revoke', 'provisioning.key-revoked', 'allow'],
    ],
  )
  assert.deepEqual(byId(await openAuthorities(one.options)), byId(authorities))
})

test('a taint survives a restart, and ends when nothing that the key signed is valid', async () => {
  const one = world()
  const authorities = await openAuthorities(one.options)
  await authorities.prepare('x509-ca', actor)
  await authorities.activate('x509-ca', actor, { force: true })
  await authorities.taint('x509-ca', idOf(authorities, 'retired'), actor)
  const again = await openAuthorities(one.options)
  assert.deepEqual(states(again).toSorted(), ['active', 'tainted'])
  assert.equal(again.standing()['x509-ca'].length, 1)
  one.now += MAX_TTL + 60
  await again.advance()
  assert.deepEqual(states(again), ['active'])
})

const both = async (authorities: Authorities): Promise<void> => {
  await authorities.prepare('x509-ca', actor)
  await authorities.activate('x509-ca', actor, { force: true })
}

// One row per step that is out of order; nothing changes but the log.
const OUT_OF_ORDER: readonly (readonly [
  what: string,
  setUp: (authorities: Authorities) => Promise<unknown>,
  step: (authorities: Authorities) => Promise<unknown>,
  code: string,
])[] = [
  ['a second successor', (a) => a.prepare('jwt', actor), (a) => a.prepare('jwt', actor), 'authority_prepared'],
  ['activation of nothing', async () => undefined, (a) => a.activate('wit', actor), 'authority_not_found'],
  [
    'activation before the key was published for long enough',
    (a) => a.prepare('x509-ca', actor),
    (a) => a.activate('x509-ca', actor),
    'authority_unpublished',
  ],
  ['taint of the active authority', both, (a) => a.taint('x509-ca', idOf(a, 'active'), actor), 'authority_active'],
  [
    'revocation of the active authority',
    both,
    (a) => a.revoke('x509-ca', idOf(a, 'active'), actor),
    'authority_active',
  ],
  [
    'revocation of an authority whose credentials are in use',
    both,
    (a) => a.revoke('x509-ca', idOf(a, 'retired'), actor),
    'authority_state',
  ],
  [
    'taint of a successor',
    (a) => a.prepare('x509-ca', actor),
    (a) => a.taint('x509-ca', idOf(a, 'prepared'), actor),
    'authority_state',
  ],
  [
    'a second taint',
    async (a) => {
      await both(a)
      await a.taint('x509-ca', idOf(a, 'retired'), actor)
    },
    (a) => a.taint('x509-ca', idOf(a, 'tainted'), actor),
    'authority_state',
  ],
  [
    'revocation of a key of another purpose',
    both,
    (a) => a.revoke('jwt', idOf(a, 'active'), actor),
    'authority_not_found',
  ],
]

for (const [what, setUp, step, code] of OUT_OF_ORDER) {
  test(`out of order, refused and recorded: ${what}`, async () => {
    const one = world()
    const authorities = await openAuthorities(one.options)
    await setUp(authorities)
    const before = [byId(authorities), authorities.bundle(), authorities.standing()]
    await assert.rejects(step(authorities), { code: `provisioning.${code}` })
    assert.deepEqual([byId(authorities), authorities.bundle(), authorities.standing()], before)
    const { decision, reasons, agent } = one.records.at(-1) ?? {}
    assert.deepEqual([decision, reasons, agent?.id], ['deny', [`provisioning.${code}`], actor.name])
  })
}

test('a successor that has signed nothing is revoked without a taint', async () => {
  const one = world()
  const authorities = await openAuthorities(one.options)
  await authorities.prepare('x509-ca', actor)
  await authorities.revoke('x509-ca', idOf(authorities, 'prepared'), actor)
  assert.deepEqual([states(authorities), authorities.bundle().x509Authorities.length], [['active'], 1])
})

test('a forced activation says so in the record, and one in time does not', async () => {
  const one = world()
  const authorities = await openAuthorities(one.options)
  await both(authorities)
  assert.equal(one.records.at(-1)?.details?.forced, true)
  await authorities.prepare('jwt', actor)
  one.now += PUBLISH_AHEAD
  await authorities.activate('jwt', actor, { force: true })
  assert.equal(one.records.at(-1)?.details?.forced, undefined)
})
