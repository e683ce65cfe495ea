import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { AUDIENCE, NOW, testDomain } from '../../../../../test/support/identities.ts'
import { sha256Base64url } from '../../base/bytes.ts'
import { AimsError } from '../../base/errors.ts'
import { signJwsLocally } from '../../base/jose.ts'
import { WorkloadKey } from '../../base/keys.ts'
import { PROFILES, type Profile } from '../../credentials/profile.ts'
import type { Wit } from '../../credentials/wit/source.ts'
import { createMemoryReplayStore } from '../replay/memory.ts'
import type { ReplayStore } from '../replay/replay-store.ts'
import { BODY_DIGEST_CLAIM, bodyDigest } from './body-digest.ts'
import { createWpt, type ProofRequest } from './create.ts'
import { verifyWpt, type WptExpectations } from './verify.ts'

const domain = testDomain()
const key = WorkloadKey.generate()
const wits = new Map<Profile, Wit>()
for (const profile of PROFILES) wits.set(profile, await domain.wit({ profile, key }))

const TARGET = '/api/v1/events?day=1'
const BODY = Buffer.from('{"title":"standup"}')
const ACCESS = '16_mAd0GiwaZokU26_0902100'
const TXN = 'txn-token-0123456789abcdef'

function witOf(profile: Profile): Wit {
  const wit = wits.get(profile)
  assert.ok(wit)
  return wit
}

type Claims = { readonly [name: string]: unknown }

// The claims of a proof as the draft of each profile lists them, and nothing of ours.
function claimsOf(wit: Wit): Claims {
  const common = { aud: AUDIENCE, exp: NOW + 60, jti: 'f47ac10b58cc4372a567' }
  return wit.profile === 'aims-00'
    ? { ...common, iss: wit.subject, htm: 'POST', htu: TARGET, iat: NOW }
    : { ...common, wth: sha256Base64url(wit.token) }
}

const TYP: { readonly [profile in Profile]: string } = {
  wimse: 'wpt+jwt',
  'wimse-wpt-01': 'wpt+jwt',
  's2s-03-compat': 'wimse-proof+jwt',
  'aims-00': 'wimse-proof+jwt',
}

function headerOf(wit: Wit): Claims {
  return wit.profile === 'aims-00' ? { typ: TYP[wit.profile], kid: wit.key.kid } : { typ: TYP[wit.profile] }
}

function expectation(wit: Wit): WptExpectations {
  return {
    wit: domain.verify(wit),
    profile: wit.profile,
    audiences: ['https://alias.example.com', AUDIENCE],
    now: NOW,
    replays: createMemoryReplayStore({ capacity: 10 }),
    method: 'POST',
    target: TARGET,
    body: BODY,
  }
}

interface Change {
  readonly claims?: Claims
  readonly header?: Claims
  readonly signer?: WorkloadKey
  readonly expected?: Partial<WptExpectations>
}

function proofWith(wit: Wit, { claims, header, signer = wit.key }: Change): string {
  return signJwsLocally({ ...headerOf(wit), ...header }, { ...claimsOf(wit), ...claims }, signer)
}

function judge(wit: Wit, change: Change): Promise<unknown> {
  return verifyWpt(proofWith(wit, change), { ...expectation(wit), ...change.expected })
}

for (const profile of PROFILES) {
  // [authentication.wpt.10]
  test(`${profile}: a proof as its draft describes it is accepted once`, async () => {
    const wit = witOf(profile)
    const expected = expectation(wit)
    const proof = proofWith(wit, {})
    const verified = await verifyWpt(proof, expected)
    assert.equal(verified.audience, AUDIENCE)
    assert.equal(verified.expiresAt, NOW + 60)
    const named = profile === 'aims-00'
    assert.deepEqual(verified.covers, { method: named, target: named, body: false })
    await assert.rejects(verifyWpt(proof, expected), { code: 'proof.replayed' })
  })

  test(`${profile}: whoever knows neither method nor target nor body learns that nothing was compared`, async () => {
    const wit = witOf(profile)
    const request: ProofRequest = { method: 'POST', target: TARGET, audience: AUDIENCE, body: BODY }
    const { body: _, ...known } = expectation(wit)
    const expected = { ...known, method: undefined, target: undefined }
    const { covers } = await verifyWpt(createWpt(wit, request, { now: NOW }), expected)
    assert.deepEqual(covers, { method: false, target: false, body: false })
  })

  // [authentication.wpt.27] [authentication.aims.05]
  test(`${profile}: our own proof covers method, target and body, and is accepted once`, async () => {
    const wit = witOf(profile)
    const expected = { ...expectation(wit), requireBinding: { method: true, target: true, body: true } }
    const request: ProofRequest = { method: 'POST', target: TARGET, audience: AUDIENCE, body: BODY }
    const proof = createWpt(wit, request, { now: NOW })
    const { covers } = await verifyWpt(proof, expected)
    assert.deepEqual(covers, { method: true, target: true, body: true })
    await assert.rejects(verifyWpt(proof, expected), { code: 'proof.replayed' })
    for (const [change, code] of [
      [{ method: 'PUT' }, 'proof.method_mismatch'],
      [{ target: '/api/v1/events?day=2' }, 'proof.target_mismatch'],
      [{ body: Buffer.from('{"title":"standup!"}') }, 'proof.body_mismatch'],
      [{ body: new Uint8Array() }, 'proof.body_mismatch'],
      [{ audiences: ['https://other.example.com'] }, 'proof.audience_mismatch'],
      [{ now: NOW + 60 }, 'proof.expired'],
    ] as const) {
      await assert.rejects(verifyWpt(proof, { ...expected, ...change }), { code })
    }
  })
}

// [authentication.profile.20]
test('aims-00: our own proof names its WIT by hash, which the profile does not ask for', () => {
  const wit = witOf('aims-00')
  const proof = createWpt(wit, { method: 'GET', target: '/', audience: AUDIENCE }, { now: NOW })
  const claims = JSON.parse(Buffer.from(proof.split('.')[1] ?? '', 'base64url').toString())
  assert.equal(claims.wth, sha256Base64url(wit.token))
})

const hash = sha256Base64url
const other = await domain.wit({ key, path: '/agent/other' })
const strange = WorkloadKey.generate()
const ed = WorkloadKey.generate('EdDSA')
const edWit = await domain.wit({ key: ed, profile: 's2s-03-compat' })

// Every row breaks one thing in a proof that is good otherwise.
const REFUSED: readonly (readonly [string, Profile, Change, string])[] = [
  // [authentication.wpt.06]
  ['E1 wth of another WIT with the same key', 'wimse', { claims: { wth: hash(other.token) } }, 'proof.wit_mismatch'],
  [
    'E2 wth over part of the WIT',
    'wimse',
    { claims: { wth: hash(witOf('wimse').token.slice(0, -1)) } },
    'proof.wit_mismatch',
  ],
  ['E2 wth padded', 'wimse', { claims: { wth: `${hash(witOf('wimse').token)}=` } }, 'proof.wit_mismatch'],
  ['wth that is no text', 'wimse', { claims: { wth: 1 } }, 'proof.wit_mismatch'],
  // [authentication.wpt.02]
  ['E3 another alg that fits another key', 'wimse', { signer: ed }, 'proof.alg_mismatch'],
  // [authentication.wpt.11]
  ['E4 aud of another service', 'wimse', { claims: { aud: 'https://other.example.com' } }, 'proof.audience_mismatch'],
  ['E4 aud with another path', 'wimse', { claims: { aud: `${AUDIENCE}/other` } }, 'proof.audience_mismatch'],
  ['aud that begins like ours', 'wimse', { claims: { aud: `${AUDIENCE}.evil.example` } }, 'proof.audience_mismatch'],
  // [authentication.wpt.30]
  ['aud as a list', 'wimse', { claims: { aud: [AUDIENCE] } }, 'proof.invalid_claim'],
  // [authentication.aims.03]
  ['E6 no aud', 'wimse', { claims: { aud: undefined } }, 'proof.missing_claim'],
  // [authentication.wpt.07]
  ['E6 no exp', 'wimse', { claims: { exp: undefined } }, 'proof.missing_claim'],
  // [authentication.wpt.09]
  ['E6 no jti', 'wimse', { claims: { jti: undefined } }, 'proof.missing_claim'],
  ['E6 no wth', 'wimse', { claims: { wth: undefined } }, 'proof.missing_claim'],
  ['E6 no wth', 'wimse-wpt-01', { claims: { wth: undefined } }, 'proof.missing_claim'],
  ['E6 no wth', 's2s-03-compat', { claims: { wth: undefined } }, 'proof.missing_claim'],
  // [authentication.wpt.31]
  ['jti too short to be unique', 'wimse', { claims: { jti: '1' } }, 'proof.invalid_claim'],
  ['jti too long to be kept', 'wimse', { claims: { jti: 'x'.repeat(257) } }, 'proof.invalid_claim'],
  ['jti that is no text', 'wimse', { claims: { jti: 1234567890123456 } }, 'proof.invalid_claim'],
  ['exp that is now', 'wimse', { claims: { exp: NOW } }, 'proof.expired'],
  ['exp that has passed', 'wimse', { claims: { exp: NOW - 1 } }, 'proof.expired'],
  ['exp as text', 'wimse', { claims: { exp: String(NOW + 60) } }, 'proof.invalid_claim'],
  // [authentication.wpt.08]
  ['E7 exp a day ahead', 'wimse', { claims: { exp: NOW + 86_400 } }, 'proof.lifetime_too_long'],
  ['exp beyond the own limit', 'wimse', { expected: { maxLifetime: 29, clockSkew: 30 } }, 'proof.lifetime_too_long'],
  ['nbf in the future', 'wimse', { claims: { nbf: NOW + 31 } }, 'proof.not_yet_valid'],
  ['iat in the future', 'wimse', { claims: { iat: NOW + 61 } }, 'proof.not_yet_valid'],
  // [authentication.wpt.14]
  ['E10 Txn-Token without tth', 'wimse', { expected: { txnToken: TXN } }, 'proof.txn_token_mismatch'],
  ['E10 tth without Txn-Token', 'wimse', { claims: { tth: hash(TXN) } }, 'proof.txn_token_mismatch'],
  [
    'E10 tth of another',
    'wimse',
    { claims: { tth: hash('other') }, expected: { txnToken: TXN } },
    'proof.txn_token_mismatch',
  ],
  // [authentication.wpt.16]
  [
    'E11 oth names a field that is absent',
    'wimse',
    { claims: { oth: { ctx: hash('c') } } },
    'proof.other_token_mismatch',
  ],
  [
    'E11 oth with a key in another case',
    'wimse',
    { claims: { oth: { Ctx: hash('c') } }, expected: { otherTokens: { ctx: 'c' } } },
    'proof.other_token_mismatch',
  ],
  [
    'E11 oth with one entry too many',
    'wimse',
    { claims: { oth: { ctx: hash('c'), more: hash('m') } }, expected: { otherTokens: { ctx: 'c' } } },
    'proof.other_token_mismatch',
  ],
  [
    'oth with an entry named like something of objects',
    'wimse',
    { claims: { oth: { ctx: hash('c'), constructor: hash('m') } }, expected: { otherTokens: { ctx: 'c' } } },
    'proof.other_token_mismatch',
  ],
  // [authentication.wpt.15] [authentication.wpt.17]
  [
    'E12 a context token that oth does not cover',
    'wimse',
    { expected: { otherTokens: { ctx: 'c' } } },
    'proof.other_token_mismatch',
  ],
  [
    'E12 the second of two context tokens is one that oth does not cover',
    'wimse',
    { claims: { oth: { ctx: hash('c') } }, expected: { otherTokens: { ctx: 'c', more: 'm' } } },
    'proof.other_token_mismatch',
  ],
  [
    'E12 an oth that covers nothing',
    'wimse',
    { claims: { oth: {} }, expected: { otherTokens: { ctx: 'c' } } },
    'proof.other_token_mismatch',
  ],
  ['oth that is null', 'wimse', { claims: { oth: null } }, 'proof.other_token_mismatch'],
  ['oth that is a list', 'wimse', { claims: { oth: [hash('c')] } }, 'proof.other_token_mismatch'],
  [
    'oth as text in a profile that has it as an object',
    'wimse',
    { claims: { oth: hash('c') }, expected: { otherTokens: { ctx: 'c' } } },
    'proof.other_token_mismatch',
  ],
  // [authentication.profile.11]
  [
    'oth as text for two tokens',
    's2s-03-compat',
    { claims: { oth: hash('c') }, expected: { otherTokens: { ctx: 'c', more: 'm' } } },
    'proof.other_token_mismatch',
  ],
  // [authentication.wpt.18]
  ['E13 ath in place of wth', 'wimse', { claims: { wth: undefined, ath: hash(ACCESS) } }, 'proof.missing_claim'],
  // [authentication.wpt-01.03]
  ['an access token without ath', 'wimse-wpt-01', { expected: { accessToken: ACCESS } }, 'proof.access_token_mismatch'],
  ['ath without an access token', 'wimse-wpt-01', { claims: { ath: hash(ACCESS) } }, 'proof.access_token_mismatch'],
  // [authentication.wpt-01.02]
  [
    'ath of another access token',
    's2s-03-compat',
    { claims: { ath: hash('other') }, expected: { accessToken: ACCESS } },
    'proof.access_token_mismatch',
  ],
  // [authentication.wpt.03]
  ['E14 signed by another workload', 'wimse', { signer: strange }, 'proof.invalid_signature'],
  // [authentication.wpt.01] [credentials.jws.05]
  ['E15 the typ of a WIT', 'wimse', { header: { typ: 'wit+jwt' } }, 'proof.wrong_type'],
  ['typ as a media type', 'wimse', { header: { typ: 'application/wpt+jwt' } }, 'proof.wrong_type'],
  ['typ in upper case', 'wimse', { header: { typ: 'WPT+JWT' } }, 'proof.wrong_type'],
  ['I10 no typ', 'aims-00', { header: { typ: undefined } }, 'proof.wrong_type'],
  ['I1 the old typ in a new profile', 'wimse', { header: { typ: 'wimse-proof+jwt' } }, 'proof.wrong_type'],
  // [authentication.profile.09]
  ['the new typ in an old profile', 's2s-03-compat', { header: { typ: 'wpt+jwt' } }, 'proof.wrong_type'],
  // [authentication.wpt.24]
  ['a key in the header', 'wimse', { header: { jwk: {} } }, 'proof.forbidden_header'],
  ['jku in the header', 'wimse', { header: { jku: 'https://evil.example' } }, 'proof.forbidden_header'],
  ['x5c in the header', 'wimse', { header: { x5c: ['AA=='] } }, 'proof.forbidden_header'],
  ['crit', 'wimse', { header: { crit: ['b64'] } }, 'proof.forbidden_header'],
  // [authentication.profile.18]
  ['I4 htm in lower case', 'aims-00', { claims: { htm: 'post' } }, 'proof.method_mismatch'],
  ['I4 htu with another path', 'aims-00', { claims: { htu: '/api/v1/other?day=1' } }, 'proof.target_mismatch'],
  ['I4 htu with another query', 'aims-00', { claims: { htu: '/api/v1/events?day=2' } }, 'proof.target_mismatch'],
  ['I4 htu without the query', 'aims-00', { claims: { htu: '/api/v1/events' } }, 'proof.target_mismatch'],
  [
    'I4 htu on another host',
    'aims-00',
    { claims: { htu: `https://evil.example${TARGET}` }, expected: { origins: [AUDIENCE] } },
    'proof.target_mismatch',
  ],
  [
    'htu on another port, with a target that goes on where our origin ends',
    'aims-00',
    { claims: { htu: `${AUDIENCE}:8443/x` }, expected: { origins: [AUDIENCE], target: ':8443/x' } },
    'proof.target_mismatch',
  ],
  [
    'aud of another host, with a target that goes on where our origin ends',
    'wimse',
    {
      claims: { aud: `${AUDIENCE}.evil.example/x` },
      expected: { origins: [AUDIENCE], target: '.evil.example/x' },
    },
    'proof.audience_mismatch',
  ],
  // [authentication.profile.19]
  ['I5 iat long ago', 'aims-00', { claims: { iat: NOW - 61 } }, 'proof.expired'],
  ['I5 iat in the future', 'aims-00', { claims: { iat: NOW + 61 } }, 'proof.not_yet_valid'],
  ['I5 no iat', 'aims-00', { claims: { iat: undefined } }, 'proof.missing_claim'],
  ['I5 no exp', 'aims-00', { claims: { exp: undefined } }, 'proof.missing_claim'],
  ['exp 301 s after iat', 'aims-00', { claims: { iat: NOW - 30, exp: NOW + 271 } }, 'proof.lifetime_too_long'],
  // [authentication.profile.19]
  ['no jti', 'aims-00', { claims: { jti: undefined } }, 'proof.missing_claim'],
  ['no htm', 'aims-00', { claims: { htm: undefined } }, 'proof.missing_claim'],
  ['no htu', 'aims-00', { claims: { htu: undefined } }, 'proof.missing_claim'],
  ['no iss', 'aims-00', { claims: { iss: undefined } }, 'proof.missing_claim'],
  // [authentication.profile.17]
  ['I9 iss of another workload', 'aims-00', { claims: { iss: other.subject } }, 'proof.issuer_mismatch'],
  // [authentication.profile.17]
  ['kid of another key', 'aims-00', { header: { kid: 'key-1' } }, 'proof.wit_mismatch'],
  ['no kid', 'aims-00', { header: { kid: undefined } }, 'proof.wit_mismatch'],
  // [authentication.profile.20]
  ['wth of another WIT', 'aims-00', { claims: { wth: hash(other.token) } }, 'proof.wit_mismatch'],
  // [authentication.wpt.27]
  ['htm of another method', 'wimse', { claims: { htm: 'GET' } }, 'proof.method_mismatch'],
  ['htu of another target', 'wimse', { claims: { htu: '/' } }, 'proof.target_mismatch'],
  ['htm that is no text', 'wimse', { claims: { htm: ['POST'] } }, 'proof.invalid_claim'],
  [
    'the digest of another body',
    'wimse',
    { claims: { [BODY_DIGEST_CLAIM]: bodyDigest(Buffer.from('x')) } },
    'proof.body_mismatch',
  ],
  [
    'a digest by another name of the hash',
    'wimse',
    { claims: { [BODY_DIGEST_CLAIM]: 'md5=:AA==:' } },
    'proof.body_mismatch',
  ],
  [
    'no htm where the service requires it',
    'wimse',
    { expected: { requireBinding: { method: true } } },
    'proof.binding_missing',
  ],
  [
    'no htu where the service requires it',
    'wimse',
    { expected: { requireBinding: { target: true } } },
    'proof.binding_missing',
  ],
  [
    'no digest where the service requires it',
    'wimse',
    { expected: { requireBinding: { body: true } } },
    'proof.binding_missing',
  ],
]

for (const [what, profile, change, code] of REFUSED) {
  test(`${profile}: refuses ${what}`, async () => {
    await assert.rejects(judge(witOf(profile), change), { name: 'AimsError', code })
  })
}

const ACCEPTED: readonly (readonly [string, Profile, Change])[] = [
  ['exp at the limit', 'wimse', { claims: { exp: NOW + 300 } }],
  ['iat of a clock that is a minute ahead', 'wimse', { claims: { iat: NOW + 60 } }],
  // [authentication.wpt.18]
  ['a claim nobody knows', 'wimse', { claims: { 'https://example.org/x': { a: 1 } } }],
  ['E13 ath, which means nothing any more', 'wimse', { claims: { ath: hash('whatever') } }],
  ['a kid nobody asked for', 'wimse', { header: { kid: 'x' } }],
  ['tth of the Txn-Token', 'wimse', { claims: { tth: hash(TXN) }, expected: { txnToken: TXN } }],
  [
    'oth of tokens, without the blanks around them',
    'wimse',
    { claims: { oth: { ctx: hash('c'), more: hash('m') } }, expected: { otherTokens: { ctx: ' c\t', more: 'm' } } },
  ],
  [
    'oth of a field the service did not ask for, but finds',
    'wimse',
    {
      claims: { oth: { 'x-extra': hash('e') } },
      expected: { findField: (field) => (field === 'x-extra' ? 'e' : undefined) },
    },
  ],
  // [authentication.wpt-01.02]
  ['ath of the access token', 'wimse-wpt-01', { claims: { ath: hash(ACCESS) }, expected: { accessToken: ACCESS } }],
  ['oth as text', 's2s-03-compat', { claims: { oth: hash('c') }, expected: { otherTokens: { ctx: 'c' } } }],
  [
    'htu on an origin of ours',
    'aims-00',
    { claims: { htu: `${AUDIENCE}${TARGET}` }, expected: { origins: [AUDIENCE] } },
  ],
  [
    'aud that is the target URI',
    'wimse',
    { claims: { aud: `${AUDIENCE}/api/v1/events` }, expected: { origins: [AUDIENCE] } },
  ],
  ['no digest for no body', 'wimse', { expected: { body: new Uint8Array(), requireBinding: { body: true } } }],
]

for (const [what, profile, change] of ACCEPTED) {
  test(`${profile}: accepts ${what}`, async () => {
    await assert.doesNotReject(judge(witOf(profile), change))
  })
}

// [authentication.wpt.02]
test('E3: the two names of Ed25519 signatures are two algorithms', async () => {
  const alias = new WorkloadKey(ed.tlsKey, { alg: 'Ed25519' })
  await assert.doesNotReject(judge(edWit, {}))
  await assert.rejects(judge(edWit, { signer: alias }), { code: 'proof.alg_mismatch' })
})

// [authentication.wpt.10] [credentials.jws.09]
test('E5: a proof that is signed anew with the same jti is the same proof', async () => {
  const wit = witOf('wimse')
  const expected = expectation(wit)
  await verifyWpt(proofWith(wit, {}), expected)
  await assert.rejects(verifyWpt(proofWith(wit, { claims: { iat: NOW } }), expected), { code: 'proof.replayed' })
})

// [authentication.wpt.26] [credentials.jws.09]
test('E5: the mirrored ECDSA signature is the same proof', async () => {
  const wit = witOf('wimse')
  const expected = expectation(wit)
  const proof = proofWith(wit, {})
  const dot = proof.lastIndexOf('.')
  const signature = Buffer.from(proof.slice(dot + 1), 'base64url')
  const n = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n
  const s = BigInt(`0x${signature.subarray(32).toString('hex')}`)
  const twin = Buffer.concat([signature.subarray(0, 32), Buffer.from((n - s).toString(16).padStart(64, '0'), 'hex')])
  await verifyWpt(proof, expected)
  const code = 'proof.replayed'
  await assert.rejects(verifyWpt(`${proof.slice(0, dot)}.${twin.toString('base64url')}`, expected), { code })
})

// [credentials.jws.09]
test('E5: a proof refused for another reason does not use up its jti', async () => {
  const wit = witOf('wimse')
  const expected = expectation(wit)
  const proof = createWpt(wit, { method: 'POST', target: TARGET, audience: AUDIENCE, body: BODY }, { now: NOW })
  await assert.rejects(verifyWpt(proof, { ...expected, method: 'GET' }), { code: 'proof.method_mismatch' })
  await assert.rejects(verifyWpt(proof, { ...expected, body: Buffer.from('x') }), { code: 'proof.body_mismatch' })
  await assert.doesNotReject(verifyWpt(proof, expected))
})

test('two holders may use the same jti', async () => {
  const expected = expectation(witOf('wimse'))
  const another = await domain.wit()
  await verifyWpt(proofWith(witOf('wimse'), {}), expected)
  await assert.doesNotReject(verifyWpt(proofWith(another, {}), { ...expected, wit: domain.verify(another) }))
})

test('of a thousand uses of one proof at once, one is accepted', async () => {
  const wit = witOf('wimse')
  const expected = expectation(wit)
  const proof = proofWith(wit, {})
  const results = await Promise.allSettled(Array.from({ length: 1000 }, () => verifyWpt(proof, expected)))
  assert.equal(results.filter(({ status }) => status === 'fulfilled').length, 1)
})

// [authentication.wpt.25]
test('a store that fails, or answers something odd, refuses the proof', async () => {
  const wit = witOf('wimse')
  const full = new AimsError('proof.replay_store_full', 'full')
  const isFresh = (): boolean => true
  const asking = (consume: ReplayStore['consume']) => judge(wit, { expected: { replays: { consume, isFresh } } })
  await assert.rejects(
    asking(() => Promise.reject(full)),
    full,
  )
  await assert.rejects(
    asking(() => Promise.resolve(1 as never)),
    { code: 'proof.replayed' },
  )
})

// [authentication.profile.05]
test('a WIT that was verified under another profile is refused', async () => {
  const wit = domain.verify(witOf('wimse-wpt-01'))
  await assert.rejects(judge(witOf('wimse'), { expected: { wit } }), { code: 'authentication.mixed_profiles' })
})

// [authentication.wpt.28] [credentials.jws.02]
test('what is not a compact JWS is refused as such', async () => {
  const wit = witOf('wimse')
  const good = proofWith(wit, {})
  const [header = '', payload = '', signature = ''] = good.split('.')
  const encode = (text: string): string => Buffer.from(text).toString('base64url')
  for (const [proof, code] of [
    ['', 'proof.malformed'],
    [`${good}=`, 'proof.malformed'],
    [`${good}.x`, 'proof.malformed'],
    [` ${good}`, 'proof.malformed'],
    [`${header}.${payload}.`, 'proof.malformed'],
    [`${header}.${encode('{"a":1,"a":2}')}.${signature}`, 'proof.malformed'],
    [`${header}.${encode('[]')}.${signature}`, 'proof.malformed'],
    [`${encode('{"typ":"wpt+jwt","alg":"none"}')}.${payload}.${signature}`, 'proof.alg_mismatch'],
    [`${encode('{"typ":"wpt+jwt","alg":"HS256"}')}.${payload}.${signature}`, 'proof.alg_mismatch'],
    [`${header}.${'A'.repeat(9000)}.${signature}`, 'proof.too_large'],
  ] as const) {
    await assert.rejects(verifyWpt(proof, expectation(wit)), { name: 'AimsError', code }, proof.slice(0, 60))
  }
})

// [credentials.jws.12]
test('any change of one character is refused, with a code of this layer', async () => {
  const wit = witOf('wimse')
  const good = proofWith(wit, {})
  const change = fc.tuple(fc.nat(good.length - 1), fc.constantFrom(...'AZaz09-_.=+/ {"'))
  await fc.assert(
    fc.asyncProperty(change, async ([at, character]) => {
      const proof = good.slice(0, at) + character + good.slice(at + 1)
      fc.pre(proof !== good)
      await assert.rejects(verifyWpt(proof, expectation(wit)), { name: 'AimsError', code: /^proof\./ })
    }),
    { numRuns: 300 },
  )
})

test('a proof cannot be made that verifiers refuse', () => {
  const request = { method: 'GET', target: '/', audience: AUDIENCE }
  for (const lifetime of [0, -1, 301, Number.NaN]) {
    assert.throws(() => createWpt(witOf('wimse'), request, { now: NOW, lifetime }), TypeError)
  }
  assert.throws(() => createWpt(witOf('wimse'), { ...request, accessToken: ACCESS }, { now: NOW }), TypeError)
  assert.throws(() => createWpt(witOf('wimse'), { ...request, otherTokens: { Ctx: 'c' } }, { now: NOW }), TypeError)
})

// [authentication.wpt.09]
test('no two proofs have the same jti, in one form for all tokens they bind', async () => {
  const wit = witOf('wimse-wpt-01')
  const request = {
    method: 'GET',
    target: '/',
    audience: AUDIENCE,
    accessToken: ACCESS,
    txnToken: TXN,
    otherTokens: { ctx: ' c ' },
  }
  const ids = new Set<string>()
  for (let i = 0; i < 600; i += 1) {
    const proof = createWpt(wit, request, { now: NOW })
    ids.add(JSON.parse(Buffer.from(proof.split('.')[1] ?? '', 'base64url').toString()).jti)
  }
  assert.equal(ids.size, 600)
  const change = { accessToken: ACCESS, txnToken: TXN, otherTokens: { ctx: 'c' }, method: 'GET', target: '/' }
  const proof = createWpt(wit, request, { now: NOW })
  await assert.doesNotReject(verifyWpt(proof, { ...expectation(wit), ...change }))
  const code = 'proof.other_token_mismatch'
  await assert.rejects(verifyWpt(proof, { ...expectation(wit), ...change, otherTokens: { ctx: 'd' } }), { code })
})

test('a WIT that verifyWit has not made is a mistake of the caller, whatever it looks like', async () => {
  const wit = witOf('wimse')
  const expected = expectation(wit)
  const { token, hash } = expected.wit
  for (const other of [
    { ...expected.wit, token, hash },
    structuredClone({ ...expected.wit, token, hash }),
    Object.create(expected.wit),
    wit,
  ]) {
    await assert.rejects(verifyWpt(proofWith(wit, {}), { ...expected, wit: other }), TypeError)
  }
  assert.equal((await verifyWpt(proofWith(wit, {}), expected)).kind, 'verified-proof')
})

test('expectations that would leave a check out are misuse', async () => {
  const wit = witOf('wimse')
  const expired = proofWith(wit, { claims: { exp: NOW - 1 } })
  const misused: readonly Partial<WptExpectations>[] = [
    { now: Number.NaN },
    { now: undefined as never },
    { now: String(NOW) as never },
    { clockSkew: Number.NaN },
    { clockSkew: '5' as never },
    { maxLifetime: Number.NaN },
    { audiences: AUDIENCE as never },
  ]
  for (const expected of misused) {
    await assert.rejects(verifyWpt(expired, { ...expectation(wit), ...expected }), TypeError)
  }
})
