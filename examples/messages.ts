// A message in a queue proves who sent it: to this topic, with this content, once. The queue is one that anybody can write to.
import assert from 'node:assert/strict'
import { createMemoryReplayStore, createMessageVerifier } from 'aims/authentication'
import { noObserver } from 'aims/base'
import { fromQueue, toQueue } from 'aims/messages'
import { agent, demoDomain } from './support/demo-domain.ts'

const { wits, bundles } = await demoDomain()
const topic = 'queue://orders.example.com/orders'
const order = (): string => toQueue(wits, { payload: '{"order":1}', headers: { priority: 'low' } }, { topic })
const queue = [order(), order(), order()]

const verifier = createMessageVerifier({
  bundles,
  replays: createMemoryReplayStore({ capacity: 1000 }),
  observer: noObserver,
  maxLifetime: 600,
})
const [first = '', second = '', third = ''] = queue

// At most once: the proof is used up before the message is worked on.
const { principal } = await verifier.verify(fromQueue(first), { topic })
assert.equal(principal.id, agent)
await assert.rejects(verifier.verify(fromQueue(first), { topic }), { code: 'proof.replayed' })

// At least once: it is used up when the work is done. Two copies that are worked on at once are found out by `use`, so the work is
// keyed by the id of the proof.
const done = new Set<string>()
const checked = await verifier.check(fromQueue(second), { topic })
done.add(checked.id)
const copy = await verifier.check(fromQueue(second), { topic })
assert.ok(done.has(copy.id))
await checked.use()
await assert.rejects(copy.use(), { code: 'proof.replayed' })
// A later one before anybody works on it.
await assert.rejects(verifier.check(fromQueue(second), { topic }), { code: 'proof.replayed' })

// What somebody has changed, or carried to another queue, or written himself.
const changed = fromQueue(third.replace('low', 'high'))
await assert.rejects(verifier.verify(changed, { topic }), { code: 'proof.envelope_mismatch' })
const elsewhere = { topic: 'queue://orders.example.com/refunds' }
await assert.rejects(verifier.verify(fromQueue(third), elsewhere), { code: 'proof.audience_mismatch' })
const unproven = { payload: '{"order":1}', headers: [] }
await assert.rejects(verifier.verify(unproven, { topic }), { code: 'authentication.missing' })
console.log(`${agent} sent two messages; again, changed, to another topic or without a proof they are refused`)
