import assert from 'node:assert/strict'
import { test } from 'node:test'
import { inspect } from 'node:util'
import { assertRefused, forge } from '../../../../test/support/tokens.ts'
import { type VerificationKey, verificationKey, WorkloadKey } from '../base/keys.ts'
import { trustDomainOf } from '../identifiers/spiffe-id.ts'
import { parseTrustDomain } from '../identifiers/trust-domain.ts'
import { parseWimseId } from '../identifiers/wimse-id.ts'
import { parseJwks } from './bundle/jwks.ts'
import { bundleSource, emptyBundle } from './bundle/source.ts'
import { decodeUnverifiedJwtSvid } from './jwt-svid/decode.ts'
import { pickAuthority, requireBundle } from './token.ts'
import { decodeUnverifiedWit } from './wit/decode.ts'

const trustDomain = parseTrustDomain('example.com')
const spiffe = emptyBundle(trustDomain)
const wimse = { ...spiffe, scheme: 'wimse' } as const
const code = 'credential.untrusted_domain'

// A9. [identifiers.wimse-id.10]
test('a bundle vouches for the scheme and trust domain it is bound to', () => {
  const [agent, other] = ['spiffe://example.com/agent', 'wimse://example.com/agent'].map((id) => parseWimseId(id))
  assert.ok(agent !== undefined && other !== undefined)
  assert.equal(trustDomainOf(agent), trustDomainOf(other))
  assert.equal(requireBundle(bundleSource(spiffe), agent), spiffe)
  assert.equal(requireBundle(bundleSource({ ...spiffe, scheme: 'spiffe' }), agent).trustDomain, trustDomain)
  assert.equal(requireBundle(bundleSource(wimse), other), wimse)
  assertRefused(() => requireBundle(bundleSource(spiffe), other), code)
  assertRefused(() => requireBundle(bundleSource(wimse), agent), code)
})

for (const id of [
  'spiffe://example.com.evil/a',
  'spiffe://example.co/a',
  'spiffe://sub.example.com/a',
  'spiffe://a/b',
]) {
  test(`the bundle of example.com does not vouch for ${id}, whatever the source answers`, () => {
    assertRefused(() => requireBundle({ bundleFor: () => spiffe }, parseWimseId(id)), code)
    assertRefused(() => requireBundle(bundleSource(spiffe), parseWimseId(id)), code)
  })
}

const keys = [1, 2].map(() => verificationKey(WorkloadKey.generate().publicKey))
const authorities = (...kids: readonly string[]): ReadonlyMap<string, VerificationKey> =>
  new Map(kids.flatMap((kid, index) => (keys[index] === undefined ? [] : [[kid, keys[index]]])))

// The kids of the authorities, the kid of the token, and which key is picked or why none.
const PICKS: readonly (readonly [kids: readonly string[], kid: string | undefined, answer: number | string])[] = [
  [['a', 'b'], 'b', 1],
  [['a'], undefined, 0],
  [[''], undefined, 0],
  // A plain JWK Set with one key and no kid: there is nothing to confuse it with.
  [[''], 'a', 0],
  [[''], '', 0],
  [['a'], 'b', 'credential.unknown_key'],
  [['a'], '', 'credential.unknown_key'],
  [['a', 'b'], 'c', 'credential.unknown_key'],
  [['a', 'b'], 'A', 'credential.unknown_key'],
  [['a', 'b'], undefined, 'credential.missing_kid'],
  // Beside others, a key without kid does not answer for a kid that is not its own.
  [['', 'b'], 'a', 'credential.unknown_key'],
  [['a', ''], 'b', 'credential.unknown_key'],
  [['', 'b'], undefined, 'credential.missing_kid'],
  [[], 'a', 'credential.unknown_key'],
  [[], undefined, 'credential.unknown_key'],
]

for (const [kids, kid, answer] of PICKS) {
  test(`of the keys [${kids.map((one) => `'${one}'`)}] a token with kid ${kid === undefined ? 'absent' : `'${kid}'`} gets ${answer}`, () => {
    if (typeof answer === 'string') assertRefused(() => pickAuthority(authorities(...kids), kid), answer)
    else assert.equal(pickAuthority(authorities(...kids), kid), keys[answer])
  })
}

test('a JWK Set cannot have a key without kid beside others [credentials.wit.03]', () => {
  const jwk = (kid?: string): object => ({
    ...keys[0]?.key.export({ format: 'jwk' }),
    ...(kid === undefined ? {} : { kid }),
  })
  const read = (...jwks: readonly object[]): unknown => parseJwks(JSON.stringify({ keys: jwks }), trustDomain)
  assert.ok(read(jwk()))
  assertRefused(() => read(jwk(), jwk('a')), 'bundle.missing_kid')
  assertRefused(() => read(jwk('a'), jwk()), 'bundle.missing_kid')
  assertRefused(() => read(jwk(), jwk()), 'bundle.missing_kid')
})

for (const [kind, decode] of [
  ['WIT', decodeUnverifiedWit],
  ['JWT-SVID', decodeUnverifiedJwtSvid],
] as const) {
  test(`a decoded ${kind} can be logged without giving the token away`, () => {
    const token = forge({ alg: 'ES256', typ: 'JWT' }, { sub: 'a' }, WorkloadKey.generate())
    const signature = token.slice(token.lastIndexOf('.') + 1)
    const decoded = decode(token)
    assert.equal(decoded.token, token)
    assert.equal(decoded.signature.toString('base64url'), signature)
    const bytes = JSON.stringify(decoded.signature)
    for (const text of [
      JSON.stringify(decoded),
      inspect(decoded, { showHidden: true }),
      JSON.stringify({ ...decoded }),
    ]) {
      for (const secret of [token, signature, bytes]) assert.equal(text.includes(secret), false)
    }
  })
}
