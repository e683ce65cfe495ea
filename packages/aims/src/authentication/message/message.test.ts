import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { AUDIENCE, NOW, testDomain } from '../../../../../test/support/identities.ts'
import { sha256Base64url } from '../../base/bytes.ts'
import type { AuditEvent } from '../../base/event.ts'
import { signJwsLocally } from '../../base/jose.ts'
import { WorkloadKey } from '../../base/keys.ts'
import type { Wit } from '../../credentials/wit/source.ts'
import { createAuthenticator } from '../authenticate.ts'
import { createMemoryReplayStore } from '../replay/memory.ts'
import type { ReplayStore } from '../replay/replay-store.ts'
import { BODY_DIGEST_CLAIM, bodyDigest } from '../wpt/body-digest.ts'
import { createWpt } from '../wpt/create.ts'
import { ENVELOPE_CLAIM, envelopeDigest, MESSAGE_PROOF_TYP, type MessageHeader, type QueuedMessage } from './message.ts'
import { type MessageProofOptions, proveMessage } from './prove.ts'
import { createMessageVerifier, type MessageVerifier, type MessageVerifierOptions } from './verify.ts'

const TOPIC = 'kafka://orders.example.com/orders'
const domain = testDomain()
const wit = await domain.wit()
const other = await domain.wit({ path: '/agent/other' })
const PLAIN: QueuedMessage = {
  payload: '{"order":1}',
  key: 'customer-7',
  headers: [['content-type', 'application/json']],
  replyTo: '_INBOX.1',
}
const OPTIONS: MessageProofOptions = { topic: TOPIC, now: NOW }

function proven(message = PLAIN, options: Partial<MessageProofOptions> = {}, with_: Wit = wit): QueuedMessage {
  return carrying(message, proveMessage(with_, message, { ...OPTIONS, ...options }).headers)
}

function carrying(message: QueuedMessage, fields: { readonly [name: string]: string }): QueuedMessage {
  return { ...message, headers: [...(message.headers ?? []), ...Object.entries(fields)] }
}

function claiming(claims: { readonly [name: string]: unknown }, header: object = {}, key = wit.key): QueuedMessage {
  const whole = {
    aud: TOPIC,
    iat: NOW,
    exp: NOW + 60,
    jti: 'f47ac10b58cc4372a567',
    wth: sha256Base64url(wit.token),
    [BODY_DIGEST_CLAIM]: bodyDigest(Buffer.from('{"order":1}')),
    [ENVELOPE_CLAIM]: envelopeDigest(PLAIN, []),
    ...claims,
  }
  const proof = signJwsLocally({ typ: MESSAGE_PROOF_TYP, ...header }, whole, key)
  return carrying(PLAIN, { 'workload-identity-token': wit.token, 'workload-proof-token': proof })
}

interface Consumer extends MessageVerifier {
  readonly events: AuditEvent[]
}

function consumer(options: Partial<MessageVerifierOptions> = {}): Consumer {
  const events: AuditEvent[] = []
  const verifier = createMessageVerifier({
    bundles: domain.bundles,
    replays: createMemoryReplayStore({ capacity: 100 }),
    observer: { record: async (event) => void events.push(event) },
    maxLifetime: 3600,
    clock: () => NOW,
    ...options,
  })
  return { ...verifier, events }
}

// [authentication.message.01] [authentication.message.02]
test('a message tells who sent it, once', async () => {
  const { verify, events } = consumer()
  const message = proven()
  const { principal, expiresAt } = await verify(message, { topic: TOPIC })
  assert.equal(principal.id, wit.subject)
  assert.deepEqual(principal.covers, { method: false, target: true, body: true, response: false })
  assert.equal(expiresAt, NOW + 300)
  await assert.rejects(verify(message, { topic: TOPIC }), { code: 'proof.replayed' })
  assert.deepEqual(
    events.map(({ type, reasons, resource }) => [type, reasons, resource.id]),
    [['authentication.refused', ['proof.replayed'], TOPIC]],
  )
})

test('a message that is checked first is used up when it was worked on', async () => {
  const { check } = consumer()
  const message = proven()
  const first = await check(message, { topic: TOPIC })
  const again = await check(message, { topic: TOPIC })
  await first.use()
  await assert.rejects(again.use(), { code: 'proof.replayed' })
})

const ALL_FRESH: ReplayStore = { consume: () => true, isFresh: () => true }

// [authentication.message.02]
test('a message that was used is refused before anybody works on it', async () => {
  const { check, verify, events } = consumer()
  const message = proven()
  const { use } = await check(message, { topic: TOPIC })
  // A look uses nothing up.
  await (await check(message, { topic: TOPIC })).use()
  await assert.rejects(check(message, { topic: TOPIC }), { code: 'proof.replayed' })
  await assert.rejects(verify(message, { topic: TOPIC }), { code: 'proof.replayed' })
  await assert.rejects(use(), { code: 'proof.replayed' })
  assert.deepEqual(
    events.map(({ reasons }) => reasons),
    [['proof.replayed'], ['proof.replayed'], ['proof.replayed']],
  )
  await check(proven(), { topic: TOPIC })
})

const LOOKS: readonly (readonly [string, string, ReplayStore['isFresh']])[] = [
  ['is away', 'proof.replay_store_unavailable', () => Promise.reject(new Error('away'))],
  [
    'fails at once',
    'proof.replay_store_unavailable',
    () => {
      throw new Error('closed')
    },
  ],
  ['says something odd', 'proof.replayed', () => Promise.resolve('yes' as never)],
  ['says nothing', 'proof.replayed', () => Promise.resolve(undefined as never)],
]
for (const [what, code, isFresh] of LOOKS) {
  test(`a message is not worked on when the store ${what}`, async () => {
    const { check, events } = consumer({ replays: { ...ALL_FRESH, isFresh } })
    await assert.rejects(check(proven(), { topic: TOPIC }), { name: 'AimsError', code })
    assert.deepEqual(
      events.map(({ reasons }) => reasons),
      [[code]],
    )
  })
}

test('work that takes longer than the store remembers does not make a proof good twice', async () => {
  let now = NOW
  const { check } = consumer({ clock: () => now })
  const message = proven()
  const [first, again] = [await check(message, { topic: TOPIC }), await check(message, { topic: TOPIC })]
  await first.use()
  now += 10_000
  await assert.rejects(again.use(), { code: 'proof.expired' })
})

test('headers of different names have no order; text and bytes are the same', async () => {
  const headers: MessageHeader[] = [
    ['b', '2'],
    ['a', '1'],
    ['a', '0'],
  ]
  const { headers: fields } = proveMessage(wit, { ...PLAIN, headers }, OPTIONS)
  const moved: MessageHeader[] = [
    ['a', Buffer.from('1')],
    ['a', '0'],
    ['b', '2'],
  ]
  const key = Buffer.from('customer-7')
  const received = carrying({ ...PLAIN, key, payload: Buffer.from('{"order":1}'), headers: moved }, fields)
  await assert.doesNotReject(consumer().verify(received, { topic: TOPIC }))
})

test('a header that is not bound may come and go', async () => {
  const unboundHeaders = ['traceparent']
  const message = carrying(proven(PLAIN, { unboundHeaders }), { TraceParent: '00-1' })
  await assert.doesNotReject(consumer({ unboundHeaders }).verify(message, { topic: TOPIC }))
})

test('a proof does not outlive its WIT', async () => {
  const short = await domain.wit({ ttl: 100 })
  assert.equal(proveMessage(short, PLAIN, { ...OPTIONS, lifetime: 3600 }).expiresAt, NOW + 100)
})

for (const [title, options] of [
  ['without a topic', { topic: '' }],
  ['for longer than a week', { lifetime: 604_801 }],
  ['for no time', { lifetime: 0 }],
  ['for a lifetime that is no number', { lifetime: Number.NaN }],
] as const) {
  test(`nothing is proven ${title}`, () => {
    assert.throws(() => proveMessage(wit, PLAIN, { ...OPTIONS, ...options }), TypeError)
  })
}

const swapped = (change: Partial<QueuedMessage>): QueuedMessage => ({ ...proven(), ...change })
const replaced = (name: string, value: string | null): QueuedMessage => {
  const { headers = [] } = proven()
  return { ...PLAIN, headers: headers.map(([one, old]) => [one, one === name ? value : old]) }
}
const kept = proven().headers ?? []
const http = { method: 'POST', target: '/', audience: TOPIC, body: Buffer.from('{"order":1}') }

/** One row per way to be refused. */
const REFUSED: readonly (readonly [
  title: string,
  code: string,
  message: () => QueuedMessage,
  options?: Partial<MessageVerifierOptions>,
  source?: { readonly topic?: string; readonly nonce?: string },
])[] = [
  ['of another topic', 'proof.audience_mismatch', () => proven(PLAIN, { topic: 'kafka://orders.example.com/refunds' })],
  ['moved to another topic', 'proof.audience_mismatch', proven, {}, { topic: `${TOPIC}?partition=3` }],
  ['with another payload', 'proof.body_mismatch', () => swapped({ payload: '{"order":2}' })],
  ['whose payload was taken away', 'proof.body_mismatch', () => swapped({ payload: null })],
  [
    'whose empty payload became a deletion',
    'proof.envelope_mismatch',
    () => ({ ...proven({ ...PLAIN, payload: '' }), payload: null }),
  ],
  ['with another key', 'proof.envelope_mismatch', () => swapped({ key: 'customer-8' })],
  ['without its key', 'proof.envelope_mismatch', () => swapped({ key: null })],
  ['with an empty key in place of none', 'proof.envelope_mismatch', () => ({ ...proven({ payload: 'x' }), key: '' })],
  ['with a header more', 'proof.envelope_mismatch', () => swapped({ headers: [...kept, ['x', '1']] })],
  ['with a header less', 'proof.envelope_mismatch', () => swapped({ headers: kept.slice(1) })],
  ['with another value in a header', 'proof.envelope_mismatch', () => replaced('content-type', 'text/plain')],
  [
    'with a header twice',
    'proof.envelope_mismatch',
    () => swapped({ headers: [...kept, ['content-type', 'application/json']] }),
  ],
  [
    'with a header in another case, which many consumers do not find',
    'proof.envelope_mismatch',
    () => swapped({ headers: kept.map(([name, value]) => [name.replace('content', 'Content'), value]) }),
  ],
  [
    'with a header that lost its value',
    'proof.envelope_mismatch',
    () => ({ ...proven({ ...PLAIN, headers: [['a', '']] }), headers: [...kept.slice(1), ['a', null]] }),
  ],
  ['with a proof without a value', 'proof.malformed', () => replaced('workload-proof-token', null)],
  ['answered to somebody else', 'proof.envelope_mismatch', () => swapped({ replyTo: '_INBOX.2' })],
  [
    'with a header that only its producer does not bind',
    'proof.envelope_mismatch',
    () => proven(PLAIN, { unboundHeaders: ['content-type'] }),
  ],
  ['that has expired', 'proof.expired', () => proven(PLAIN, { now: NOW - 300 })],
  ['from the future', 'proof.not_yet_valid', () => proven(PLAIN, { now: NOW + 31 })],
  ['that may wait longer than this consumer allows', 'proof.lifetime_too_long', proven, { maxLifetime: 299 }],
  ['with the WIT of another', 'proof.invalid_signature', () => replaced('workload-identity-token', other.token)],
  ['with another WIT for the same key', 'proof.wit_mismatch', () => claiming({ wth: sha256Base64url(other.token) })],
  ['signed with another key', 'proof.invalid_signature', () => claiming({}, {}, WorkloadKey.generate())],
  ['signed with another algorithm', 'proof.alg_mismatch', () => claiming({}, {}, WorkloadKey.generate('Ed25519'))],
  [
    'with the proof of an HTTP request',
    'proof.wrong_type',
    () => replaced('workload-proof-token', createWpt(wit, http, { now: NOW })),
  ],
  ['with a WIT as proof', 'proof.wrong_type', () => replaced('workload-proof-token', wit.token)],
  ['with a proof that names its own key', 'proof.forbidden_header', () => claiming({}, { jwk: {} })],
  ['with a proof that is no token', 'proof.malformed', () => replaced('workload-proof-token', 'a.b')],
  ['without aud', 'proof.missing_claim', () => claiming({ aud: undefined })],
  ['for two topics', 'proof.invalid_claim', () => claiming({ aud: [TOPIC, 'x'] })],
  ['without iat', 'proof.missing_claim', () => claiming({ iat: undefined })],
  ['with exp as text', 'proof.invalid_claim', () => claiming({ exp: `${NOW + 60}` })],
  ['without jti', 'proof.missing_claim', () => claiming({ jti: undefined })],
  ['with a jti too short to be unique', 'proof.invalid_claim', () => claiming({ jti: '1' })],
  ['without a digest', 'proof.missing_claim', () => claiming({ [BODY_DIGEST_CLAIM]: undefined })],
  ['without a digest of key and headers', 'proof.missing_claim', () => claiming({ [ENVELOPE_CLAIM]: undefined })],
  ['that answers no nonce', 'proof.nonce_mismatch', proven, {}, { nonce: 'n1' }],
  ['that answers another nonce', 'proof.nonce_mismatch', () => proven(PLAIN, { nonce: 'n2' }), {}, { nonce: 'n1' }],
  ['that proves nothing', 'authentication.missing', () => PLAIN],
  ['with a WIT alone', 'authentication.missing_proof', () => carrying(PLAIN, { 'workload-identity-token': wit.token })],
  [
    'with a proof alone',
    'authentication.missing_credential',
    () => swapped({ headers: kept.filter(([name]) => name !== 'workload-identity-token') }),
  ],
  [
    'with two proofs',
    'authentication.duplicate_field',
    () => swapped({ headers: [...kept, ['Workload-Proof-Token', 'x']] }),
  ],
  ['of a sender that is not expected', 'authentication.peer_unexpected', proven, { peer: () => false }],
  ['of a sender that was revoked', 'credential.revoked', proven, { revocations: { statusOf: () => 'revoked' } }],
  [
    'of a sender of whom nobody knows',
    'credential.revocation_unknown',
    proven,
    { revocations: { statusOf: () => 'unknown' } },
  ],
  [
    'whose WIT has expired while it waited',
    'credential.expired',
    () => proven(PLAIN, { lifetime: 10_000 }),
    { clock: () => NOW + 3600 },
  ],
  [
    'when the store is away',
    'proof.replay_store_unavailable',
    proven,
    { replays: { ...ALL_FRESH, consume: () => Promise.reject(new Error('away')) } },
  ],
  [
    'when the store says something odd',
    'proof.replayed',
    proven,
    { replays: { ...ALL_FRESH, consume: () => Promise.resolve('yes' as never) } },
  ],
]

for (const [title, code, message, options, source] of REFUSED) {
  test(`a message ${title} is refused, and recorded`, async () => {
    const { verify, events } = consumer(options)
    await assert.rejects(verify(message(), { topic: TOPIC, ...source }), { name: 'AimsError', code })
    assert.deepEqual(events[0]?.reasons, [code])
    assert.equal(events.length, 1)
  })
}

// [authentication.message.03]
test('the proof of a message is none of an HTTP request', async () => {
  const authenticator = createAuthenticator({
    bundles: domain.bundles,
    audiences: [TOPIC, AUDIENCE],
    replays: createMemoryReplayStore({ capacity: 10 }),
    observer: { record: async () => undefined },
    clock: () => NOW,
    profiles: [{ profile: 'wimse' }, { profile: 'wimse-wpt-01', trustDomains: [domain.bundle.trustDomain] }],
  })
  const { headers } = proveMessage(wit, PLAIN, OPTIONS)
  const proof = headers['workload-proof-token'] ?? ''
  for (const field of ['authorization', 'workload-proof-token']) {
    const fields = [
      ['workload-identity-token', wit.token],
      [field, field === 'authorization' ? `WPT ${proof}` : proof],
    ] as const
    await assert.rejects(authenticator.authenticate({ method: 'POST', target: '/', headers: fields }), {
      code: 'proof.wrong_type',
    })
  }
})

test('a consumer says how long messages may wait, and it is no more than a week', () => {
  for (const maxLifetime of [0, -1, Number.NaN, 604_801]) {
    assert.throws(() => consumer({ maxLifetime }), TypeError)
  }
})

const part = fc.oneof(fc.string({ unit: 'binary', maxLength: 20 }), fc.uint8Array({ maxLength: 20 }))
const header = fc.tuple(fc.string({ minLength: 1, maxLength: 8 }), part)
const anyMessage = fc.record({
  payload: fc.option(part),
  key: fc.option(part),
  headers: fc.array(header, { maxLength: 4 }),
})

test('any message is accepted as it was sent, and no other is', async () => {
  await fc.assert(
    fc.asyncProperty(anyMessage, anyMessage, async (sent, received) => {
      const { headers } = proveMessage(wit, sent, OPTIONS)
      await consumer().verify(carrying(sent, headers), { topic: TOPIC })
      const same =
        envelopeDigest(sent, []) === envelopeDigest(received, []) && String(sent.payload) === String(received.payload)
      if (!same) await assert.rejects(consumer().verify(carrying(received, headers), { topic: TOPIC }))
    }),
    { numRuns: 60 },
  )
})
