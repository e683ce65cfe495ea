import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { NOW, testDomain } from '../../../../../test/support/identities.ts'
import { sha256Base64url } from '../../base/bytes.ts'
import { type Check, MAX_CHECK_TEXT } from '../../base/check.ts'
import { AimsError } from '../../base/errors.ts'
import type { AuditEvent } from '../../base/event.ts'
import { signJwsLocally } from '../../base/jose.ts'
import { verificationKey, WorkloadKey } from '../../base/keys.ts'
import { bundleSource } from '../../credentials/bundle/source.ts'
import { createMemoryReplayStore } from '../replay/memory.ts'
import { BODY_DIGEST_CLAIM, bodyDigest } from '../wpt/body-digest.ts'
import { ENVELOPE_CLAIM, envelopeDigest, MESSAGE_FIELDS, MESSAGE_PROOF_TYP, type QueuedMessage } from './message.ts'
import { messageTrailOf } from './trail.ts'
import { createMessageVerifier, type MessageVerifierOptions } from './verify.ts'

const domain = testDomain()
const wit = await domain.wit()
const other = WorkloadKey.generate()
const TOPIC = 'kafka://orders.example.com/orders'
const NONCE = 'nonce-of-this-consumer'
const PLAIN: QueuedMessage = { payload: '{"order":1}', key: 'customer-7', headers: [['content-type', 'text/plain']] }

interface Draft {
  claims: { [name: string]: unknown }
  typ: string
  key: WorkloadKey
  message: QueuedMessage
  fields: [string, string][]
  options: Partial<MessageVerifierOptions>
}

function draft(): Draft {
  const claims = {
    aud: TOPIC,
    iat: NOW,
    exp: NOW + 60,
    jti: 'f47ac10b58cc4372a567',
    wth: sha256Base64url(wit.token),
    nonce: NONCE,
    [BODY_DIGEST_CLAIM]: bodyDigest(Buffer.from('{"order":1}')),
    [ENVELOPE_CLAIM]: envelopeDigest(PLAIN, []),
  }
  return { claims, typ: MESSAGE_PROOF_TYP, key: wit.key, message: PLAIN, fields: [], options: {} }
}

async function judge({ claims, typ, key, message, fields, options }: Draft): Promise<AuditEvent | undefined> {
  const events: AuditEvent[] = []
  const { verify } = createMessageVerifier({
    bundles: domain.bundles,
    replays: createMemoryReplayStore({ capacity: 10 }),
    observer: { record: async (event) => void events.push(event) },
    maxLifetime: 3600,
    clock: () => NOW,
    ...options,
  })
  const proof = signJwsLocally({ typ }, claims, key)
  const carried: [string, string][] = [
    [MESSAGE_FIELDS.wit, wit.token],
    [MESSAGE_FIELDS.proof, proof],
  ]
  const headers = [...(message.headers ?? []), ...carried, ...fields]
  await verify({ ...message, headers }, { topic: TOPIC, nonce: NONCE, id: 'orders/3/7' }).catch((error: unknown) =>
    assert.ok(AimsError.is(error)),
  )
  return events[0]
}

const kid = domain.signer.kid ?? 'none'
const forged = verificationKey(other.publicKey, { kid })
const bundled = (options: Draft['options'], name: string): unknown =>
  Object.assign(options, { bundles: bundleSource({ ...domain.bundle, witAuthorities: new Map([[name, forged]]) }) })

/** What breaks one check and nothing else, in the order in which the verifier makes the checks. */
const BREAKS: readonly (readonly [check: string, spoil: (one: Draft) => unknown])[] = [
  ['message.headers', ({ fields }) => fields.push([MESSAGE_FIELDS.proof, 'a.b.c'])],
  ['wit.trust-domain', ({ options }) => Object.assign(options, { bundles: bundleSource() })],
  ['wit.signing-key', ({ options }) => bundled(options, 'k')],
  ['wit.signature', ({ options }) => bundled(options, kid)],
  ['wit.times', ({ options }) => Object.assign(options, { clock: () => NOW + 4000 })],
  ['proof.form', (one) => Object.assign(one, { typ: 'wpt+jwt' })],
  ['proof.signature', (one) => Object.assign(one, { key: other })],
  ['proof.topic', ({ claims }) => Object.assign(claims, { aud: undefined })],
  ['proof.times', ({ claims }) => Object.assign(claims, { exp: NOW })],
  ['proof.wit', ({ claims }) => Object.assign(claims, { wth: 'A'.repeat(43) })],
  ['proof.id', ({ claims }) => Object.assign(claims, { jti: 'short' })],
  ['proof.nonce', ({ claims }) => Object.assign(claims, { nonce: undefined })],
  ['proof.payload', (one) => Object.assign(one, { message: { ...one.message, payload: '{}' } })],
  ['proof.envelope', (one) => Object.assign(one, { message: { ...one.message, key: null } })],
  ['caller.expected', ({ options }) => Object.assign(options, { peer: () => false })],
  ['credential.not-revoked', ({ options }) => Object.assign(options, { revocations: { statusOf: () => 'revoked' } })],
  ['proof.once', ({ options }) => Object.assign(options, { replays: { consume: () => false } })],
]

test('a message that is accepted has no record', async () => {
  assert.equal(await judge(draft()), undefined)
})

// [authentication.explain.05]
test('the check of a message that failed is named, after all that passed before it, whatever else is wrong', async () => {
  for (const [at, [check, spoil]] of BREAKS.entries()) {
    for (const [, spoilMore] of BREAKS.slice(at)) {
      const one = draft()
      // The later one first: what both change, the earlier decides.
      if (spoilMore !== spoil) spoilMore(one)
      spoil(one)
      const { checks = [], correlationId } = (await judge(one)) ?? {}
      assert.equal(correlationId, 'orders/3/7')
      const names = checks.map(({ check: name }) => name)
      assert.equal(names.at(-1), check)
      const expected = [...names.slice(0, -1).map(() => 'passed'), 'failed']
      assert.deepEqual(
        checks.map(({ outcome }) => outcome),
        expected,
      )
      const known = BREAKS.map(([name]) => name).filter((name) => names.includes(name))
      assert.deepEqual(
        known,
        BREAKS.slice(0, at + 1).map(([name]) => name),
      )
    }
  }
})

// One row per claim that is not there, or is of another type: the check whose turn it is.
for (const [name, check] of [
  ['aud', 'proof.topic'],
  ['iat', 'proof.times'],
  ['exp', 'proof.times'],
  ['wth', 'proof.wit'],
  ['jti', 'proof.id'],
  [BODY_DIGEST_CLAIM, 'proof.payload'],
  [ENVELOPE_CLAIM, 'proof.envelope'],
] as const) {
  for (const [title, value, code] of [
    ['no', undefined, 'proof.missing_claim'],
    ['an odd', [true], 'proof.invalid_claim'],
  ] as const) {
    test(`a message proof with ${title} ${name} fails at ${check}`, async () => {
      const one = draft()
      Object.assign(one.claims, { [name]: value })
      const event = await judge(one)
      assert.deepEqual([event?.reasons, event?.checks?.at(-1)?.check], [[code], check])
    })
  }
}

const claim = fc.oneof(fc.string({ unit: 'binary', maxLength: 300 }), fc.constantFrom(Number.NaN, 1e308, null, '"\\'))

test('whatever a sender claims, its trail is plain and short', () => {
  const codes = ['proof.audience_mismatch', 'proof.envelope_mismatch', 'proof.expired', 'proof.replayed'] as const
  fc.assert(
    fc.property(claim, claim, claim, fc.string(), fc.constantFrom(...codes), (aud, exp, envelope, header, code) => {
      const claims = { aud, exp, iat: exp, jti: aud, wth: aud, [ENVELOPE_CLAIM]: envelope }
      const proof = signJwsLocally({ typ: MESSAGE_PROOF_TYP }, claims, wit.key)
      const headers = [
        [header, header],
        [MESSAGE_FIELDS.wit, wit.token],
        [MESSAGE_FIELDS.proof, proof],
      ] as const
      const checks: readonly Check[] = messageTrailOf({
        message: { payload: null, headers },
        topic: TOPIC,
        nonce: undefined,
        unboundHeaders: [],
        options: { bundles: domain.bundles, maxLifetime: 60 },
        now: NOW,
        error: new AimsError(code, 'x'),
      })
      assert.equal(checks.at(-1)?.outcome, 'failed')
      for (const { expected = 'x', observed = 'x' } of checks) {
        for (const text of [expected, observed]) {
          assert.match(text, /^[\x20-\x7e]+$/)
          assert.ok(text.length <= MAX_CHECK_TEXT && !/["\\]/.test(text))
        }
      }
    }),
  )
})
