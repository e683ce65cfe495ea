import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import type { AimsErrorCode, ApiClient } from 'aims/base'
import { verifyX509Svid } from 'aims/credentials'
import { parseTrustDomain } from 'aims/identifiers'
import { connectWorkload, type RegistrationEntry, type Workload } from 'aims/provisioning'
import { type AdminClient, adminClient } from 'aims-server'
import { eventuallyTrue } from '../support/eventually.ts'
import { startTrustDomain, type TestTrustDomain } from '../support/trust-domain.ts'

// Entries that are registered twice, against each other or in a circle, while a workload lives on one of them.

const me = `unix:uid:${process.geteuid?.()}`
const subject = 'spiffe://example.com/job/bot'
let domain: TestTrustDomain
let api: ApiClient
let admin: AdminClient
let workload: Workload

before(async () => {
  domain = await startTrustDomain()
  api = domain.api
  admin = adminClient(api)
  await admin.createEntry({ id: 'bot', spiffeId: subject, selectors: [me] })
  await admin.createEntry({ id: 'other', spiffeId: 'spiffe://example.com/job/other', selectors: ['unix:uid:4711'] })
  workload = await connectWorkload({ address: domain.address, backoff: 20, maxBackoff: 50 })
})
after(async () => {
  workload?.close()
  await domain?.close()
})

const serial = (one = workload): string => Buffer.from(one.x509.x509Svid().certificates[0] ?? []).toString('hex')
const changed = async (id: string): Promise<Omit<RegistrationEntry, 'id' | 'revision'>> => {
  const { id: _id, revision: _revision, ...entry } = await admin.showEntry(id)
  return { ...entry, x509Ttl: entry.x509Ttl + 1 }
}
async function unharmed(before: string): Promise<void> {
  assert.equal(serial(), before)
  using another = await connectWorkload({ address: domain.address, backoff: 20, maxBackoff: 50 })
  for (const { x509, bundles } of [workload, another]) {
    assert.deepEqual(
      x509.x509Svids().map(({ spiffeId }) => spiffeId),
      [subject],
    )
    const { certificates } = x509.x509Svid()
    assert.equal(verifyX509Svid(certificates, { bundles, now: Date.now() / 1000 }).subject, subject)
  }
}

// One row per change that is refused, and changes nothing.
const REFUSED: readonly (readonly [string, () => Promise<unknown>, AimsErrorCode])[] = [
  [
    'its SPIFFE ID a second time',
    () => admin.createEntry({ spiffeId: subject, selectors: ['unix:uid:4711'] }),
    'provisioning.subject_taken',
  ],
  [
    'its id a second time',
    () => admin.createEntry({ id: 'bot', spiffeId: 'spiffe://example.com/job/new', selectors: [me] }),
    'provisioning.entry_exists',
  ],
  [
    'a revision that is over',
    async () => admin.updateEntry('bot', await changed('bot'), 0),
    'provisioning.revision_conflict',
  ],
  [
    'the SPIFFE ID of another entry for its own',
    async () => admin.updateEntry('other', { ...(await changed('other')), spiffeId: subject }, 1),
    'provisioning.subject_fixed',
  ],
  [
    'one SPIFFE ID twice in one change',
    () => admin.applyEntries([1, 2].map(() => create('spiffe://example.com/job/twice'))),
    'provisioning.subject_taken',
  ],
  [
    'its SPIFFE ID again, beside one that is new',
    () => admin.applyEntries([create('spiffe://example.com/job/new'), create(subject)]),
    'provisioning.subject_taken',
  ],
  [
    'a federation with its own trust domain',
    () =>
      admin.createEntry({
        spiffeId: 'spiffe://example.com/job/new',
        selectors: [me],
        federatesWith: [parseTrustDomain('example.com')],
      }),
    'provisioning.malformed_entry',
  ],
]
function create(spiffeId: string) {
  return { action: 'create', entry: { spiffeId, selectors: [me] } }
}
for (const [what, attempt, code] of REFUSED) {
  test(`refused under a live workload: ${what}`, async () => {
    const before = serial()
    const entries = await admin.listEntries()
    await assert.rejects(attempt(), { code })
    assert.deepEqual(await admin.listEntries(), entries)
    await unharmed(before)
  })
}

test('of two that change an entry at a time one is done, and the workload follows that one', async () => {
  const before = serial()
  const { revision } = await admin.showEntry('bot')
  const wanted = await changed('bot')
  const outcomes = await Promise.allSettled([wanted, wanted].map((one) => admin.updateEntry('bot', one, revision)))
  assert.deepEqual(outcomes.map(({ status }) => status).toSorted(), ['fulfilled', 'rejected'])
  const [failed] = outcomes.flatMap((one) => (one.status === 'rejected' ? [one.reason] : []))
  assert.equal(failed.code, 'provisioning.revision_conflict')
  await eventuallyTrue(async () => serial() !== before)
  await unharmed(serial())
})

test('entries that are for agents of each other are served to nobody, and harm nobody', async () => {
  const before = serial()
  const pair = ['a', 'b'].map((name) => `spiffe://example.com/job/${name}`)
  for (const [i, spiffeId] of pair.entries()) {
    await admin.createEntry({ spiffeId, selectors: [me], agents: [[`spiffe:id:${pair[1 - i]}`]] })
  }
  const itself = 'spiffe://example.com/job/itself'
  await admin.createEntry({ spiffeId: itself, selectors: [me], agents: [[`spiffe:id:${itself}`]] })
  // An entry that comes after them tells that the agent has heard of all.
  const last = 'spiffe://example.com/job/last'
  await admin.createEntry({ spiffeId: last, selectors: [me] })
  const ids = (): readonly string[] => workload.x509.x509Svids().map(({ spiffeId }) => spiffeId)
  await eventuallyTrue(async () => ids().includes(last))
  assert.deepEqual(ids(), [subject, last])
  assert.equal(serial(), before)
})
