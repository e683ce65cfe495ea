import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { AUDIENCE, NOW, testDomain } from '../../../../../test/support/identities.ts'
import { sha256Base64url } from '../../base/bytes.ts'
import { type Check, MAX_CHECK_TEXT } from '../../base/check.ts'
import { AimsError } from '../../base/errors.ts'
import type { AuditEvent } from '../../base/event.ts'
import { signJwsLocally } from '../../base/jose.ts'
import { verificationKey, WorkloadKey } from '../../base/keys.ts'
import { bundleSource } from '../../credentials/bundle/source.ts'
import { createAuthenticator } from '../authenticate.ts'
import { createMemoryReplayStore } from '../replay/memory.ts'
import type { AuthenticatorOptions, IncomingRequest } from '../request.ts'
import { BODY_DIGEST_CLAIM, bodyDigest } from '../wpt/body-digest.ts'
import { audienceDifference, targetDifference } from './differences.ts'
import { trailOf } from './trail.ts'

const domain = testDomain()
const wit = await domain.wit()
const other = WorkloadKey.generate()
const TARGET = '/api/events?day=1'
const BODY = Buffer.from('{}')

interface Draft {
  claims: { [name: string]: unknown }
  fields: [string, string][]
  key: WorkloadKey
  body: Uint8Array
  options: Partial<AuthenticatorOptions>
}

function draft(): Draft {
  const claims = {
    aud: AUDIENCE,
    iat: NOW,
    exp: NOW + 60,
    jti: 'f47ac10b58cc4372a567',
    wth: sha256Base64url(wit.token),
    htm: 'POST',
    htu: TARGET,
    [BODY_DIGEST_CLAIM]: bodyDigest(BODY),
  }
  return { claims, fields: [], key: wit.key, body: BODY, options: {} }
}

async function judge({ claims, fields, key, body, options }: Draft): Promise<readonly Check[] | undefined> {
  const events: AuditEvent[] = []
  const authenticator = createAuthenticator({
    bundles: domain.bundles,
    audiences: [AUDIENCE],
    replays: createMemoryReplayStore({ capacity: 10 }),
    observer: { record: async (event) => void events.push(event) },
    clock: () => NOW,
    ...options,
  })
  const proof = signJwsLocally({ typ: 'wpt+jwt' }, claims, key)
  const headers = [['authorization', `WPT ${proof}`], ['workload-identity-token', wit.token], ...fields] as const
  await authenticator
    .authenticate({ method: 'POST', target: TARGET, headers, body })
    .catch((error: unknown) => assert.ok(AimsError.is(error)))
  return events[0]?.checks
}

const kid = domain.signer.kid ?? 'none'
const forged = verificationKey(other.publicKey, { kid })

/** What breaks one check and nothing else, in the order in which the verifier makes the checks. */
const BREAKS: readonly (readonly [check: string, spoil: (one: Draft) => void])[] = [
  ['request.fields', ({ fields }) => fields.push(['authorization', 'Basic eDp5'])],
  ['request.proof-method', ({ options }) => Object.assign(options, { methods: ['http-signature'] })],
  ['wit.trust-domain', ({ options }) => Object.assign(options, { bundles: bundleSource() })],
  ['wit.signing-key', ({ options }) => bundled(options, new Map([['k', forged]]))],
  ['wit.signature', ({ options }) => bundled(options, new Map([[kid, forged]]))],
  ['wit.times', ({ options }) => Object.assign(options, { clock: () => NOW + 4000 })],
  ['proof.signature', (one) => Object.assign(one, { key: other })],
  ['proof.claims', ({ claims }) => Object.assign(claims, { jti: undefined })],
  ['proof.audience', ({ claims }) => Object.assign(claims, { aud: 'https://other.example' })],
  ['proof.times', ({ claims }) => Object.assign(claims, { exp: NOW })],
  ['proof.wit', ({ claims }) => Object.assign(claims, { wth: 'A'.repeat(43) })],
  ['proof.id', ({ claims }) => Object.assign(claims, { jti: 'short' })],
  ['proof.method', ({ claims }) => Object.assign(claims, { htm: 'GET' })],
  ['proof.target', ({ claims }) => Object.assign(claims, { htu: '/other' })],
  ['proof.tokens', ({ fields }) => fields.push(['txn-token', 'a.b.c'])],
  ['proof.body', (one) => Object.assign(one, { body: Buffer.from('{} ') })],
  ['request.body-in-time', ({ options }) => Object.assign(options, { clock: slowly() })],
  ['profile.not-weaker', ({ options }) => Object.assign(options, { highWaterMarks: { admit: () => false } })],
  ['proof.once', ({ options }) => Object.assign(options, { replays: { consume: () => false } })],
  ['credential.not-revoked', ({ options }) => Object.assign(options, { revocations: { statusOf: () => 'revoked' } })],
  ['caller.expected', ({ options }) => Object.assign(options, { peer: () => false })],
]

// The first look is when the head is there, the second when the body is.
function slowly(): () => number {
  let looks = 0
  return () => {
    looks += 1
    return looks === 1 ? NOW : NOW + 61
  }
}

function bundled(options: Draft['options'], witAuthorities: (typeof domain.bundle)['witAuthorities']): void {
  Object.assign(options, { bundles: bundleSource({ ...domain.bundle, witAuthorities }) })
}

test('a request that is accepted has no trail', async () => {
  assert.equal(await judge(draft()), undefined)
})

// [authentication.explain.02]
test('the check that failed is named, after all that passed before it, whatever else is wrong', async () => {
  for (const [at, [check, spoil]] of BREAKS.entries()) {
    for (const [, spoilMore] of BREAKS.slice(at)) {
      const one = draft()
      // The later one first: what both change, the earlier decides.
      if (spoilMore !== spoil) spoilMore(one)
      spoil(one)
      const checks = (await judge(one)) ?? []
      const names = checks.map(({ check: name }) => name)
      assert.equal(names.at(-1), check)
      assert.deepEqual(
        checks.map(({ outcome }) => outcome),
        [...names.slice(0, -1).map(() => 'passed'), 'failed'],
      )
      // What the verifier has not come to is not said to be in order.
      const known = BREAKS.map(([name]) => name).filter((name) => names.includes(name))
      assert.deepEqual(
        known,
        BREAKS.slice(0, at + 1).map(([name]) => name),
      )
    }
  }
})

// One row per way in which an audience or a target can be another one.
for (const [given, own, difference] of [
  [`${AUDIENCE}/`, [AUDIENCE], 'spelling'],
  ['HTTPS://API.example.com', [AUDIENCE], 'spelling'],
  ['http://api.example.com', [AUDIENCE], 'scheme'],
  [`${AUDIENCE}:8443`, [AUDIENCE], 'port'],
  [`${AUDIENCE}/x`, [AUDIENCE], 'path'],
  ['https://other.example.com', [AUDIENCE], 'service'],
  ['kafka', ['events'], 'service'],
  [`${AUDIENCE}:8443`, ['https://a.example', AUDIENCE], 'port'],
  ['', [], 'service'],
] as const) {
  test(`audience ${given} is another than ${own} by its ${difference}`, () => {
    assert.equal(audienceDifference(given, own), difference)
  })
}

for (const [named, arrived, difference] of [
  ['/api/x', '/x', 'prefix-removed'],
  ['/x', '/api/x', 'prefix-added'],
  ['/x', '/x?a=1', 'query-missing'],
  ['/x?a=1', '/x', 'query'],
  ['/x?a=1', '/x?a=2', 'query'],
  ['/x/', '/x', 'spelling'],
  ['/a//b', '/a/b', 'spelling'],
  ['/a/../b', '/b', 'spelling'],
  ['/%7Ea', '/~a', 'spelling'],
  ['/%zz', '/x', 'path'],
  ['https://h.example/x', '/x', 'origin'],
  ['https://h.example/api/x', '/x', 'prefix-removed'],
  ['x', '/x', 'path'],
  ['/x', '/y', 'path'],
  ['/x', '/', 'path'],
] as const) {
  test(`target ${named} that arrives as ${arrived} differs by its ${difference}`, () => {
    assert.equal(targetDifference(named, arrived, undefined), difference)
  })
}

const SECRETS = ['eyJhbGciOiJ.eyJzdWIiOiJ4.c2ln', 'Bearer 0123456789abcdef0123', `eyJ${'a'.repeat(200)}`]
const claim = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 300 }),
  fc.constantFrom(...SECRETS, NaN, 1e308, -1e308, null, true, '\u001b[2J', '"\\'.repeat(200)),
)

// [authentication.explain.03]
test('whatever a caller claims, its trail is plain, short and without tokens', () => {
  const accepted = ['wit+wpt'] as const
  const options = { audiences: [AUDIENCE], bundles: domain.bundles }
  const codes = ['proof.audience_mismatch', 'proof.target_mismatch', 'caller', 'authentication.peer_unexpected']
  fc.assert(
    fc.property(claim, claim, claim, claim, fc.constantFrom(...codes), (aud, htu, exp, target, code) => {
      const claims = { aud, htu, exp, iat: exp, jti: aud, wth: htu }
      const proof = signJwsLocally({ typ: 'wpt+jwt' }, claims, wit.key)
      const headers = [
        ['authorization', `WPT ${proof}`],
        ['workload-identity-token', wit.token],
      ] as const
      const request: IncomingRequest = { method: 'POST', target: String(target), headers }
      const error = new AimsError(code as AimsError['code'], 'x')
      const checks = trailOf({ request, options, accepted, binding: {}, now: NOW, error })
      assert.ok(checks.length <= 32)
      for (const { expected = 'x', observed = 'x' } of checks) {
        for (const text of [expected, observed]) {
          assert.match(text, /^[\x20-\x7e]+$/)
          assert.ok(text.length <= MAX_CHECK_TEXT && !/["\\]/.test(text))
        }
      }
      const told = JSON.stringify(checks)
      assert.ok(SECRETS.slice(0, 2).every((secret) => !told.includes(secret)))
    }),
  )
})
