// Misconfigurations of producers, consumers and what lies between them, each made for real. `aims explain ID` must name the
// cause by its id.
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, test } from 'node:test'
import {
  createMemoryReplayStore,
  createMessageVerifier,
  type MessageProofOptions,
  type MessageVerifierOptions,
  proveMessage,
  type QueuedMessage,
} from 'aims/authentication'
import { AimsError, WorkloadKey } from 'aims/base'
import { bundleSource, holdRevocations, type Wit } from 'aims/credentials'
import { isExactly, parseSpiffeId } from 'aims/identifiers'
import { explainingLog } from '../support/explaining.ts'
import { testDomain } from '../support/identities.ts'

const TOPIC = 'kafka://orders.example.com/orders'
const now = Math.floor(Date.now() / 1000)
const domain = testDomain('example.com', { now: now - 60 })
const wit = await domain.wit()
const PLAIN: QueuedMessage = {
  payload: '{"order":"secret-order"}',
  key: 'customer-7',
  headers: [['content-type', 'a/b']],
}
const log = explainingLog()
after(() => log[Symbol.dispose]())

interface Delivery {
  readonly wit?: Wit
  readonly proof?: Partial<MessageProofOptions>
  /** What happens to the message on its way. */
  readonly way?: (message: QueuedMessage) => QueuedMessage
  readonly consumer?: Partial<MessageVerifierOptions>
  /** So often before the delivery that is looked at. */
  readonly before?: number
}

/** Id of the refusal of a delivery. */
async function refused({ wit: with_ = wit, proof = {}, way, consumer = {}, before = 0 }: Delivery): Promise<string> {
  const { headers } = proveMessage(with_, PLAIN, { topic: TOPIC, now, ...proof })
  const sent = { ...PLAIN, headers: [...(PLAIN.headers ?? []), ...Object.entries(headers)] }
  const { verify } = createMessageVerifier({
    bundles: domain.bundles,
    replays: createMemoryReplayStore({ capacity: 1000 }),
    observer: log.observer,
    maxLifetime: 600,
    ...consumer,
  })
  const received = way === undefined ? sent : way(sent)
  const id = randomUUID()
  for (let count = 0; count < before; count += 1) await verify(received, { topic: TOPIC })
  await assert.rejects(verify(received, { topic: TOPIC, id }), AimsError)
  return id
}

const later = (seconds: number): Partial<MessageVerifierOptions> => ({ clock: () => now + seconds })
const dropping =
  (...names: readonly string[]) =>
  (message: QueuedMessage): QueuedMessage => ({
    ...message,
    headers: (message.headers ?? []).filter(([name]) => !names.includes(name)),
  })
const [WIT, PROOF] = ['workload-identity-token', 'workload-proof-token']

/** Cause, and how it comes about. */
const ROWS: readonly (readonly [cause: string, title: string, delivery: Delivery])[] = [
  ['message-unproven', 'a producer that proves nothing', { way: dropping(WIT, PROOF) }],
  ['message-unproven', 'a bridge that drops one header', { way: dropping(PROOF) }],
  [
    'message-unproven',
    'a bridge that copies headers twice',
    { way: (message) => ({ ...message, headers: [...(message.headers ?? []), ...(message.headers ?? [])] }) },
  ],
  ['message-waited', 'a message that waited longer than its proof lives', { consumer: later(301) }],
  ['wit-ended-while-waiting', 'a message that waited until its WIT had ended', { consumer: later(4000) }],
  ['caller-clock-ahead', 'a producer whose clock is ahead', { proof: { now: now + 120 } }],
  ['proof-lives-too-long', 'a producer that gives longer than the consumer', { proof: { lifetime: 1200 } }],
  ['wrong-topic', 'a message that was copied to another topic', { proof: { topic: 'kafka://orders.example.com/all' } }],
  ['audience-spelling', 'a topic with a slash at its end', { proof: { topic: `${TOPIC}/` } }],
  ['message-changed', 'a bridge that rewrites payloads', { way: (message) => ({ ...message, payload: '{}' }) }],
  [
    'message-headers-changed',
    'a tracer that adds a header which is not named as unbound',
    { way: (message) => ({ ...message, headers: [...(message.headers ?? []), ['traceparent', '00-1']] }) },
  ],
  ['message-headers-changed', 'a bridge that loses the key', { way: (message) => ({ ...message, key: null }) }],
  ['message-delivered-twice', 'a broker that delivers again', { before: 1 }],
  ['key-mismatch', 'a key of another rotation than the WIT', { wit: { ...wit, key: WorkloadKey.generate() } }],
  ['trust-domain-unknown', 'a consumer without the bundle', { consumer: { bundles: bundleSource() } }],
  [
    'revocations-unknown',
    'a consumer that has no revocation list yet',
    {
      consumer: {
        revocations: holdRevocations({
          trustDomain: domain.bundle.trustDomain,
          bundles: domain.bundles,
          maxStaleness: 3600,
        }),
      },
    },
  ],
  [
    'caller-not-expected',
    'a sender that this topic is not for',
    { consumer: { peer: isExactly(parseSpiffeId('spiffe://example.com/agent/other')) } },
  ],
]

// [authentication.explain.05]
for (const [cause, title, delivery] of ROWS) {
  test(`${title}: ${cause}`, async () => {
    const { causes, checks } = await log.explain(await refused(delivery))
    assert.equal(causes[0]?.id, cause, JSON.stringify(checks, null, 1))
    const last = checks.at(-1)
    assert.equal(last?.outcome, 'failed')
    assert.notEqual(last?.check, 'other')
    assert.ok(checks.slice(0, -1).every(({ outcome }) => outcome === 'passed'))
    const told = JSON.stringify({ causes, checks })
    for (const secret of [wit.token.split('.')[2] ?? '', 'secret-order', 'customer-7'])
      assert.ok(!told.includes(secret))
  })
}
