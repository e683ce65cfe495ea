import assert from 'node:assert/strict'
import { beforeEach, test } from 'node:test'
import type { AuditEvent } from 'aims/base'
import { parseTrustDomain } from 'aims/identifiers'
import { AGENT_PREFIXES, parseEntry, type RegistrationEntry } from 'aims/provisioning'
import { createLiveInstances, type Instance, type LiveInstances } from './live-instances.ts'

const trustDomain = parseTrustDomain('example.com')
const entryOf = (path: string, more: object = {}): RegistrationEntry =>
  parseEntry(
    {
      id: path.slice(1).replaceAll('/', '-'),
      spiffeId: `spiffe://example.com${path}`,
      selectors: ['k8s:sa:bots'],
      ...more,
    },
    { trustDomain },
  )
const bot = entryOf('/agent/bot')
let events: AuditEvent[]
let live: LiveInstances

beforeEach(() => {
  events = []
  live = createLiveInstances({
    agentPrefixes: AGENT_PREFIXES,
    observer: { record: async (event) => void events.push(event) },
  })
})

const note = (instance: Instance, now: number, entry = bot): Promise<void> =>
  live.note(entry, instance, { now, expiresAt: now + 100 }, 'c')

// [identifiers.aims.05]
test('two that live at a time under one agent identity are told of, once', async () => {
  await note({ name: 'a' }, 0)
  await note({ name: 'a' }, 50)
  assert.equal(events.length, 0)
  await note({ name: 'b' }, 60)
  await note({ name: 'a' }, 70)
  await note({ name: 'b' }, 80)
  assert.deepEqual(
    events.map(({ type, agent, reasons, details }) => [type, agent?.id, reasons, details?.instances]),
    [['provisioning.identity-shared', bot.spiffeId, ['provisioning.identity_shared'], 2]],
  )
  await note({ name: 'c' }, 90)
  assert.equal(events[1]?.details?.instances, 3)
})

test('a renewal with a new key is the same one, and one that has ended makes room', async () => {
  await note({ name: 'k1' }, 0)
  await note({ name: 'k2', previous: 'k1' }, 50)
  await note({ name: 'k3', previous: 'k2' }, 100)
  await note({ name: 'other' }, 200)
  assert.equal(events.length, 0)
  // A key that nobody knows vouches for nothing.
  await note({ name: 'k4', previous: 'made-up' }, 210)
  assert.equal(events.length, 1)
})

test('identities that are meant to be shared, and those of no agents, are not looked at', async () => {
  for (const entry of [entryOf('/agent/pool', { shared: true }), entryOf('/service/web')]) {
    await note({ name: 'a' }, 0, entry)
    await note({ name: 'b' }, 1, entry)
  }
  await note({ name: 'a' }, 0, entryOf('/agent/one'))
  await note({ name: 'b' }, 1, entryOf('/agent/two'))
  assert.equal(events.length, 0)
})

test('what cannot be recorded is not passed over', async () => {
  const failing = createLiveInstances({
    agentPrefixes: AGENT_PREFIXES,
    observer: { record: () => Promise.reject(new Error('disk')) },
  })
  await failing.note(bot, { name: 'a' }, { now: 0, expiresAt: 9 }, 'c')
  await assert.rejects(failing.note(bot, { name: 'b' }, { now: 1, expiresAt: 9 }, 'c'), /disk/)
})
