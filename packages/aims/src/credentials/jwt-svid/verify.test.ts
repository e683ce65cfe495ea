import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { test } from 'node:test'
import fc from 'fast-check'
import { assertRefused, forge, type Part } from '../../../../../test/support/tokens.ts'
import { AimsError } from '../../base/errors.ts'
import { exportPublicJwk, type LocalSigner, type Signer, verificationKey, WorkloadKey } from '../../base/keys.ts'
import { parseSpiffeId, type SpiffeId } from '../../identifiers/spiffe-id.ts'
import { parseTrustDomain } from '../../identifiers/trust-domain.ts'
import { bundleSource, emptyBundle } from '../bundle/source.ts'
import { decodeUnverifiedJwtSvid } from './decode.ts'
import { issueJwtSvid, type JwtSvidRequest } from './issue.ts'
import { type JwtSvidExpectations, verifyJwtSvid } from './verify.ts'

const NOW = 1_700_000_000
const AUDIENCE = 'https://api.example.com'
const trustDomain = parseTrustDomain('example.com')
const otherDomain = parseTrustDomain('other.example')
const signer = WorkloadKey.generate()
const witSigner = WorkloadKey.generate()
const foreign = WorkloadKey.generate()
const ed = WorkloadKey.generate('EdDSA')
const rsa = new WorkloadKey(generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey, { alg: 'PS256' })

function authority(key: LocalSigner): [string, ReturnType<typeof verificationKey>] {
  const kid = key.kid ?? ''
  return [kid, verificationKey(key.publicKey, { kid, alg: key.alg })]
}

const jwtKeys = { jwtAuthorities: new Map([signer, ed, rsa].map(authority)) }
const bundles = bundleSource(
  {
    ...emptyBundle(trustDomain),
    ...jwtKeys,
    witAuthorities: new Map([authority(witSigner)]),
  },
  { ...emptyBundle(otherDomain), jwtAuthorities: new Map([authority(foreign)]) },
)

const good: JwtSvidExpectations = { bundles, audience: AUDIENCE, now: NOW }

interface Change {
  readonly header?: { readonly [member: string]: unknown }
  readonly claims?: { readonly [member: string]: unknown }
  readonly text?: Part
  readonly signer?: LocalSigner
  readonly expected?: Partial<JwtSvidExpectations>
}

function judge({ header, claims, text, signer: key = signer, expected }: Change): ReturnType<typeof verifyJwtSvid> {
  const sound = { sub: 'spiffe://example.com/agent/bot', aud: [AUDIENCE], exp: NOW + 300, iat: NOW }
  const token = forge({ alg: key.alg, kid: key.kid, ...header }, text ?? { ...sound, ...claims }, key)
  return verifyJwtSvid(token, { ...good, ...expected })
}

const subject = parseSpiffeId('spiffe://example.com/agent/bot')
const request: JwtSvidRequest = { subject, audiences: [AUDIENCE], now: NOW + 0.9, ttl: 300 }

test('what is issued is a JWT-SVID, and verifies [credentials.jwt-svid.03, credentials.jwt-svid.05, credentials.jwt-svid.15]', async () => {
  const { token, expiresAt, id } = await issueJwtSvid(request, signer)
  const { header, claims } = decodeUnverifiedJwtSvid(token)
  assert.deepEqual({ ...header }, { kid: signer.kid, typ: 'JWT', alg: 'ES256' })
  assert.deepEqual({ ...claims }, { sub: subject, aud: [AUDIENCE], exp: NOW + 300, iat: NOW, jti: id })
  const svid = verifyJwtSvid(token, good)
  assert.deepEqual(
    [svid.kind, svid.subject, svid.trustDomain, svid.audiences, svid.expiresAt],
    ['verified-jwt-svid', subject, trustDomain, [AUDIENCE], expiresAt],
  )
  assert.equal(svid.claims.jti, id)
})

// One row per thing that differs between issuers and is allowed.
const ACCEPTED: readonly (readonly [why: string, change: Change])[] = [
  ['without typ', {}],
  ['with typ JWT', { header: { typ: 'JWT' } }],
  ['with typ JOSE', { header: { typ: 'JOSE' } }],
  ['with aud as a string', { claims: { aud: AUDIENCE } }],
  ['with several aud', { claims: { aud: ['https://other.example', AUDIENCE] } }],
  ['with other claims', { claims: { role: 'admin' } }],
  ['without iat', { claims: { iat: undefined } }],
  ['issued 30 s ahead of our clock', { claims: { iat: NOW + 30 } }],
  ['in its last second', { expected: { now: NOW + 299 } }],
  ['of RSA-PSS', { signer: rsa }],
  ['of the trust domain expected', { expected: { trustDomain } }],
]

for (const [why, change] of ACCEPTED) test(`a JWT-SVID ${why} is accepted`, () => void assert.ok(judge(change)))

// One row per way to be refused.
const REFUSED: readonly (readonly [why: string, change: Change, code: string])[] = [
  ['of alg none [credentials.jwt-svid.02]', { header: { alg: 'none' } }, 'credential.unsupported_alg'],
  ['of alg HS256', { header: { alg: 'HS256' } }, 'credential.unsupported_alg'],
  ['of EdDSA, though the bundle has the key', { signer: ed }, 'credential.unsupported_alg'],
  ['of RS256 under a PS256 key', { signer: rsa, header: { alg: 'RS256' } }, 'credential.invalid_signature'],
  ['with typ wit+jwt [credentials.jwt-svid.04]', { header: { typ: 'wit+jwt' } }, 'credential.wrong_type'],
  ['with typ at+jwt', { header: { typ: 'at+jwt' } }, 'credential.wrong_type'],
  ['with typ jwt', { header: { typ: 'jwt' } }, 'credential.wrong_type'],
  [
    'with an embedded key [credentials.jwt-svid.06]',
    { header: { jwk: exportPublicJwk(signer.publicKey) } },
    'credential.forbidden_header',
  ],
  ['with crit', { header: { crit: ['exp'] } }, 'credential.forbidden_header'],
  ['with another header [credentials.jws.04]', { header: { 'x-build': 7 } }, 'credential.forbidden_header'],
  ['without kid', { header: { kid: undefined } }, 'credential.missing_kid'],
  ['of an unknown kid', { header: { kid: 'unknown' } }, 'credential.unknown_key'],
  ['of a WIT key [credentials.jwt-svid.11]', { signer: witSigner }, 'credential.unknown_key'],
  ['of another domain’s key', { signer: foreign }, 'credential.unknown_key'],
  [
    'of another domain’s key under our kid',
    { signer: foreign, header: { kid: signer.kid } },
    'credential.invalid_signature',
  ],
  ['without sub [credentials.jwt-svid.07]', { claims: { sub: undefined } }, 'credential.missing_claim'],
  ['whose sub is a list', { claims: { sub: [subject] } }, 'credential.invalid_subject'],
  ['whose sub is no SPIFFE ID', { claims: { sub: 'agent' } }, 'credential.invalid_subject'],
  ['whose sub is a WIMSE identifier', { claims: { sub: 'wimse://example.com/agent' } }, 'credential.invalid_subject'],
  ['whose sub is a trust domain', { claims: { sub: 'spiffe://example.com' } }, 'credential.invalid_subject'],
  ['without aud [credentials.jwt-svid.08]', { claims: { aud: undefined } }, 'credential.missing_claim'],
  ['with an empty aud', { claims: { aud: [] } }, 'credential.invalid_claim'],
  ['with an empty name in aud', { claims: { aud: '' } }, 'credential.invalid_claim'],
  ['with a number in aud', { claims: { aud: [AUDIENCE, 1] } }, 'credential.invalid_claim'],
  ['for another service', { claims: { aud: 'https://other.example' } }, 'credential.audience_mismatch'],
  ['for the beginning of our name', { claims: { aud: 'https://api.example.co' } }, 'credential.audience_mismatch'],
  ['for our name in upper case', { claims: { aud: AUDIENCE.toUpperCase() } }, 'credential.audience_mismatch'],
  ['without exp [credentials.jwt-svid.09]', { claims: { exp: undefined } }, 'credential.missing_claim'],
  ['whose exp is a string', { claims: { exp: String(NOW + 60) } }, 'credential.invalid_claim'],
  ['whose exp overflows', { text: `{"sub":"${subject}","aud":"${AUDIENCE}","exp":1e400}` }, 'credential.malformed'],
  // [credentials.aims.04]
  ['at the second it expires', { expected: { now: NOW + 300 } }, 'credential.expired'],
  ['a second later, whatever the leeway', { expected: { now: NOW + 301, clockSkew: 120 } }, 'credential.expired'],
  ['not valid for 31 s [credentials.jwt-svid.10]', { claims: { nbf: NOW + 31 } }, 'credential.not_yet_valid'],
  ['issued 31 s ahead of our clock', { claims: { iat: NOW + 31 } }, 'credential.issued_in_future'],
  [
    'living a second more than an hour [credentials.jwt-svid.13]',
    { claims: { exp: NOW + 3601 } },
    'credential.lifetime_too_long',
  ],
  ['of another domain than expected', { expected: { trustDomain: otherDomain } }, 'credential.wrong_trust_domain'],
  [
    'under a bundle of the same trust domain for wimse:// [identifiers.wimse-id.10]',
    { expected: { bundles: bundleSource({ ...emptyBundle(trustDomain), ...jwtKeys, scheme: 'wimse' }) } },
    'credential.untrusted_domain',
  ],
  ['of a domain without a bundle', { claims: { sub: 'spiffe://third.example/a' } }, 'credential.untrusted_domain'],
  ['that is too long [credentials.jwt-svid.14]', { claims: { x: 'x'.repeat(8000) } }, 'credential.too_large'],
  [
    'with aud twice',
    { text: `{"sub":"${subject}","aud":"x","aud":"${AUDIENCE}","exp":${NOW + 60}}` },
    'credential.malformed',
  ],
]

for (const [why, change, code] of REFUSED) {
  test(`a JWT-SVID ${why} is refused`, () => assertRefused(() => judge(change), code, [subject, AUDIENCE]))
}

test('a JWT-SVID in JSON serialisation, or encrypted, is refused [credentials.jwt-svid.01]', () => {
  const json = JSON.stringify({ payload: 'e30', signatures: [{ protected: 'e30', signature: 'AA' }] })
  for (const token of [json, 'eyJhbGciOiJkaXIifQ..AA.AA.AA', '']) {
    assertRefused(() => verifyJwtSvid(token, good), 'credential.malformed')
  }
})

// [credentials.jws.06]
test('a verifier that does not know its own name is misuse', () => {
  assert.throws(() => judge({ expected: { audience: '' } }), TypeError)
  assert.throws(() => judge({ expected: { audience: JSON.parse('null') as string } }), TypeError)
  assert.throws(() => judge({ expected: { clockSkew: 121 } }), TypeError)
  assert.throws(() => judge({ expected: { now: Number.NaN } }), TypeError)
})

test('a JWT-SVID that no verifier would take is not issued', async () => {
  await assert.rejects(
    issueJwtSvid(request, ed),
    (error) => AimsError.is(error) && error.code === 'credential.unsupported_alg',
  )
  const withoutKid: Signer = { alg: 'ES256', publicKey: signer.publicKey, sign: (data) => signer.sign(data) }
  await assert.rejects(issueJwtSvid(request, withoutKid), TypeError)
  for (const change of [{ audiences: [] }, { audiences: [''] }, { ttl: 0 }, { ttl: 1.5 }, { now: Number.NaN }]) {
    await assert.rejects(issueJwtSvid({ ...request, ...change }, signer), TypeError)
  }
})

test('property: whatever stands in the claims, a refusal is typed, and what passes names us [credentials.jws.12]', () => {
  const odd = fc.oneof(fc.jsonValue(), fc.constantFrom(NOW, NOW + 60, String(subject), AUDIENCE, [AUDIENCE]))
  const claims = fc.record({ sub: odd, aud: odd, exp: odd, iat: odd, nbf: odd }, { requiredKeys: [] })
  fc.assert(
    fc.property(claims, (change) => {
      try {
        assert.ok(judge({ claims: change }).audiences.includes(AUDIENCE))
      } catch (error) {
        assert.ok(AimsError.is(error) && error.code.startsWith('credential.'), String(error))
      }
    }),
    { numRuns: 300 },
  )
})

for (const [text, code] of [
  ['spiffe://example.com', 'identifier.missing_path'],
  ['spiffe://example.com/a/../admin', 'identifier.dot_segment'],
  ['spiffe://example.com/a\0', 'identifier.bad_path_char'],
  ['spiffe://example.com/a, URI:spiffe://example.com/b', 'identifier.bad_path_char'],
] as const) {
  test(`a subject that was cast and not parsed is not certified: ${JSON.stringify(text)}`, async () => {
    await assert.rejects(issueJwtSvid({ ...request, subject: text as SpiffeId }, signer), { code })
  })
}
