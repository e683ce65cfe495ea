import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { test } from 'node:test'
import { compactVerify } from 'jose'
import { AimsError, type AimsErrorCode } from '../../base/errors.ts'
import { type Signer, WorkloadKey } from '../../base/keys.ts'
import { parseSpiffeId, type SpiffeId } from '../../identifiers/spiffe-id.ts'
import { parseWimseId } from '../../identifiers/wimse-id.ts'
import { PROFILES, type Profile } from '../profile.ts'
import { decodeUnverifiedWit } from './decode.ts'
import { issueWit, type WitRequest } from './issue.ts'

const signer = WorkloadKey.generate()
const holder = WorkloadKey.generate()
const ed = WorkloadKey.generate('EdDSA')

const good: WitRequest = {
  subject: parseSpiffeId('spiffe://example.com/agent/calendar-bot'),
  publicKey: holder.publicKey,
  now: 1_700_000_000.7,
  ttl: 3600,
}

const aims = {
  profile: 'aims-00',
  issuer: 'https://spire.example.com',
  audiences: ['https://api.example.com'],
} as const

test('the default WIT is a WIT-SVID: header and claims as the standard lists them [credentials.wit-svid.01]', async () => {
  const { token, expiresAt, id } = await issueWit(good, signer)
  const { header, claims } = decodeUnverifiedWit(token)
  assert.deepEqual({ ...header }, { kid: signer.kid, typ: 'wit+jwt', alg: 'ES256' })
  assert.deepEqual(Object.keys(claims), ['sub', 'exp', 'iat', 'jti', 'cnf'])
  assert.deepEqual([claims.sub, claims.exp, claims.iat], [good.subject, 1_700_003_600, 1_700_000_000])
  assert.equal(expiresAt, 1_700_003_600)
  assert.equal(claims.jti, id)
  const { x, y } = holder.publicKey.export({ format: 'jwk' })
  assert.deepEqual(JSON.parse(JSON.stringify(claims.cnf)), { jwk: { kty: 'EC', x, y, crv: 'P-256', alg: 'ES256' } })
})

test('another JOSE library verifies it', async () => {
  const { token } = await issueWit(good, signer)
  const { protectedHeader } = await compactVerify(token, signer.publicKey)
  assert.equal(protectedHeader.typ, 'wit+jwt')
})

test('an aims-00 WIT has the members of the overview page, and the key beside its kid', async () => {
  const { token } = await issueWit({ ...good, ...aims }, signer)
  const { typ, claims } = decodeUnverifiedWit(token)
  assert.equal(typ, 'wimse-id+jwt')
  assert.deepEqual(Object.keys(claims), ['iss', 'sub', 'aud', 'exp', 'iat', 'jti', 'cnf'])
  assert.deepEqual([claims.iss, claims.aud], ['https://spire.example.com', ['https://api.example.com']])
  assert.equal(JSON.parse(JSON.stringify(claims.cnf)).kid, holder.kid)
})

test('each profile has its typ', async () => {
  const typs: { [profile in Profile]?: string | undefined } = {}
  for (const profile of PROFILES) {
    const { token } = await issueWit({ ...good, ...(profile === 'aims-00' ? aims : { profile }) }, signer)
    typs[profile] = decodeUnverifiedWit(token).typ
  }
  assert.deepEqual(typs, {
    wimse: 'wit+jwt',
    'wimse-wpt-01': 'wit+jwt',
    's2s-03-compat': 'wimse-id+jwt',
    'aims-00': 'wimse-id+jwt',
  })
})

test('two WITs never share a jti', async () => {
  const ids = await Promise.all(Array.from({ length: 50 }, async () => (await issueWit(good, signer)).id))
  assert.equal(new Set(ids).size, 50)
  assert.equal((await issueWit({ ...good, id: 'mine' }, signer)).id, 'mine')
})

test('Ed25519 keys are for WITs that are no WIT-SVIDs', async () => {
  const wimse = { ...good, subject: parseWimseId('wimse://example.com/agent'), publicKey: ed.publicKey }
  assert.equal(decodeUnverifiedWit((await issueWit(wimse, ed)).token).alg, 'EdDSA')
  const named = await issueWit({ ...wimse, confirmationAlg: 'Ed25519' }, ed)
  assert.match(JSON.stringify(decodeUnverifiedWit(named.token).claims.cnf), /"alg":"Ed25519"/)
})

// One row per WIT that could not be verified anywhere.
const REFUSED: readonly (readonly [why: string, change: Partial<WitRequest>, by: Signer, code: AimsErrorCode])[] = [
  ['signed with Ed25519 [credentials.wit-svid.03]', {}, ed, 'credential.unsupported_alg'],
  ['confirming an Ed25519 key', { publicKey: ed.publicKey }, signer, 'credential.forbidden_confirmation_alg'],
  [
    'so in the profile before',
    { profile: 'wimse-wpt-01', publicKey: ed.publicKey },
    signer,
    'credential.forbidden_confirmation_alg',
  ],
  ['with an algorithm that does not fit the key', { confirmationAlg: 'ES384' }, signer, 'key.alg_mismatch'],
  [
    'for a short RSA key',
    { publicKey: generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey },
    signer,
    'key.unsupported',
  ],
  ['for a key agreement key', { publicKey: generateKeyPairSync('x25519').publicKey }, signer, 'key.unsupported'],
  [
    'for a private key',
    { publicKey: generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey },
    signer,
    'key.private',
  ],
]

for (const [why, change, by, code] of REFUSED) {
  test(`a WIT ${why} is not issued`, async () => {
    await assert.rejects(issueWit({ ...good, ...change }, by), (error) => AimsError.is(error) && error.code === code)
  })
}

const withoutKid: Signer = { alg: 'ES256', publicKey: signer.publicKey, sign: (data) => signer.sign(data) }

const MISUSED: readonly (readonly [why: string, change: Partial<WitRequest>, by: Signer])[] = [
  ['a signer without kid', {}, withoutKid],
  ['a TTL of nothing', { ttl: 0 }, signer],
  ['a negative TTL', { ttl: -1 }, signer],
  ['a TTL with a fraction', { ttl: 0.5 }, signer],
  ['an endless TTL', { ttl: Number.POSITIVE_INFINITY }, signer],
  ['no time', { now: Number.NaN }, signer],
  ['audiences where the profile has none', { audiences: ['https://api.example.com'] }, signer],
  ['aims-00 without issuer', { profile: 'aims-00', audiences: ['a'] }, signer],
  ['aims-00 without audiences', { ...aims, audiences: [] }, signer],
]

for (const [why, change, by] of MISUSED) {
  test(`issuing with ${why} is misuse`, () => assert.rejects(issueWit({ ...good, ...change }, by), TypeError))
}

for (const [text, code] of [
  ['spiffe://example.com', 'identifier.missing_path'],
  ['spiffe://example.com/a/../admin', 'identifier.dot_segment'],
  ['spiffe://example.com/a\0', 'identifier.bad_path_char'],
  ['spiffe://example.com/a, URI:spiffe://example.com/b', 'identifier.bad_path_char'],
] as const) {
  test(`a subject that was cast and not parsed is not certified: ${JSON.stringify(text)}`, async () => {
    await assert.rejects(issueWit({ ...good, subject: text as SpiffeId }, signer), { code })
  })
}
