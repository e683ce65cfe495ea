import assert from 'node:assert/strict'
import { createHmac } from 'node:crypto'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import {
  AZURE_MSI,
  attestToken,
  challenge,
  GITHUB,
  jwks,
  PLATFORMS,
  type Platform,
  platformKey,
  platformToken,
  rsaKey,
  TOKEN_NOW,
  type TokenChange,
} from '../../../../../test/support/platform-tokens.ts'
import { assertNoFlipAccepted, assertRefused, assertWhole } from '../../../../../test/support/tampering.ts'
import { exportPublicJwk, spkiBytes, WorkloadKey } from '../../base/keys.ts'
import { encodePem } from '../../base/pem.ts'

const stranger = rsaKey()
const jwk = exportPublicJwk(stranger.publicKey)
const pss = rsaKey('PS256')
const ed25519 = WorkloadKey.generate('EdDSA')

/** HS256 with the public key as secret: what a verifier that lets the token choose would accept. */
function hmacToken(platform: Platform): Buffer {
  const [, payload] = platformToken(platform).toString().split('.')
  const header = Buffer.from(JSON.stringify({ ...platform.header, alg: 'HS256' })).toString('base64url')
  const secret = encodePem('PUBLIC KEY', spkiBytes(platformKey.publicKey))
  const signature = createHmac('sha256', secret).update(`${header}.${payload}`).digest('base64url')
  return Buffer.from(`${header}.${payload}.${signature}`)
}

function twice(platform: Platform, name: string, value: unknown): string {
  const text = JSON.stringify(platform.claims)
  return `${text.slice(0, -1)},${JSON.stringify(name)}:${JSON.stringify(value)}}`
}

const ROWS: readonly (readonly [what: string, code: string, change: TokenChange | ((p: Platform) => TokenChange)])[] = [
  ['signed by another key under a known kid', 'attestation.invalid_signature', { signer: stranger }],
  ['of an unknown kid', 'attestation.key_unknown', { header: { kid: 'key-2' } }],
  ['whose kid is a path', 'attestation.key_unknown', { header: { kid: '../../../dev/null' } }],
  ['whose kid is an address', 'attestation.key_unknown', { header: { kid: 'https://attacker.example/jwks.json' } }],
  ['whose kid is the name of a method', 'attestation.key_unknown', { header: { kid: 'constructor' } }],
  ['with its own key in the header', 'attestation.malformed', { header: { jwk }, signer: stranger }],
  ['with jku', 'attestation.malformed', { header: { jku: 'https://attacker.example' }, signer: stranger }],
  ['with x5u', 'attestation.malformed', { header: { x5u: 'https://attacker.example' }, signer: stranger }],
  ['with x5c', 'attestation.malformed', { header: { x5c: ['AAAA'] }, signer: stranger }],
  ['with crit', 'attestation.malformed', { header: { crit: ['exp'] } }],
  ['with b64', 'attestation.malformed', { header: { b64: false } }],
  ['of another typ', 'attestation.malformed', { header: { typ: 'wit+jwt' } }],
  ['of alg none', 'attestation.unsupported', { header: { alg: 'none' } }],
  ['of alg RS512, which no platform uses', 'attestation.unsupported', { header: { alg: 'RS512' } }],
  ['of alg PS256 under an RS256 key', 'attestation.unsupported', { header: { alg: 'PS256' }, signer: pss }],
  ['of alg EdDSA', 'attestation.unsupported', { header: { alg: 'EdDSA' }, signer: ed25519 }],
  ['of another issuer', 'attestation.issuer_unknown', { claims: { iss: 'https://attacker.example' } }],
  ['without iss', 'attestation.malformed', { claims: { iss: undefined } }],
  [
    'whose issuer has a slash more',
    'attestation.issuer_unknown',
    ({ claims }) => ({ claims: { iss: `${claims.iss}/` } }),
  ],
  ['without aud', 'attestation.malformed', { claims: { aud: undefined } }],
  ['for an empty list of audiences', 'attestation.malformed', { claims: { aud: [] } }],
  [
    'for two audiences',
    'attestation.binding_mismatch',
    ({ claims }) => ({ claims: { aud: [claims.aud, 'x'].flat() } }),
  ],
  ['for another audience', 'attestation.binding_mismatch', { claims: { aud: 'https://other.example' } }],
  [
    'for an audience that only begins alike',
    'attestation.binding_mismatch',
    ({ claims }) => ({ claims: { aud: `${claims.aud}x` } }),
  ],
  ['without exp', 'attestation.malformed', { claims: { exp: undefined } }],
  ['whose exp is text', 'attestation.malformed', { claims: { exp: String(TOKEN_NOW + 60) } }],
  ['whose exp is no whole number', 'attestation.malformed', { claims: { exp: TOKEN_NOW + 60.5 } }],
  ['at the second it expires', 'attestation.expired', { claims: { exp: TOKEN_NOW } }],
  ['that ends in the far future', 'attestation.lifetime_too_long', { claims: { exp: TOKEN_NOW + 10 * 365 * 86_400 } }],
  ['that ends far beyond numbers', 'attestation.malformed', { claims: { exp: 1e300 } }],
  ['without iat', 'attestation.malformed', { claims: { iat: undefined } }],
  ['of the future', 'attestation.not_yet_valid', { claims: { iat: TOKEN_NOW + 61, nbf: undefined } }],
  ['that is valid from 61 seconds on', 'attestation.not_yet_valid', { claims: { nbf: TOKEN_NOW + 61 } }],
  ['that ends before it begins', 'attestation.malformed', { claims: { exp: TOKEN_NOW - 20 } }],
  ['with aud twice', 'attestation.malformed', (platform) => ({ rawClaims: twice(platform, 'aud', 'x') })],
  [
    'with iss twice',
    'attestation.malformed',
    (platform) => ({ rawClaims: twice(platform, 'iss', platform.claims.iss) }),
  ],
  ['with exp twice', 'attestation.malformed', (platform) => ({ rawClaims: twice(platform, 'exp', TOKEN_NOW + 60) })],
  ['with alg twice', 'attestation.malformed', { rawHeader: '{"alg":"RS256","kid":"key-1","alg":"none"}' }],
  ['whose claims are no object', 'attestation.malformed', { rawClaims: '["me"]' }],
  ['with claims nested too deep', 'attestation.malformed', { rawClaims: `{"a":${'['.repeat(20)}${']'.repeat(20)}}` }],
]

for (const platform of PLATFORMS) {
  const attest = (evidence: Uint8Array) => attestToken(platform, evidence)

  describe(`a token of ${platform.type}`, () => {
    test('that is good is accepted, with a line end behind it and with one audience in a list', async () => {
      assert.equal((await attest(platformToken(platform))).type, platform.type)
      await attest(Buffer.concat([platformToken(platform), Buffer.from('\r\n')]))
      await attest(platformToken(platform, { claims: { aud: [platform.claims.aud].flat() } }))
      await attest(platformToken(platform, { claims: { iat: TOKEN_NOW + 60, nbf: TOKEN_NOW + 60 } }))
    })

    for (const [what, code, change] of ROWS) {
      test(`${what} is refused (N34)`, async () => {
        const token = platformToken(platform, typeof change === 'function' ? change(platform) : change)
        await assert.rejects(attest(token), { code })
      })
    }

    test('under HS256 with the public key as secret is refused (N34, N30)', () =>
      assert.rejects(attest(hmacToken(platform)), { code: 'attestation.unsupported' }))

    test('for another challenge is refused', async () => {
      for (const other of [
        { ...challenge, nonce: Buffer.alloc(32, 8) },
        { ...challenge, publicKey: Buffer.from('another key') },
      ]) {
        const expected = { kind: 'challenge', challenge: other, trustDomain: 'example.com' } as const
        const answer = attestToken(platform, platformToken(platform), { expected })
        if (platform === AZURE_MSI) assert.equal((await answer).binding, 'none')
        else await assert.rejects(answer, { code: 'attestation.binding_mismatch' })
      }
    })

    test('without the keys of its issuer, or with unusable ones, is refused', async () => {
      const token = platformToken(platform)
      const rows: readonly (readonly [string, Buffer | undefined])[] = [
        ['attestation.collateral_missing', undefined],
        ['attestation.collateral_malformed', Buffer.from('{}')],
        ['attestation.collateral_malformed', Buffer.from('{"keys":[{"kty":"RSA"}]}')],
        ['attestation.collateral_malformed', jwks(platformKey, stranger)],
        ['attestation.key_unknown', Buffer.from('{"keys":[]}')],
      ]
      for (const [code, keys] of rows) {
        const files = keys === undefined ? {} : { [platform.collateral]: keys }
        await assert.rejects(attestToken(platform, token, { files }), { code })
      }
    })

    test('no flipped bit is accepted (section 3.1)', async () => {
      await assertNoFlipAccepted(attest, platformToken(platform), 1)
    })

    test('cut anywhere or made longer it is refused', () => assertWhole(attest, platformToken(platform)))

    test('of more than 16 KiB is refused (N35)', async () => {
      await assert.rejects(attest(Buffer.alloc(20_000, 'a')), { code: 'attestation.too_large' })
      await assert.rejects(attest(platformToken(platform, { claims: { more: 'a'.repeat(12_200) } })), {
        code: 'attestation.too_large',
      })
    })

    test('random bytes and random JSON are refused with a code (property)', async () => {
      await fc.assert(
        fc.asyncProperty(fc.uint8Array({ maxLength: 300 }), (bytes) => assertRefused(attest, bytes, 'random bytes')),
        { numRuns: 50 },
      )
      const names = Object.keys(platform.claims).filter((name) => name !== 'aud' && name !== 'iss')
      await fc.assert(
        fc.asyncProperty(fc.dictionary(fc.constantFrom(...names), fc.jsonValue()), async (claims) => {
          const answer = await attest(platformToken(platform, { claims })).catch((error: { code?: unknown }) => error)
          if (answer instanceof Error) assert.match(String((answer as { code?: unknown }).code), /^attestation\./)
        }),
        { numRuns: 50 },
      )
    })
  })
}

test('a token is accepted at nbf, as long before iat as GitHub dates it back', async () => {
  await attestToken(GITHUB, platformToken(GITHUB), { now: TOKEN_NOW - 610 })
  await assert.rejects(attestToken(GITHUB, platformToken(GITHUB), { now: TOKEN_NOW - 671 }), {
    code: 'attestation.not_yet_valid',
  })
})

test('a thumbprint in the header is passed over only where the platform writes one', async () => {
  for (const platform of PLATFORMS) {
    const answer = attestToken(platform, platformToken(platform, { header: { x5t: 'AAAA' } }))
    if (platform.type === 'github' || platform.type === 'azure-msi') await answer
    else await assert.rejects(answer, { code: 'attestation.malformed' })
  }
})
