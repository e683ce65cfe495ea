import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { test } from 'node:test'
import { inspect } from 'node:util'
import fc from 'fast-check'
import { assertRefused, forge, type Part } from '../../../../../test/support/tokens.ts'
import type { JwsAlgorithm } from '../../base/algorithms.ts'
import { sha256Base64url } from '../../base/bytes.ts'
import { AimsError } from '../../base/errors.ts'
import { exportPublicJwk, type LocalSigner, verificationKey, WorkloadKey } from '../../base/keys.ts'
import { parseTrustDomain } from '../../identifiers/trust-domain.ts'
import type { TrustBundle } from '../bundle/bundle.ts'
import { bundleSource, emptyBundle } from '../bundle/source.ts'
import { verifyJwtSvid } from '../jwt-svid/verify.ts'
import { PROFILES, type Profile } from '../profile.ts'
import { decodeUnverifiedWit } from './decode.ts'
import { type IssuedToken, issueWit } from './issue.ts'
import { verifyWit, type WitExpectations } from './verify.ts'

const NOW = 1_700_000_000
const ISSUER = 'https://issuer.example.com'
const AUDIENCE = 'https://api.example.com'
const trustDomain = parseTrustDomain('example.com')
const otherDomain = parseTrustDomain('other.example')

const signer = WorkloadKey.generate()
const second = WorkloadKey.generate()
const foreign = WorkloadKey.generate()
const jwtSigner = WorkloadKey.generate()
const holder = WorkloadKey.generate()
const jwk = exportPublicJwk(holder.publicKey, { alg: 'ES256' })

function authority(key: LocalSigner): [string, ReturnType<typeof verificationKey>] {
  const kid = key.kid ?? ''
  return [kid, verificationKey(key.publicKey, { kid, alg: key.alg })]
}

function bundleOf(...keys: readonly LocalSigner[]): TrustBundle {
  return {
    ...emptyBundle(trustDomain),
    witAuthorities: new Map(keys.map(authority)),
    jwtAuthorities: new Map([authority(jwtSigner)]),
  }
}

const bundles = bundleSource(bundleOf(signer, second), {
  ...emptyBundle(otherDomain),
  witAuthorities: new Map([authority(foreign)]),
})

const good: WitExpectations = { bundles, profile: 'wimse', now: NOW, trustDomain }

interface Change {
  readonly header?: { readonly [member: string]: unknown }
  readonly claims?: { readonly [member: string]: unknown }
  /** The claims exactly as they shall stand. */
  readonly text?: Part
  readonly signer?: LocalSigner
  readonly expected?: Partial<WitExpectations>
}

// A WIT as another implementation might make it.
function tokenWith({ header, claims, text, signer: key = signer }: Change): string {
  const sound = { sub: 'spiffe://example.com/agent/bot', exp: NOW + 3600, iat: NOW, jti: 'one', cnf: { jwk } }
  return forge({ alg: key.alg, typ: 'wit+jwt', kid: key.kid, ...header }, text ?? { ...sound, ...claims }, key)
}

function judge(change: Change): ReturnType<typeof verifyWit> {
  return verifyWit(tokenWith(change), { ...good, ...change.expected })
}

test('a sound WIT is verified, and tells subject, key and expiry [credentials.wit.01, credentials.wit.06, credentials.wit.08]', () => {
  const token = tokenWith({ claims: { iss: ISSUER } })
  const wit = verifyWit(token, good)
  assert.equal(wit.kind, 'verified-wit')
  assert.equal(wit.profile, 'wimse')
  assert.equal(wit.subject, 'spiffe://example.com/agent/bot')
  assert.equal(wit.trustDomain, 'example.com')
  assert.equal(wit.expiresAt, NOW + 3600)
  assert.equal(wit.id, 'one')
  assert.equal(wit.issuer, ISSUER)
  assert.equal(wit.confirmation.alg, 'ES256')
  assert.equal(wit.confirmation.key.equals(holder.publicKey), true)
  assert.equal(wit.token, token)
  assert.equal(wit.hash, sha256Base64url(token))
  assert.ok(!inspect(wit, { showHidden: true, depth: 9 }).includes(token))
})

// One row per thing that is unusual and allowed.
const ACCEPTED: readonly (readonly [why: string, change: Change])[] = [
  ['with unknown claims [credentials.wit.10]', { claims: { role: 'admin', 'https://example.com/x': [1] } }],
  ['with an aud, which WIMSE does not define', { claims: { aud: 'anybody' } }],
  ['with an unknown header', { header: { 'x-build': 7 } }],
  ['without iat and jti', { claims: { iat: undefined, jti: undefined } }],
  [
    'of a WIMSE identifier, by an authority for WIMSE identifiers',
    {
      claims: { sub: 'wimse://example.com/agent/bot' },
      expected: { bundles: bundleSource({ ...bundleOf(signer), scheme: 'wimse' }) },
    },
  ],
  ['in its last second', { expected: { now: NOW + 3599 } }],
  ['with a fraction of a second', { claims: { exp: NOW + 0.5 } }],
  ['issued 30 s ahead of our clock', { claims: { iat: NOW + 30, exp: NOW + 60 } }],
  ['valid 30 s ahead of our clock', { claims: { nbf: NOW + 30 } }],
  ['from a day ago and valid today', { claims: { iat: NOW - 86_000, exp: NOW + 1 } }],
  ['of the other authority', { signer: second }],
  ['from one of several trust domains', { expected: { trustDomains: [otherDomain, trustDomain] } }],
  [
    'with the expected iss',
    { claims: { iss: ISSUER }, expected: { issuer: ISSUER, issuers: { 'example.com': [ISSUER] } } },
  ],
  [
    'without kid, when one key alone may be meant',
    { header: { kid: undefined }, expected: { bundles: bundleSource(bundleOf(signer)) } },
  ],
  ['whose cnf has more than the key', { claims: { cnf: { jwk, kid: 'ignored' } } }],
]

for (const [why, change] of ACCEPTED) test(`a WIT ${why} is accepted`, () => void assert.ok(judge(change)))

const { alg: _, ...jwkWithoutAlg } = jwk
const ed = WorkloadKey.generate('EdDSA')

// One row per way to be refused: the change to the sound WIT, and the code it must produce.
const REFUSED: readonly (readonly [why: string, change: Change, code: string])[] = [
  [
    'of a WIMSE identifier, by an authority for SPIFFE IDs',
    { claims: { sub: 'wimse://example.com/agent/bot' } },
    'credential.untrusted_domain',
  ],
  ['with typ JWT [credentials.wit.01]', { header: { typ: 'JWT' } }, 'credential.wrong_type'],
  ['with typ wimse-id+jwt', { header: { typ: 'wimse-id+jwt' } }, 'credential.wrong_type'],
  ['with typ wpt+jwt', { header: { typ: 'wpt+jwt' } }, 'credential.wrong_type'],
  ['with typ as a media type', { header: { typ: 'application/wit+jwt' } }, 'credential.wrong_type'],
  ['with typ in upper case', { header: { typ: 'WIT+JWT' } }, 'credential.wrong_type'],
  ['without typ', { header: { typ: undefined } }, 'credential.wrong_type'],
  ['with a wrong typ and alg none', { header: { typ: 'JWT', alg: 'none' } }, 'credential.wrong_type'],
  ['of alg none [credentials.wit.02]', { header: { alg: 'none' } }, 'credential.unsupported_alg'],
  ['of alg HS256', { header: { alg: 'HS256' } }, 'credential.unsupported_alg'],
  ['naming another algorithm than its key', { header: { alg: 'ES384' } }, 'credential.invalid_signature'],
  ['with an embedded key', { header: { jwk } }, 'credential.forbidden_header'],
  ['with jku', { header: { jku: 'https://attacker.example' } }, 'credential.forbidden_header'],
  ['with an unknown crit', { header: { crit: ['x'], x: 1 } }, 'credential.forbidden_header'],
  ['that is too long', { claims: { x: 'x'.repeat(8000) } }, 'credential.too_large'],
  ['whose claims are no JSON', { text: 'hello' }, 'credential.malformed'],
  [
    'with sub twice',
    { text: `{"sub":"spiffe://example.com/a","sub":"spiffe://example.com/b","exp":${NOW + 9}}` },
    'credential.malformed',
  ],
  ['without sub [credentials.wit.04]', { claims: { sub: undefined } }, 'credential.missing_claim'],
  [
    'with sub in an array [credentials.wit.20]',
    { claims: { sub: ['spiffe://example.com/a', 'spiffe://example.com/b'] } },
    'credential.invalid_subject',
  ],
  ['whose sub is no identifier', { claims: { sub: 'https://example.com/agent' } }, 'credential.invalid_subject'],
  ['whose sub is a trust domain', { claims: { sub: 'spiffe://example.com' } }, 'credential.invalid_subject'],
  ['whose sub is not canonical', { claims: { sub: 'spiffe://Example.com/agent' } }, 'credential.invalid_subject'],
  ['whose sub climbs', { claims: { sub: 'spiffe://example.com/a/../b' } }, 'credential.invalid_subject'],
  // [identifiers.wimse-id.11]
  [
    'of another trust domain than expected',
    { claims: { sub: 'spiffe://other.example/agent' } },
    'credential.wrong_trust_domain',
  ],
  [
    'of none of the trust domains expected',
    { expected: { trustDomains: [otherDomain] } },
    'credential.wrong_trust_domain',
  ],
  ['of no trust domain, when none is expected', { expected: { trustDomains: [] } }, 'credential.wrong_trust_domain'],
  [
    'of a trust domain without a bundle [credentials.wit.13]',
    { expected: { bundles: bundleSource() } },
    'credential.untrusted_domain',
  ],
  [
    'of a trust domain without keys [credentials.bundle.01]',
    { expected: { bundles: bundleSource(emptyBundle(trustDomain)) } },
    'credential.unknown_key',
  ],
  ['of another domain’s issuer in our name', { signer: foreign }, 'credential.unknown_key'],
  [
    'signed by another domain’s key under our kid',
    { signer: foreign, header: { kid: signer.kid } },
    'credential.invalid_signature',
  ],
  ['with an unknown kid [credentials.wit.03]', { header: { kid: 'unknown' } }, 'credential.unknown_key'],
  ['with the kid of the other authority', { header: { kid: second.kid } }, 'credential.invalid_signature'],
  ['without kid when two keys may be meant', { header: { kid: undefined } }, 'credential.missing_kid'],
  ['with an empty kid', { header: { kid: '' } }, 'credential.unknown_key'],
  // [credentials.wit-svid.12]
  ['of a JWT-SVID key', { signer: jwtSigner }, 'credential.unknown_key'],
  ['without exp [credentials.wit.05]', { claims: { exp: undefined } }, 'credential.missing_claim'],
  ['whose exp is a string', { claims: { exp: String(NOW + 60) } }, 'credential.invalid_claim'],
  ['whose exp is null', { claims: { exp: null } }, 'credential.invalid_claim'],
  ['whose exp is negative', { claims: { exp: -1 } }, 'credential.invalid_claim'],
  ['whose exp overflows', { text: '{"sub":"spiffe://example.com/a","exp":1e400}' }, 'credential.malformed'],
  [
    'whose exp is beyond 2^53',
    { text: '{"sub":"spiffe://example.com/a","exp":99999999999999999999}' },
    'credential.invalid_claim',
  ],
  // [credentials.aims.04]
  ['at the second it expires', { expected: { now: NOW + 3600 } }, 'credential.expired'],
  ['a fraction of a second later', { expected: { now: NOW + 3600.001 } }, 'credential.expired'],
  ['after it expired, whatever the leeway', { expected: { now: NOW + 3601, clockSkew: 120 } }, 'credential.expired'],
  ['issued 31 s ahead of our clock', { claims: { iat: NOW + 31 } }, 'credential.issued_in_future'],
  [
    'issued 1 s ahead, without leeway',
    { claims: { iat: NOW + 1 }, expected: { clockSkew: 0 } },
    'credential.issued_in_future',
  ],
  ['not valid for 31 s', { claims: { nbf: NOW + 31 } }, 'credential.not_yet_valid'],
  ['whose iat is a string', { claims: { iat: 'now' } }, 'credential.invalid_claim'],
  [
    'living a second more than a day [credentials.wit.16]',
    { claims: { exp: NOW + 86_401 } },
    'credential.lifetime_too_long',
  ],
  [
    'living ten years without iat',
    { claims: { iat: undefined, exp: NOW + 315_360_000 } },
    'credential.lifetime_too_long',
  ],
  ['living longer than this service accepts', { expected: { maxLifetime: 600 } }, 'credential.lifetime_too_long'],
  [
    'with another iss than expected',
    { claims: { iss: 'https://attacker.example' }, expected: { issuer: ISSUER } },
    'credential.issuer_mismatch',
  ],
  ['without the iss expected', { expected: { issuer: ISSUER } }, 'credential.issuer_mismatch'],
  // [credentials.wit.15]
  [
    'whose iss is not on the domain’s list',
    { claims: { iss: ISSUER }, expected: { issuers: { 'example.com': [] } } },
    'credential.issuer_mismatch',
  ],
  [
    'of a domain that has no list',
    { claims: { iss: ISSUER }, expected: { issuers: { 'other.example': [ISSUER] } } },
    'credential.issuer_mismatch',
  ],
  [
    'whose iss is on the list but not the one',
    {
      claims: { iss: 'https://b.example' },
      expected: { issuer: ISSUER, issuers: { 'example.com': ['https://b.example'] } },
    },
    'credential.issuer_mismatch',
  ],
  ['whose iss is an array', { claims: { iss: [ISSUER] }, expected: { issuer: ISSUER } }, 'credential.invalid_claim'],
  ['whose jti is a number', { claims: { jti: 7 } }, 'credential.invalid_claim'],
  ['without cnf [credentials.wit.06]', { claims: { cnf: undefined } }, 'credential.missing_confirmation'],
  ['whose cnf is a string', { claims: { cnf: 'key-1' } }, 'credential.invalid_confirmation'],
  ['whose cnf is null', { claims: { cnf: null } }, 'credential.invalid_confirmation'],
  ['whose cnf is empty', { claims: { cnf: {} } }, 'credential.invalid_confirmation'],
  ['whose cnf has only a kid', { claims: { cnf: { kid: 'key-1' } } }, 'credential.invalid_confirmation'],
  ['whose cnf.jwk is a list', { claims: { cnf: { jwk: [jwk] } } }, 'credential.invalid_confirmation'],
  [
    'whose cnf.jwk is for encryption',
    { claims: { cnf: { jwk: { ...jwk, use: 'enc' } } } },
    'credential.invalid_confirmation',
  ],
  [
    'whose cnf.jwk may not verify',
    { claims: { cnf: { jwk: { ...jwk, key_ops: ['deriveKey'] } } } },
    'credential.invalid_confirmation',
  ],
  [
    'whose cnf.jwk has the private key',
    { claims: { cnf: { jwk: { ...jwk, d: jwk.x } } } },
    'credential.invalid_confirmation',
  ],
  [
    'whose cnf.jwk is off its curve',
    { claims: { cnf: { jwk: { ...jwk, y: jwk.x } } } },
    'credential.invalid_confirmation',
  ],
  [
    'whose cnf.jwk has no alg [credentials.wit.07]',
    { claims: { cnf: { jwk: jwkWithoutAlg } } },
    'credential.missing_confirmation_alg',
  ],
  [
    'whose cnf.jwk.alg is none',
    { claims: { cnf: { jwk: { ...jwk, alg: 'none' } } } },
    'credential.forbidden_confirmation_alg',
  ],
  [
    'whose cnf.jwk.alg is symmetric',
    { claims: { cnf: { jwk: { ...jwk, alg: 'HS256' } } } },
    'credential.forbidden_confirmation_alg',
  ],
  [
    'whose cnf.jwk.alg encrypts',
    { claims: { cnf: { jwk: { ...jwk, alg: 'RSA-OAEP' } } } },
    'credential.forbidden_confirmation_alg',
  ],
  [
    'whose cnf.jwk.alg does not fit the key',
    { claims: { cnf: { jwk: { ...jwk, alg: 'ES384' } } } },
    'credential.forbidden_confirmation_alg',
  ],
  [
    'whose cnf.jwk.alg is a list',
    { claims: { cnf: { jwk: { ...jwk, alg: ['ES256'] } } } },
    'credential.forbidden_confirmation_alg',
  ],
  ['with a kid beyond ASCII', { header: { kid: 'ü' } }, 'credential.unknown_key'],
]

for (const [why, change, code] of REFUSED) {
  test(`a WIT ${why} is refused`, () =>
    assertRefused(() => judge(change), code, ['example.com/', ISSUER, jwk.x ?? '-']))
}

test('an Ed25519 WIT is a WIT, of whichever name its key has', () => {
  for (const alg of ['EdDSA', 'Ed25519'] as const) {
    const issuer = WorkloadKey.generate(alg)
    const expected = { bundles: bundleSource(bundleOf(issuer)) }
    const cnf = { jwk: exportPublicJwk(ed.publicKey, { alg }) }
    assert.equal(judge({ signer: issuer, claims: { cnf }, expected }).confirmation.alg, alg)
    const otherName = alg === 'EdDSA' ? 'Ed25519' : 'EdDSA'
    assertRefused(() => judge({ signer: issuer, header: { alg: otherName }, expected }), 'credential.invalid_signature')
  }
})

// WIT-SVID is stricter than WIT: each row is a WIT that is none.
const NOT_SVID: readonly (readonly [why: string, change: Change, code: string])[] = [
  [
    'without kid [credentials.wit-svid.01]',
    { header: { kid: undefined }, expected: { bundles: bundleSource(bundleOf(signer)) } },
    'credential.missing_kid',
  ],
  [
    'signed with EdDSA [credentials.wit-svid.03]',
    { signer: ed, expected: { bundles: bundleSource(bundleOf(ed)) } },
    'credential.unsupported_alg',
  ],
  [
    'confirming an Ed25519 key',
    { claims: { cnf: { jwk: exportPublicJwk(ed.publicKey, { alg: 'EdDSA' }) } } },
    'credential.forbidden_confirmation_alg',
  ],
  [
    'of a wimse:// subject [credentials.wit-svid.05]',
    { claims: { sub: 'wimse://example.com/agent/bot' } },
    'credential.invalid_subject',
  ],
  ['with aud [credentials.wit-svid.10]', { claims: { aud: AUDIENCE } }, 'credential.forbidden_claim'],
  ['with an empty aud', { claims: { aud: [] } }, 'credential.forbidden_claim'],
  ['not valid yet [credentials.wit-svid.07]', { claims: { nbf: NOW + 31 } }, 'credential.not_yet_valid'],
  ['without cnf [credentials.wit-svid.06]', { claims: { cnf: undefined } }, 'credential.missing_confirmation'],
  ['with typ JWT [credentials.wit-svid.02]', { header: { typ: 'JWT' } }, 'credential.wrong_type'],
]

for (const [why, change, code] of NOT_SVID) {
  test(`as a WIT-SVID, a token ${why} is refused`, () => {
    assertRefused(() => judge({ ...change, expected: { ...change.expected, svid: true } }), code)
  })
}

test('iat does not limit a WIT-SVID [credentials.wit-svid.08]', () => {
  const claims = { iat: NOW + 3000 }
  assert.ok(judge({ claims, expected: { svid: true } }))
  assertRefused(() => judge({ claims }), 'credential.issued_in_future')
})

test('every profile verifies its own WITs and refuses those of another typ', async () => {
  const issued = new Map<Profile, IssuedToken>()
  for (const profile of PROFILES) {
    const options = profile === 'aims-00' ? { audiences: [AUDIENCE, 'https://b.example'] } : {}
    const subject = verifyWit(tokenWith({}), good).subject
    const request = { subject, publicKey: holder.publicKey, now: NOW, ttl: 60, issuer: ISSUER, profile, ...options }
    issued.set(profile, await issueWit(request, signer))
  }
  for (const [made, { token }] of issued) {
    for (const profile of PROFILES) {
      const expected = { ...good, profile, issuers: { 'example.com': [ISSUER] }, audience: AUDIENCE }
      const sameTyp = decodeUnverifiedWit(token).typ === decodeUnverifiedWit(issued.get(profile)?.token ?? '').typ
      if (!sameTyp) assertRefused(() => verifyWit(token, expected), 'credential.wrong_type')
      else if (profile === 'aims-00' && made !== profile) {
        assertRefused(() => verifyWit(token, expected), 'credential.missing_claim')
      } else assert.equal(verifyWit(token, expected).profile, profile)
    }
  }
})

// [authentication.profile.10]
test('s2s-03 takes the algorithm of the curve for a cnf without alg, and never guesses for RSA', () => {
  const expected = { profile: 's2s-03-compat' } as const
  const header = { typ: 'wimse-id+jwt' }
  const curves: readonly (readonly [LocalSigner, JwsAlgorithm])[] = [
    [holder, 'ES256'],
    [WorkloadKey.generate('ES384'), 'ES384'],
    [ed, 'EdDSA'],
  ]
  for (const [key, alg] of curves) {
    const cnf = { jwk: exportPublicJwk(key.publicKey) }
    assert.equal(judge({ header, claims: { cnf }, expected }).confirmation.alg, alg)
  }
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey
  const cnf = { jwk: exportPublicJwk(rsa) }
  assertRefused(() => judge({ header, claims: { cnf }, expected }), 'credential.missing_confirmation_alg')
})

const aims = { profile: 'aims-00', issuers: { 'example.com': [ISSUER] }, audience: AUDIENCE } as const
const aimsHeader = { typ: 'wimse-id+jwt' }
const aimsClaims = { iss: ISSUER, aud: [AUDIENCE], cnf: { kid: 'key-1', jwk } }
const registered = verificationKey(holder.publicKey)

test('aims-00 takes the key from the token, or by cnf.kid from the registry for this subject alone', () => {
  const embedded = judge({ header: aimsHeader, claims: aimsClaims, expected: aims })
  assert.deepEqual([embedded.confirmationKid, embedded.confirmation.thumbprint], ['key-1', registered.thumbprint])
  const asked: string[] = []
  const confirmationKeys = {
    find: (...question: readonly string[]) => {
      asked.push(question.join(' '))
      return registered
    },
  }
  const claims = { ...aimsClaims, cnf: { kid: 'key-1' } }
  assert.equal(judge({ header: aimsHeader, claims, expected: { ...aims, confirmationKeys } }).confirmation, registered)
  assert.deepEqual(asked, ['example.com spiffe://example.com/agent/bot key-1'])
})

const AIMS_REFUSED: readonly (readonly [why: string, change: Change, code: string])[] = [
  ['without iss', { claims: { iss: undefined } }, 'credential.issuer_mismatch'],
  // [authentication.profile.13]
  ['of another iss', { claims: { iss: 'https://attacker.example' } }, 'credential.issuer_mismatch'],
  // [authentication.profile.14]
  ['without aud', { claims: { aud: undefined } }, 'credential.missing_claim'],
  ['with an empty aud', { claims: { aud: [] } }, 'credential.invalid_claim'],
  ['with a number in aud', { claims: { aud: [AUDIENCE, 1] } }, 'credential.invalid_claim'],
  // [authentication.profile.14]
  ['for another service', { claims: { aud: ['https://other.example'] } }, 'credential.audience_mismatch'],
  ['for a longer name than ours', { claims: { aud: `${AUDIENCE}/` } }, 'credential.audience_mismatch'],
  ['without exp', { claims: { exp: undefined } }, 'credential.missing_claim'],
  ['of a wimse:// subject', { claims: { sub: 'wimse://example.com/agent' } }, 'credential.invalid_subject'],
  ['without cnf', { claims: { cnf: undefined } }, 'credential.missing_confirmation'],
  ['whose cnf.kid is not registered', { claims: { cnf: { kid: 'key-2' } } }, 'credential.unresolved_confirmation'],
  ['whose cnf.kid is empty', { claims: { cnf: { kid: '' } } }, 'credential.invalid_confirmation'],
  [
    'whose cnf has only a certificate hash',
    { claims: { cnf: { 'x5t#S256': 'AAAA' } } },
    'credential.invalid_confirmation',
  ],
  ['whose cnf.jwk has no alg', { claims: { cnf: { jwk: jwkWithoutAlg } } }, 'credential.missing_confirmation_alg'],
  ['without typ', { header: { typ: undefined } }, 'credential.wrong_type'],
]

for (const [why, { header, claims }, code] of AIMS_REFUSED) {
  test(`an aims-00 WIT ${why} is refused`, () => {
    const confirmationKeys = {
      find: (_td: string, _sub: string, kid: string) => (kid === 'key-1' ? registered : undefined),
    }
    const change = { header: { ...aimsHeader, ...header }, claims: { ...aimsClaims, ...claims } }
    assertRefused(() => judge({ ...change, expected: { ...aims, confirmationKeys } }), code)
  })
}

test('rules that would leave a check out are misuse', () => {
  const misused: readonly Partial<WitExpectations>[] = [
    { profile: 'aims-00' },
    { ...aims, audience: '' },
    { profile: JSON.parse('"toString"') as Profile },
    { clockSkew: 121 },
    { clockSkew: -1 },
    { clockSkew: Number.NaN },
    { clockSkew: '5' as never },
    { maxLifetime: 0 },
    { maxLifetime: '3600' as never },
    { svid: 'true' as never },
    { trustDomains: 'an-example.com' as never },
    { issuers: { 'example.com': 'https://issuer.example.com' as never } },
    { now: Number.NaN },
    { now: Number.POSITIVE_INFINITY },
  ]
  for (const expected of misused) assert.throws(() => judge({ expected }), TypeError)
})

test('a source that answers with another domain’s bundle is not believed [credentials.bundle.10]', () => {
  const wrong = { bundleFor: () => ({ ...bundleOf(signer), trustDomain: otherDomain }) }
  assertRefused(() => judge({ expected: { bundles: wrong } }), 'credential.untrusted_domain')
})

test('a WIT is no JWT-SVID', () => {
  const both = bundleSource({ ...bundleOf(signer), jwtAuthorities: new Map([authority(signer)]) })
  const token = tokenWith({ claims: { aud: AUDIENCE } })
  assertRefused(() => verifyJwtSvid(token, { bundles: both, audience: AUDIENCE, now: NOW }), 'credential.wrong_type')
})

test('verification asks no network, whatever the token names [credentials.wit.14]', async () => {
  const { fetch } = globalThis
  let calls = 0
  globalThis.fetch = () => {
    calls += 1
    return Promise.reject(new Error('no network'))
  }
  try {
    judge({ claims: { iss: 'https://attacker.example/' } })
    assertRefused(() => judge({ header: { jku: 'https://attacker.example/' } }), 'credential.forbidden_header')
  } finally {
    globalThis.fetch = fetch
  }
  assert.equal(calls, 0)
})

test('property: whatever stands in the claims, a refusal is typed, and what passes says what was signed [credentials.jws.12]', () => {
  const odd = fc.oneof(fc.jsonValue(), fc.constantFrom(NOW, NOW + 60, 'spiffe://example.com/a', AUDIENCE, { jwk }, jwk))
  const claims = fc.record(
    { sub: odd, exp: odd, iat: odd, nbf: odd, cnf: odd, iss: odd, jti: odd },
    { requiredKeys: [] },
  )
  fc.assert(
    fc.property(claims, (change) => {
      try {
        const wit = judge({ claims: change })
        if ('sub' in change) assert.equal(wit.subject, change.sub)
        if ('exp' in change) assert.equal(wit.expiresAt, change.exp)
      } catch (error) {
        assert.ok(AimsError.is(error) && error.code.startsWith('credential.'), String(error))
      }
    }),
    { numRuns: 300 },
  )
})
