import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { NOW, testDomain } from '../../../../../test/support/identities.ts'
import { AimsError } from '../../base/errors.ts'
import type { AuditEvent } from '../../base/event.ts'
import { exportPublicJwk, WorkloadKey } from '../../base/keys.ts'
import { areWithin, parseRights } from '../../credentials/delegation/rights.ts'
import { verifyWit } from '../../credentials/wit/verify.ts'
import type { VerifiedWit } from '../../credentials/wit/wit.ts'
import { parseWorkloadSpiffeId, type SpiffeId } from '../../identifiers/spiffe-id.ts'
import { parseEntry } from '../entry.ts'
import { parseSubAgentLimits } from './limits.ts'
import { createSubAgentMint, MAX_BATCH, type MintRequest, type SubAgentBatch, type SubAgentOrder } from './mint.ts'

const domain = testDomain()
const { trustDomain } = domain.bundle
const PLANNER = parseWorkloadSpiffeId('spiffe://example.com/agent/planner')
const CALENDAR = 'spiffe://example.com/service/calendar'
const LIMITS = { maxDepth: 2, max: 1000, maxTtl: 300 }
const newKey = () => ({ ...exportPublicJwk(WorkloadKey.generate().publicKey) })
const publicKey = newKey()
const root = { id: PLANNER, expiresAt: NOW + 3600, credential: { type: 'x509-svid', id: 'aa' } }
const order = (change: Partial<SubAgentOrder> = {}): SubAgentOrder => {
  return { publicKey, rights: [`call ${CALENDAR}#list`], ...change }
}

interface Given {
  readonly entry?: object
  readonly refuse?: AimsError
  readonly notBefore?: number
  /** Of an entry that is gone. */
  readonly retired?: string
  /** Of entries beside that of the planner. */
  readonly registered?: readonly string[]
  readonly onSign?: () => void
}

function mint(given: Given = {}) {
  const { entry = {}, refuse, retired, registered: others = [], onSign } = given
  const registered = parseEntry(
    { id: 'p', spiffeId: PLANNER, selectors: ['unix:uid:1'], subAgents: LIMITS, ...entry },
    { trustDomain },
  )
  const batches: SubAgentBatch[] = []
  const events: AuditEvent[] = []
  const made = createSubAgentMint({
    signer: () => {
      onSign?.()
      return domain.signer
    },
    findEntry: (id) => (id === PLANNER || others.includes(id) ? registered : undefined),
    isRetired: (id) => id === retired,
    register: {
      register(batch) {
        if (refuse !== undefined) throw refuse
        batches.push(batch)
      },
    },
    clock: () => NOW,
    observer: { record: async (event) => void events.push(event) },
    notBefore: () => given.notBefore,
  })
  const ask = (change: Partial<MintRequest> = {}) =>
    made.mint({ root, orders: [order()], correlationId: 'c', ...change })
  return { ask, batches, events }
}

const verify = (token: string): VerifiedWit =>
  verifyWit(token, { bundles: domain.bundles, profile: 'wimse', svid: true, now: NOW, trustDomain })

async function childOf(ask: ReturnType<typeof mint>['ask'], change: Partial<SubAgentOrder> = {}, parent?: VerifiedWit) {
  const [made] = await ask({ orders: [order(change)], ...(parent === undefined ? {} : { parent }) })
  return verify(made?.token ?? '')
}

// [provisioning.aims.05]
test('a sub-agent has a WIT that any verifier of the trust domain accepts, below its parent', async () => {
  const { ask, events, batches } = mint()
  const [named, madeUp] = await ask({
    orders: [order({ name: 'reader', ttl: 60 }), order({ publicKey: newKey() })],
  })
  assert.equal(named?.spiffeId, 'spiffe://example.com/agent/planner/sub/reader')
  assert.match(String(madeUp?.spiffeId), /^spiffe:\/\/example\.com\/agent\/planner\/sub\/[0-9a-f]{18}-1$/)
  const wit = verify(named?.token ?? '')
  assert.deepEqual(
    [wit.subject, wit.expiresAt, wit.issuedAt, wit.delegation],
    [named?.spiffeId, NOW + 60, NOW, { parent: PLANNER, rights: [`call ${CALENDAR}#list`] }],
  )
  // One batch, one record.
  assert.deepEqual([batches.length, events.length], [1, 1])
  const [event] = events
  assert.equal(event?.type, 'provisioning.sub-agents-issued')
  assert.equal(event?.details?.count, 2)
  assert.ok(named?.id.startsWith(String(event?.details?.batch)))
})

const longLived = { ...root, expiresAt: NOW + 100_000 }
const REFUSED: readonly (readonly [string, Given, Partial<MintRequest>, string])[] = [
  [
    'an entry that says nothing',
    { entry: { subAgents: undefined } as object },
    {},
    'provisioning.sub_agents_not_allowed',
  ],
  ['an entry without WITs', { entry: { credentialTypes: ['x509-svid'] } }, {}, 'provisioning.sub_agents_not_allowed'],
  [
    'an agent without entry',
    {},
    { root: { ...root, id: parseWorkloadSpiffeId('spiffe://example.com/agent/other') } },
    'provisioning.sub_agents_not_allowed',
  ],
  ['a life beyond the limit', {}, { root: longLived, orders: [order({ ttl: 301 })] }, 'provisioning.ttl_out_of_range'],
  ['a parent that ends now', {}, { root: { ...root, expiresAt: NOW + 0.5 } }, 'provisioning.parent_expired'],
  ['a right that nobody can read', {}, { orders: [order({ rights: ['*'] })] }, 'credential.invalid_rights'],
  [
    'a right beyond those of the entry',
    { entry: { subAgents: { ...LIMITS, rights: [`call ${CALENDAR}#list`] } } },
    { orders: [order({ rights: [`call ${CALENDAR}`] })] },
    'provisioning.rights_exceeded',
  ],
  ['a name that leads elsewhere', {}, { orders: [order({ name: '../admin' })] }, 'identifier.bad_path_char'],
  ['a name with a slash', {}, { orders: [order({ name: 'a/b' })] }, 'identifier.bad_path_char'],
  [
    'a name that a deleted entry had',
    { retired: `${PLANNER}/sub/old` },
    { orders: [order({ name: 'old' })] },
    'provisioning.subject_retired',
  ],
  [
    'a name that an entry has',
    { registered: [`${PLANNER}/sub/own`] },
    { orders: [order({ name: 'own' })] },
    'provisioning.subject_taken',
  ],
  ['a key that is none', {}, { orders: [order({ publicKey: { kty: 'oct', k: 'AA' } })] }, 'key.private'],
  [
    'one that is refused among good ones',
    {},
    { orders: [order(), order({ rights: ['*'] })] },
    'credential.invalid_rights',
  ],
  [
    'a register that is full',
    { refuse: new AimsError('provisioning.too_many_sub_agents', 'full') },
    {},
    'provisioning.too_many_sub_agents',
  ],
]
for (const [what, given, request, code] of REFUSED) {
  test(`no sub-agent for ${what}, and the refusal is recorded`, async () => {
    const { ask, events, batches } = mint(given)
    await assert.rejects(ask(request), { code })
    assert.deepEqual(
      events.map(({ type, reasons }) => [type, reasons]),
      [['provisioning.refused', [code]]],
    )
    assert.equal(batches.length, 0)
  })
}

test('a parent that is no sub-agent of the root, or too deep, gets none', async () => {
  const { ask } = mint()
  const child = await childOf(ask, { name: 'a' })
  const grandchild = await childOf(ask, { name: 'b' }, child)
  assert.equal(grandchild.subject, `${child.subject}/sub/b`)
  await assert.rejects(ask({ parent: grandchild }), { code: 'provisioning.sub_agents_too_deep' })
  const stranger = verify((await domain.wit({ path: '/agent/other' })).token)
  await assert.rejects(ask({ parent: stranger }), { code: 'provisioning.sub_agents_not_allowed' })
  const itself = verify((await domain.wit({ path: '/agent/planner' })).token)
  await assert.rejects(ask({ parent: itself }), { code: 'provisioning.sub_agents_not_allowed' })
  // Below it by its path, but not made by anybody's delegation.
  const path = verify((await domain.wit({ path: '/agent/planner/sub/x' })).token)
  await assert.rejects(ask({ parent: path }), { code: 'provisioning.sub_agents_not_allowed' })
})

test('a sub-agent of an identity that is registered below the root is no parent for the root', async () => {
  const child = await childOf(mint().ask, { name: 'a' })
  const grandchild = await childOf(mint({ entry: { subAgents: { ...LIMITS, maxDepth: 3 } } }).ask, { name: 'b' }, child)
  const { ask } = mint({ entry: { subAgents: { ...LIMITS, maxDepth: 3 } }, registered: [child.subject] })
  for (const parent of [child, grandchild]) {
    await assert.rejects(ask({ parent }), { code: 'provisioning.sub_agents_not_allowed' })
  }
})

test('a revocation that comes while tokens are signed ends them', async () => {
  const given: { notBefore?: number; onSign: () => void } = {
    onSign: () => {
      given.notBefore = NOW + 1
    },
  }
  const orders = [order({ name: 'a' }), order({ name: 'b', publicKey: newKey() })]
  for (const { token } of await mint(given).ask({ orders })) assert.equal(verify(token).issuedAt, NOW)
})

test('nothing is returned that was not recorded', async () => {
  const made = createSubAgentMint({
    signer: () => domain.signer,
    findEntry: (id) =>
      id !== PLANNER
        ? undefined
        : parseEntry({ id: 'p', spiffeId: PLANNER, selectors: ['unix:uid:1'], subAgents: LIMITS }, { trustDomain }),
    isRetired: () => false,
    register: { register: () => undefined },
    clock: () => NOW,
    observer: { record: () => Promise.reject(new AimsError('audit.unavailable', 'full')) },
    notBefore: () => undefined,
  })
  await assert.rejects(made.mint({ root, orders: [order()], correlationId: 'c' }), { code: 'audit.unavailable' })
})

test('what is minted in the second of a revocation is of the next one', async () => {
  const { ask } = mint({ notBefore: NOW + 1 })
  const [made] = await ask()
  const wit = verifyWit(made?.token ?? '', { bundles: domain.bundles, profile: 'wimse', now: NOW + 1 })
  assert.equal(wit.issuedAt, NOW + 1)
})

test('a batch has bounds', async () => {
  const { ask } = mint()
  await assert.rejects(ask({ orders: [] }), TypeError)
  await assert.rejects(ask({ orders: Array.from({ length: MAX_BATCH + 1 }, () => order()) }), TypeError)
})

const MALFORMED: readonly unknown[] = [
  null,
  [],
  {},
  { maxDepth: 1, max: 1 },
  { ...LIMITS, maxDepth: 0 },
  { ...LIMITS, maxDepth: 9 },
  { ...LIMITS, max: 1.5 },
  { ...LIMITS, maxTtl: 86_401 },
  { ...LIMITS, maxTtl: '60' },
  { ...LIMITS, depth: 1 },
  { ...LIMITS, rights: 'all' },
]
test('limits that are incomplete, out of range or misspelt are refused', () => {
  for (const value of MALFORMED) {
    assert.throws(
      () => parseSubAgentLimits(value as never),
      { code: 'provisioning.malformed_entry' },
      JSON.stringify(value),
    )
  }
  assert.throws(() => parseSubAgentLimits({ ...LIMITS, rights: ['*'] }), { code: 'credential.invalid_rights' })
})

const POOL = [
  `call ${CALENDAR}`,
  `call ${CALENDAR}#list`,
  `call ${CALENDAR}#create`,
  `read ${CALENDAR} /a`,
  `GET ${CALENDAR} /a/b`,
]
test('no chain of sub-agents widens: not rights, not life, not depth', async () => {
  const link = fc.record({ rights: fc.subarray(POOL), ttl: fc.integer({ min: 1, max: 300 }) })
  await fc.assert(
    fc.asyncProperty(
      fc.array(link, { minLength: 1, maxLength: 5 }),
      fc.integer({ min: 1, max: 400 }),
      async (links, life) => {
        const { ask } = mint({ entry: { subAgents: { ...LIMITS, maxDepth: 4 } } })
        const end = { ...root, expiresAt: NOW + life }
        let parent: VerifiedWit | undefined
        let depth = 0
        for (const { rights, ttl } of links) {
          try {
            const [made] = await ask({
              root: end,
              orders: [order({ rights, ttl })],
              ...(parent === undefined ? {} : { parent }),
            })
            const child: VerifiedWit = verify(made?.token ?? '')
            depth += 1
            assert.ok(depth <= 4)
            assert.ok(child.expiresAt <= Math.min(end.expiresAt, parent?.expiresAt ?? end.expiresAt, NOW + ttl))
            if (parent !== undefined) {
              const [own, above] = [child, parent].map(({ delegation }) => parseRights(delegation?.rights ?? []))
              assert.ok(areWithin(own ?? [], above ?? []))
              assert.equal(child.delegation?.parent, parent.subject as SpiffeId)
            }
            parent = child
          } catch (error) {
            if (!AimsError.is(error)) throw error
            assert.match(error.code, /^provisioning\.(rights_exceeded|sub_agents_too_deep)$/)
          }
        }
      },
    ),
    { numRuns: 60 },
  )
})
