import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import {
  AimsError,
  type AuditEvent,
  type JsonObject,
  type JsonValue,
  keyEncryptionKey,
  type Observer,
  parseJson,
} from 'aims/base'
import { parseTrustDomain } from 'aims/identifiers'
import { DEFAULT_TTLS, entryToJson, type PlannedChange } from 'aims/provisioning'
import fc from 'fast-check'
import { delegationList } from '../config/delegation-setting.ts'
import { type Actor, createEntryRegistry, type EntryRegistry } from '../entries.ts'
import { openStore } from '../store/database.ts'
import { openEntryStore } from '../store/entry-store.ts'
import { openMeta } from '../store/meta.ts'
import { openSeal } from '../store/seal.ts'
import { type Delegation, delegationsByRegistrar } from './delegation.ts'
import { type PlanRequest, readChanges } from './planning.ts'

const trustDomain = parseTrustDomain('example.com')
const admin: Actor = { name: 'unix:uid:0', method: 'unix', correlationId: 'c' }

interface World {
  readonly registry: EntryRegistry
  readonly events: AuditEvent[]
  readonly observer: { fails: boolean }
  reopen(): EntryRegistry
}

function world(delegations: readonly Delegation[] = []): World {
  const db = openStore(':memory:')
  const key = keyEncryptionKey(randomBytes(32))
  const events: AuditEvent[] = []
  const state = { fails: false }
  const observer: Observer = {
    async record(event) {
      if (state.fails) throw new AimsError('storage.unwritable', 'full')
      events.push(event)
    },
  }
  const open = (): EntryRegistry => {
    const meta = openMeta(db)
    const store = openEntryStore(db, { key, meta, seal: openSeal(db, key, meta), trustDomain })
    return createEntryRegistry({
      store,
      trustDomain,
      ttls: DEFAULT_TTLS,
      agentPrefixes: ['/agent/'],
      delegations: delegationsByRegistrar(delegations),
      verifiers: new Map(),
      clock: () => 1_800_000_000,
      observer,
    })
  }
  return { registry: open(), events, observer: state, reopen: open }
}

function entry(path: string, more: JsonObject = {}): JsonObject {
  return { spiffeId: `spiffe://example.com${path}`, selectors: [`unix:user:u${path.length}`], ...more }
}

// A plan as it comes back from a client.
async function applyPlan(registry: EntryRegistry, request: PlanRequest, actor = admin): Promise<void> {
  const { changes, problems } = registry.plan(request, actor)
  assert.deepEqual(problems, [])
  await registry.apply(returned(changes), actor, { reuseRetired: request.reuseRetired === true })
}

function returned(changes: readonly PlannedChange[]): ReturnType<typeof readChanges> {
  return readChanges(parseJson(JSON.stringify(changes)))
}

// [provisioning.fleet.01]
test('applying a plan and planning again gives no changes, whatever was there', async () => {
  const one = fc.record(
    {
      owner: fc.constantFrom('a', 'b'),
      x509Ttl: fc.constantFrom(60, 3600),
      hint: fc.constantFrom('', 'main'),
      dnsNames: fc.subarray(['x.example.com', 'y.example.com']),
    },
    { requiredKeys: [] },
  )
  const files = fc.dictionary(fc.constantFrom('/t/1', '/t/2', '/t/3', '/u/1', '/u/2'), one)
  const prune = fc.constantFrom(undefined, { idPrefix: '/t/' }, { idPrefix: '/' })
  await fc.assert(
    fc.asyncProperty(fc.array(fc.tuple(files, prune), { minLength: 1, maxLength: 4 }), async (rounds) => {
      const { registry, reopen } = world()
      for (const [wanted, scope] of rounds) {
        const inScope = Object.entries(wanted).filter(([path]) => path.startsWith(scope?.idPrefix ?? '/'))
        const entries = inScope.map(([path, more]) => entry(path, more as JsonObject))
        const request = { entries, reuseRetired: true, ...(scope === undefined ? {} : { prune: scope }) }
        const others = registry.list().filter(({ spiffeId }) => !spiffeId.includes('.com/t/'))
        await applyPlan(registry, request)
        const again = registry.plan(request, admin)
        assert.deepEqual(again.changes, [])
        assert.equal(again.unchanged, entries.length)
        if (scope?.idPrefix === '/t/') {
          // Others' entries are as they were.
          assert.deepEqual(
            registry.list().filter(({ spiffeId }) => !spiffeId.includes('.com/t/')),
            others,
          )
          const left = registry.list().filter(({ spiffeId }) => spiffeId.includes('.com/t/'))
          assert.equal(left.length, entries.length)
        }
      }
      // What was applied is what the next start reads.
      assert.deepEqual(reopen().list(), registry.list())
    }),
    { numRuns: 40 },
  )
})

test('a plan says in words what changes, and only what was planned is applied', async () => {
  const { registry, events } = world()
  await applyPlan(registry, { entries: [entry('/t/1'), entry('/t/2', { owner: 'a' })] })
  const request = { entries: [entry('/t/1', { hint: 'main' }), entry('/t/3')], prune: { idPrefix: '/t/' } }
  const { changes, unchanged } = registry.plan(request, admin)
  assert.deepEqual(
    changes.map((change) => [change.action, 'members' in change ? change.members : undefined]),
    [
      ['update', ['hint']],
      ['create', undefined],
      ['delete', undefined],
    ],
  )
  assert.equal(unchanged, 0)
  events.length = 0
  await registry.apply(returned(changes), admin)
  assert.deepEqual(
    events.map(({ type }) => type.slice(13)),
    ['entry-updated', 'entry-created', 'entry-deleted'],
  )
  // The same plan a second time is about a state that is gone.
  await assert.rejects(registry.apply(returned(changes), admin), { code: 'provisioning.revision_conflict' })
  assert.deepEqual(events.at(-1)?.reasons, ['provisioning.revision_conflict'])
})

test('a batch is all or nothing: one conflict, one refusal or a full log, and nothing has changed', async () => {
  const { registry, events, observer, reopen } = world()
  await applyPlan(registry, { entries: [entry('/t/1'), entry('/t/2')] })
  const before = registry.list()
  let told = 0
  registry.onChange(() => {
    told += 1
  })
  const { changes } = registry.plan({ entries: [entry('/t/1', { hint: 'x' }), entry('/t/2', { hint: 'y' })] }, admin)
  const stale = changes.map((change, index) => (index === 1 ? { ...change, revision: 9 } : change))
  const count = events.length
  await assert.rejects(registry.apply(returned(stale as PlannedChange[]), admin), {
    code: 'provisioning.revision_conflict',
  })
  assert.equal(events.length, count + 1)
  const bad: JsonValue[] = [
    { action: 'create', entry: entry('/t/3') },
    { action: 'create', entry: entry('/agent/x') },
  ]
  await assert.rejects(registry.apply(readChanges(bad), admin), { code: 'provisioning.owner_missing' })
  const twice: JsonValue[] = [0, 1].map(() => ({ action: 'create', entry: entry('/t/3') }))
  await assert.rejects(registry.apply(readChanges(twice), admin), { code: 'provisioning.subject_taken' })
  observer.fails = true
  await assert.rejects(registry.apply(returned(changes), admin), { code: 'storage.unwritable' })
  observer.fails = false
  assert.deepEqual(registry.list(), before)
  assert.deepEqual(reopen().list(), before)
  assert.equal(told, 0)
})

// One row per thing that cannot be planned: what is registered, what is wanted, the codes by place. [identifiers.aims.04]
for (const [what, request, codes] of [
  ['one SPIFFE ID twice', { entries: [entry('/n'), entry('/n')] }, [[1, 'provisioning.subject_taken']]],
  [
    'one id twice',
    { entries: [entry('/n', { id: 'n' }), entry('/m', { id: 'n' })] },
    [[1, 'provisioning.entry_exists']],
  ],
  ['the id of another entry', { entries: [entry('/n', { id: 'old' })] }, [[0, 'provisioning.entry_exists']]],
  ['another id for a SPIFFE ID', { entries: [entry('/t/old', { id: 'new' })] }, [[0, 'provisioning.subject_fixed']]],
  ['a retired SPIFFE ID', { entries: [entry('/t/gone')] }, [[0, 'provisioning.subject_retired']]],
  ['a retired id', { entries: [entry('/n', { id: 'gone' })] }, [[0, 'provisioning.entry_exists']]],
  [
    'an entry outside the scope',
    { entries: [entry('/n')], prune: { idPrefix: '/t/' } },
    [[0, 'provisioning.outside_scope']],
  ],
  [
    'an entry of another owner than is pruned',
    { entries: [entry('/t/n', { owner: 'b' })], prune: { idPrefix: '/t/', owner: 'a' } },
    [[0, 'provisioning.outside_scope']],
  ],
  [
    'several that are wrong',
    {
      entries: [entry('/n', { selector: 1 }), entry('/m'), entry('/agent/x', { owner: 'a' })],
      prune: { idPrefix: '/' },
    },
    [
      [0, 'provisioning.unknown_member'],
      [2, 'provisioning.purpose_missing'],
    ],
  ],
] as const) {
  test(`${what}: a problem with its place, and nothing is deleted on half a picture`, async () => {
    const { registry } = world()
    await registry.create(entry('/t/old', { id: 'old' }), admin)
    await registry.create(entry('/t/gone', { id: 'gone' }), admin)
    await registry.remove('gone', admin)
    const plan = registry.plan(request, admin)
    assert.deepEqual(
      plan.problems.map(({ index, code }) => [index, code]),
      codes,
    )
    if (what === 'several that are wrong') assert.ok(!plan.changes.some(({ action }) => action === 'delete'))
  })
}

// [provisioning.fleet.03]
test('retired entries are listed, and come back only when told', async () => {
  const { registry } = world()
  const { id } = await registry.create(entry('/t/gone'), admin)
  await registry.remove(id, admin)
  const [retired] = registry.listRetired()
  assert.deepEqual(retired, { id, spiffeId: 'spiffe://example.com/t/gone', retiredAt: 1_800_000_000 })
  await applyPlan(registry, { entries: [entry('/t/gone')], reuseRetired: true })
  assert.equal(registry.list().length, 1)
})

// [identifiers.aims.05]
test('a plan warns of selectors that tell a class, of accounts, and of entries that others fall into', () => {
  const { registry } = world()
  const group = { selectors: ['unix:gid:5'] }
  const { warnings } = registry.plan(
    {
      entries: [
        entry('/class', group),
        entry('/shared', { selectors: ['unix:gid:6'], shared: true }),
        entry('/account', { selectors: ['k8s:ns:a', 'k8s:sa:b'] }),
        entry('/same', { selectors: ['k8s:sa:b', 'k8s:ns:a'] }),
        entry('/narrow', { selectors: ['unix:gid:5', 'unix:user:bot'] }),
        // Served on another machine: no workload has it beside the others.
        entry('/elsewhere', { selectors: ['unix:gid:5', 'unix:user:bot'], agents: [['join-token:name:edge']] }),
      ],
    },
    admin,
  )
  const told = warnings.map(({ spiffeId, kind, other }) =>
    [spiffeId, kind, other].map((one) => one?.replace('spiffe://example.com', '')),
  )
  assert.deepEqual(told, [
    ['/class', 'class-selectors', undefined],
    ['/account', 'shareable-selectors', undefined],
    ['/account', 'same-selectors', '/same'],
    ['/same', 'shareable-selectors', undefined],
    ['/same', 'same-selectors', '/account'],
    ['/narrow', 'wider-selectors', '/class'],
  ])
})

const [teamA, everything] = delegationList.read(
  [
    {
      registrar: 'spiffe://example.com/team-a/ci',
      prefixes: ['/team-a/', '/agent/team-a/'],
      selectorTypes: ['unix', 'k8s'],
      requiredSelectors: ['unix:group:team-a', 'k8s:ns:team-a'],
      dnsNames: ['team-a.example.com'],
      agents: ['spiffe://example.com/aims/agent/x509-pop/a', ['x509-pop:ca:team-a']],
      maxTtls: { x509: '10m' },
    },
    { registrar: 'unix:uid:7', prefixes: ['/'], selectorTypes: ['unix'] },
    { registrar: 'spiffe://example.com/team-a/lead', prefixes: ['/'], selectorTypes: ['unix'] },
  ],
  '/',
) as [Delegation, Delegation]
const registrar: Actor = { name: teamA.registrar, method: 'mtls', correlationId: 'c', delegation: teamA }
const OWN = ['unix:group:team-a', 'unix:user:bot']

// One row per thing that a registrar may not: what breaks it alone.
for (const [what, change, code] of [
  ['an ID below another path', { spiffeId: 'spiffe://example.com/team-b/bot' }, 'provisioning.not_delegated'],
  ['an ID that begins like its path', { spiffeId: 'spiffe://example.com/team-ab/bot' }, 'provisioning.not_delegated'],
  ['a right to administer', { admin: true }, 'provisioning.not_delegated'],
  ['its own identity', { spiffeId: 'spiffe://example.com/team-a/ci' }, 'provisioning.not_delegated'],
  ['the identity of another registrar', { spiffeId: 'spiffe://example.com/team-a/lead' }, 'provisioning.not_delegated'],
  ['selectors of another type', { selectors: [...OWN, 'docker:label:a:b'] }, 'provisioning.not_delegated'],
  ['selectors without one of its own', { selectors: ['unix:user:root'] }, 'provisioning.not_delegated'],
  ['a host name of others', { dnsNames: ['payments.example.com'] }, 'provisioning.not_delegated'],
  ['a host name that ends like its own', { dnsNames: ['xteam-a.example.com'] }, 'provisioning.not_delegated'],
  ['an agent of others', { agents: ['spiffe://example.com/aims/agent/x509-pop/b'] }, 'provisioning.not_delegated'],
  [
    'a group of agents that is wider than its own',
    { agents: [['x509-pop:ca:team-a'], ['x509-pop:subject-cn:web-1']] },
    'provisioning.not_delegated',
  ],
  ['a longer lifetime', { x509Ttl: 601 }, 'provisioning.ttl_out_of_range'],
] as const) {
  test(`a registrar does not give ${what}, and the refusal is recorded`, async () => {
    const { registry, events } = world([
      teamA,
      everything,
      { ...everything, registrar: 'spiffe://example.com/team-a/lead' },
    ])
    const good = entry('/team-a/bot', { selectors: OWN, dnsNames: ['x.team-a.example.com', 'team-a.example.com'] })
    const made = await registry.create(good, registrar)
    assert.equal(made.x509Ttl, 600)
    const wanted = { ...entry('/team-a/two', { selectors: OWN }), ...change } as JsonObject
    await assert.rejects(registry.create(wanted, registrar), { code })
    const { agent, reasons, type } = events.at(-1) ?? {}
    assert.deepEqual([type, agent?.id, reasons], ['provisioning.entry-refused', registrar.name, [code]])
    assert.deepEqual(
      registry.plan({ entries: [wanted] }, registrar).problems.map((one) => one.code),
      [code],
    )
    // An administrator may.
    if (change !== undefined && !('x509Ttl' in change)) await registry.create({ ...wanted }, admin)
  })
}

test('a registrar names the agents that were delegated, and parts of their groups', async () => {
  const { registry } = world([teamA])
  const agents = ['spiffe://example.com/aims/agent/x509-pop/a', ['x509-pop:subject-cn:web-1', 'x509-pop:ca:team-a']]
  const made = await registry.create(entry('/team-a/bot', { selectors: OWN, agents }), registrar)
  assert.equal(registry.isOpenTo(made, registrar), true)
  const wider = { ...entryToJson(made), agents: [['x509-pop:subject-cn:web-1']] }
  await assert.rejects(registry.update(made.id, wider, 1, registrar), { code: 'provisioning.not_delegated' })
})

// [provisioning.fleet.02]
test('a registrar neither sees nor touches the entries of others, nor gives retired identities again', async () => {
  const { registry, events } = world([teamA])
  const others = [
    await registry.create(entry('/team-b/bot'), admin),
    await registry.create(entry('/team-a/ci', { selectors: OWN }), admin),
    await registry.create(entry('/team-a/boss', { selectors: OWN, admin: true }), admin),
    await registry.create(entry('/team-a/far', { selectors: OWN, agents: [['join-token:name:ci']] }), admin),
  ]
  const own = await registry.create(entry('/team-a/bot', { selectors: OWN }), registrar)
  for (const other of others) {
    assert.equal(registry.isOpenTo(other, registrar), false)
    const code = 'provisioning.entry_not_found'
    await assert.rejects(registry.remove(other.id, registrar), { code })
    await assert.rejects(registry.update(other.id, entryToJson(other), 1, registrar), { code })
    assert.equal(events.at(-1)?.resource.id, other.id)
  }
  const { changes } = registry.plan({ entries: [], prune: { idPrefix: '/' } }, registrar)
  assert.deepEqual(changes, [{ action: 'delete', id: own.id, revision: 1, spiffeId: own.spiffeId }])
  await registry.apply(returned(changes), registrar)
  assert.equal(registry.list().length, others.length)
  await assert.rejects(registry.create(entry('/team-a/bot', { selectors: OWN }), registrar, { reuseRetired: true }), {
    code: 'provisioning.subject_retired',
  })
})

// One row per delegation that is not one.
for (const [what, value] of [
  ['not a list', {}],
  ['no map', ['x']],
  ['a misspelt member', [{ registrar: 'unix:uid:1', prefixes: ['/a/'], selectorTypes: ['unix'], prefix: '/b/' }]],
  ['a prefix without its slash', [{ registrar: 'unix:uid:1', prefixes: ['/a'], selectorTypes: ['unix'] }]],
  ['no prefix', [{ registrar: 'unix:uid:1', prefixes: [], selectorTypes: ['unix'] }]],
  ['no type of selectors', [{ registrar: 'unix:uid:1', prefixes: ['/a/'], selectorTypes: [] }]],
  ['a registrar by name', [{ registrar: 'team-a', prefixes: ['/a/'], selectorTypes: ['unix'] }]],
  [
    'a malformed selector',
    [{ registrar: 'unix:uid:1', prefixes: ['/a/'], selectorTypes: ['unix'], requiredSelectors: ['x'] }],
  ],
  [
    'agents that are no groups',
    [{ registrar: 'unix:uid:1', prefixes: ['/a/'], selectorTypes: ['unix'], agents: [[]] }],
  ],
  ['one registrar twice', [0, 1].map(() => ({ registrar: 'unix:uid:1', prefixes: ['/a/'], selectorTypes: ['unix'] }))],
] as const) {
  test(`delegations with ${what} are refused`, () => {
    assert.throws(() => delegationList.read(parseJson(JSON.stringify(value)), '/'), Error)
  })
}
