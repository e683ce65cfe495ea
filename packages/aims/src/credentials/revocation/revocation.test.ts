import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { NOW, testDomain } from '../../../../../test/support/identities.ts'
import { AimsError } from '../../base/errors.ts'
import { signJwsLocally } from '../../base/jose.ts'
import { WorkloadKey } from '../../base/keys.ts'
import { parseWorkloadSpiffeId, type SpiffeId } from '../../identifiers/spiffe-id.ts'
import { isSelfOrDescendant, joinSubAgentId } from '../../identifiers/sub-agent-id.ts'
import { parseTrustDomain } from '../../identifiers/trust-domain.ts'
import { verifyWit } from '../wit/verify.ts'
import { holdRevocations } from './hold.ts'
import { MAX_REVOCATIONS, signRevocationList, verifyRevocationList } from './list.ts'
import { requireNotRevoked } from './require.ts'
import type { RevocableCredential, Revocation, RevocationList } from './revocation.ts'

const domain = testDomain()
const foreign = testDomain('foreign.example')
const { trustDomain } = domain.bundle
const { bundles } = domain
const bot = parseWorkloadSpiffeId('spiffe://example.com/agent/bot')
const expected = { trustDomain, bundles, now: NOW }
const botRevoked: Revocation = { type: 'subject', value: bot, before: NOW, expiresAt: NOW + 3600 }

function list(change: Partial<RevocationList> = {}): Promise<string> {
  const whole = { trustDomain, sequence: 1, issuedAt: NOW, revocations: [botRevoked], ...change }
  return signRevocationList(whole, domain.signer)
}
const TYP = 'aims-revocations+jwt'
const claims = { iss: 'spiffe://example.com', seq: 1, iat: NOW, revoked: [] }
const signed = (header: object, more: object, signer = domain.signer): string =>
  signJwsLocally({ kid: signer.kid, typ: TYP, ...header }, { ...claims, ...more }, signer)
const credential = (change: Partial<RevocableCredential> = {}): RevocableCredential => ({
  subject: bot,
  issuedAt: NOW - 10,
  kind: 'wit',
  id: 'token-1',
  keyThumbprint: () => 'key-1',
  ...change,
})

test('a list that the trust domain signed reads back', async () => {
  const token: Revocation = { type: 'token', value: 'token-1', expiresAt: NOW + 60 }
  const { revocations, sequence, issuedAt } = verifyRevocationList(
    await list({ revocations: [botRevoked, token] }),
    expected,
  )
  assert.deepEqual(
    { revocations, sequence, issuedAt },
    { revocations: [botRevoked, token], sequence: 1, issuedAt: NOW },
  )
})

const stranger = WorkloadKey.generate()
const one = (revocation: object) => signed({}, { revoked: [revocation] })
const REFUSED: readonly (readonly [string, string | Promise<string>, string])[] = [
  ['no JWS', 'list', 'revocation.malformed'],
  ['a WIT', domain.wit().then(({ token }) => token), 'revocation.malformed'],
  ['another typ', signed({ typ: 'JWT' }, {}), 'revocation.malformed'],
  ['no typ', signed({ typ: undefined }, {}), 'revocation.malformed'],
  ['a key in the header', signed({ jwk: {} }, {}), 'revocation.malformed'],
  ['no kid', signed({ kid: undefined }, {}), 'revocation.untrusted'],
  ['a stranger', signed({}, {}, stranger), 'revocation.untrusted'],
  ['a stranger under our kid', signed({ kid: domain.signer.kid }, {}, stranger), 'revocation.untrusted'],
  ['another trust domain signing for ours', signed({}, {}, foreign.signer), 'revocation.untrusted'],
  ['another iss', signed({}, { iss: 'spiffe://foreign.example' }), 'revocation.wrong_trust_domain'],
  ['no iss', signed({}, { iss: undefined }), 'revocation.wrong_trust_domain'],
  ['no sequence', signed({}, { seq: undefined }), 'revocation.malformed'],
  ['a sequence that is no whole number', signed({}, { seq: 1.5 }), 'revocation.malformed'],
  ['a sequence as text', signed({}, { seq: '1' }), 'revocation.malformed'],
  ['a sequence below zero', signed({}, { seq: -1 }), 'revocation.malformed'],
  ['no iat', signed({}, { iat: undefined }), 'revocation.malformed'],
  ['from the future', signed({}, { iat: NOW + 31 }), 'revocation.issued_in_future'],
  ['no entries', signed({}, { revoked: undefined }), 'revocation.malformed'],
  ['an entry of a kind we do not know', one({ type: 'device', value: 'a', expiresAt: NOW }), 'revocation.malformed'],
  ['an entry without end', one({ type: 'token', value: 'a' }), 'revocation.malformed'],
  ['an entry with more', one({ type: 'token', value: 'a', expiresAt: NOW, but: true }), 'revocation.malformed'],
  ['an entry without value', one({ type: 'token', expiresAt: NOW, before: 1 }), 'revocation.malformed'],
  ['a subject without time', one({ type: 'subject', value: bot, expiresAt: NOW, x: 1 }), 'revocation.malformed'],
  ['a subject that is none', one({ type: 'subject', value: 'bot', before: 1, expiresAt: 1 }), 'revocation.malformed'],
  [
    'the subject of another trust domain',
    one({ type: 'subject', value: 'spiffe://foreign.example/a', before: 1, expiresAt: 1 }),
    'revocation.wrong_trust_domain',
  ],
  [
    'too many',
    signed({}, { revoked: Array.from({ length: MAX_REVOCATIONS + 1 }, () => ({ ...botRevoked })) }),
    'revocation.too_large',
  ],
  ['too long', 'a'.repeat(3 * 1024 * 1024), 'revocation.too_large'],
]
for (const [what, token, code] of REFUSED) {
  test(`refused as a revocation list: ${what}`, async () => {
    const given = await token
    assert.throws(() => verifyRevocationList(given, expected), { code })
  })
}

test('a trust domain without a bundle has no list', async () => {
  const token = await list()
  assert.throws(() => verifyRevocationList(token, { ...expected, bundles: foreign.bundles }), {
    code: 'revocation.untrusted',
  })
})

test('a revocation list is no WIT', async () => {
  const token = await list()
  assert.throws(() => verifyWit(token, { bundles, now: NOW, profile: 'wimse' }), { code: 'credential.wrong_type' })
})

// [provisioning.aims.07]
test('what a list names is revoked, and nothing else', async () => {
  const CASES: readonly (readonly [Revocation, Partial<RevocableCredential>, boolean])[] = [
    [botRevoked, {}, true],
    [botRevoked, { issuedAt: NOW - 1 }, true],
    // Issued again afterwards.
    [botRevoked, { issuedAt: NOW }, false],
    // Nobody says when: long ago.
    [botRevoked, { issuedAt: undefined }, true],
    [botRevoked, { subject: joinSubAgentId(bot, 'a') }, true],
    [botRevoked, { subject: joinSubAgentId(joinSubAgentId(bot, 'a'), 'b') }, true],
    [botRevoked, { subject: parseWorkloadSpiffeId('spiffe://example.com/agent/bot2') }, false],
    [botRevoked, { subject: parseWorkloadSpiffeId('spiffe://example.com/agent/bot/other') }, false],
    [botRevoked, { subject: parseWorkloadSpiffeId('spiffe://example.com/agent') }, false],
    [{ type: 'token', value: 'token-1', expiresAt: NOW }, {}, true],
    [{ type: 'token', value: 'token-1', expiresAt: NOW }, { kind: 'jwt-svid' }, true],
    [{ type: 'token', value: 'token-1', expiresAt: NOW }, { kind: 'x509-svid' }, false],
    [{ type: 'token', value: 'token-1', expiresAt: NOW }, { id: 'token-2' }, false],
    [{ type: 'token', value: 'token-1', expiresAt: NOW }, { id: undefined }, false],
    [{ type: 'certificate', value: 'token-1', expiresAt: NOW }, { kind: 'x509-svid' }, true],
    [{ type: 'certificate', value: 'token-1', expiresAt: NOW }, {}, false],
    [{ type: 'key', value: 'key-1', expiresAt: NOW }, {}, true],
    [{ type: 'key', value: 'key-2', expiresAt: NOW }, {}, false],
  ]
  for (const [revocation, change, isRevoked] of CASES) {
    const held = holdRevocations({ trustDomain, bundles, maxStaleness: 60 })
    held.accept(await list({ revocations: [revocation] }), NOW)
    const check = () => requireNotRevoked(held, credential(change), NOW)
    if (isRevoked) assert.throws(check, { code: 'credential.revoked' }, JSON.stringify([revocation, change]))
    else check()
  }
})

test('without a list, with a stale one, and for another trust domain nobody is accepted', async () => {
  const held = holdRevocations({ trustDomain, bundles, maxStaleness: 60 })
  const good = credential({ issuedAt: NOW })
  const unknown = { code: 'credential.revocation_unknown' }
  assert.throws(() => requireNotRevoked(held, good, NOW), unknown)
  held.accept(await list(), NOW)
  requireNotRevoked(held, good, NOW + 60)
  assert.throws(() => requireNotRevoked(held, good, NOW + 60.001), unknown)
  assert.throws(() => requireNotRevoked(held, good, Number.NaN), unknown)
  const stranger = credential({ subject: parseWorkloadSpiffeId('spiffe://foreign.example/a') })
  assert.throws(() => requireNotRevoked(held, stranger, NOW), unknown)
})

test('what passes without a current list is only what was asked for by name', async () => {
  const held = holdRevocations({
    trustDomain,
    bundles,
    maxStaleness: 60,
    whenStale: 'accept',
    uncheckedTrustDomains: [parseTrustDomain('foreign.example')],
  })
  const stranger = credential({ subject: parseWorkloadSpiffeId('spiffe://foreign.example/a') })
  requireNotRevoked(held, stranger, NOW)
  // Never seen a list is not the same as an old one.
  assert.equal(held.statusOf(credential({ issuedAt: NOW }), NOW), 'unknown')
  held.accept(await list(), NOW)
  assert.equal(held.statusOf(credential({ issuedAt: NOW }), NOW + 3600), 'good')
  assert.equal(held.statusOf(credential(), NOW + 3600), 'revoked')
})

test('an older list is refused; the same one said later keeps the holder fresh', async () => {
  const held = holdRevocations({ trustDomain, bundles, maxStaleness: 60 })
  let told = 0
  const end = held.onChange(() => {
    told += 1
  })
  assert.equal(held.accept(await list({ sequence: 5 }), NOW), true)
  assert.equal(held.accept(await list({ sequence: 5, issuedAt: NOW + 50 }), NOW + 50), false)
  assert.deepEqual(held.current, { sequence: 5, issuedAt: NOW + 50 })
  // Repeated by somebody in between: it takes no freshness away.
  assert.equal(held.accept(await list({ sequence: 5, issuedAt: NOW + 20 }), NOW + 50), false)
  assert.deepEqual(held.current, { sequence: 5, issuedAt: NOW + 50 })
  const older = await list({ sequence: 4, issuedAt: NOW + 60, revocations: [] })
  assert.throws(() => held.accept(older, NOW + 60), { code: 'revocation.rollback' })
  assert.equal(held.statusOf(credential(), NOW + 60), 'revoked')
  assert.equal(told, 1)
  end()
  held.accept(await list({ sequence: 6, issuedAt: NOW + 60, revocations: [] }), NOW + 60)
  assert.equal(told, 1)
  assert.equal(held.statusOf(credential(), NOW + 60), 'good')
})

test('a number that a thief of a key made up binds nobody once the next authority signs, nor once the key is revoked', async () => {
  const next = testDomain()
  const forged = await list({ sequence: Number.MAX_SAFE_INTEGER, revocations: [] })
  const genuine = (change: Partial<RevocationList> = {}) =>
    signRevocationList(
      { trustDomain, sequence: 7, issuedAt: NOW + 1, revocations: [botRevoked], ...change },
      next.signer,
    )
  let authorities = new Map([...domain.bundle.witAuthorities, ...next.bundle.witAuthorities])
  const both = { bundleFor: () => ({ ...domain.bundle, witAuthorities: authorities }) }
  const thief = () => {
    const held = holdRevocations({ trustDomain, bundles: both, maxStaleness: 60 })
    held.accept(forged, NOW)
    return held
  }
  const rolledBack = { code: 'revocation.rollback' }
  // Under the stolen key itself the server is not to be told from the thief.
  const same = await list({ sequence: 7, issuedAt: NOW + 1 })
  assert.throws(() => thief().accept(same, NOW + 1), rolledBack)
  // Nor does another authority, that has signed before, take anything back.
  const before = await genuine({ issuedAt: NOW })
  assert.throws(() => thief().accept(before, NOW + 1), rolledBack)
  const freed = thief()
  assert.equal(freed.statusOf(credential(), NOW), 'good')
  assert.equal(freed.accept(await genuine(), NOW + 1), true)
  assert.equal(freed.statusOf(credential(), NOW + 1), 'revoked')
  const older = await list({ sequence: 6, issuedAt: NOW + 1 })
  assert.throws(() => freed.accept(older, NOW + 1), rolledBack)

  const held = thief()
  authorities = new Map(next.bundle.witAuthorities)
  assert.equal(held.statusOf(credential({ issuedAt: NOW }), NOW), 'unknown')
  assert.throws(() => held.accept(forged, NOW), { code: 'revocation.untrusted' })
  assert.equal(held.accept(await genuine({ issuedAt: NOW - 5 }), NOW), true)
  assert.equal(held.statusOf(credential(), NOW), 'revoked')
  assert.equal(held.statusOf(credential({ issuedAt: NOW }), NOW), 'good')
})

test('lists and holders that make no sense are the mistake of a program', async () => {
  assert.throws(() => holdRevocations({ trustDomain, bundles, maxStaleness: 0 }), TypeError)
  assert.throws(() => holdRevocations({ trustDomain, bundles, maxStaleness: '60' as never }), TypeError)
  const tooMany = Array.from({ length: MAX_REVOCATIONS + 1 }, () => botRevoked)
  await assert.rejects(list({ revocations: tooMany }), TypeError)
})

test('whatever is signed as a list is read or refused with a code', () => {
  fc.assert(
    fc.property(fc.jsonValue(), (revoked) => {
      try {
        verifyRevocationList(signed({}, { revoked }), expected)
      } catch (error) {
        assert.ok(AimsError.is(error) && error.code.startsWith('revocation.'), String(error))
      }
    }),
  )
})

// [provisioning.aims.07]
test('revoking any agent of a forest revokes exactly it and its descendants', async () => {
  const roots = ['planner', 'plan', 'planner2'].map((name) =>
    parseWorkloadSpiffeId(`spiffe://example.com/agent/${name}`),
  )
  const steps = fc.array(fc.tuple(fc.nat(), fc.constantFrom('a', 'b', 'a.b', 'subs', 'planner')), { maxLength: 25 })
  await fc.assert(
    fc.asyncProperty(steps, fc.nat(), async (grow, choice) => {
      // Parents are kept beside the names: what the test expects comes from no comparison of text.
      const parentOf = new Map<SpiffeId, SpiffeId | undefined>(roots.map((root) => [root, undefined]))
      for (const [at, name] of grow) {
        const ids = [...parentOf.keys()]
        const parent = ids[at % ids.length] as SpiffeId
        const child = joinSubAgentId(parent, name)
        if (!parentOf.has(child)) parentOf.set(child, parent)
      }
      const ids = [...parentOf.keys()]
      const revoked = ids[choice % ids.length] as SpiffeId
      const held = holdRevocations({ trustDomain, bundles, maxStaleness: 60 })
      held.accept(await list({ revocations: [{ ...botRevoked, value: revoked }] }), NOW)
      for (const id of ids) {
        let below = false
        for (let up: SpiffeId | undefined = id; up !== undefined; up = parentOf.get(up)) below ||= up === revoked
        assert.equal(held.statusOf(credential({ subject: id }), NOW), below ? 'revoked' : 'good', id)
        assert.equal(isSelfOrDescendant(id, revoked), below)
      }
    }),
    { numRuns: 60 },
  )
})
