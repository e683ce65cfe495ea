import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AUDIENCE, NOW, testDomain } from '../../../../../test/support/identities.ts'
import { assertRefused } from '../../../../../test/support/tokens.ts'
import { signJwsLocally } from '../../base/jose.ts'
import { verificationKey, WorkloadKey } from '../../base/keys.ts'
import type { TrustBundle } from '../bundle/bundle.ts'
import { cachingWitVerifier } from './cache.ts'
import { decodeUnverifiedWit } from './decode.ts'

const domain = testDomain()
const wit = await domain.wit({ ttl: 60 })

// A source whose bundle can be exchanged.
function verifier(options: { readonly maxEntries?: number; readonly maxBytes?: number } = {}) {
  const bundles = {
    bundle: domain.bundle as TrustBundle | undefined,
    bundleFor(): TrustBundle | undefined {
      return this.bundle
    },
  }
  return { bundles, verify: cachingWitVerifier({ bundles, profile: 'wimse', ...options }) }
}

test('a WIT that was good is not verified again', () => {
  const { verify } = verifier()
  const first = verify(wit.token, NOW)
  assert.equal(verify(wit.token, NOW + 1), first)
  assert.equal(verify(String(Buffer.from(wit.token)), NOW + 2), first)
})

test('what is remembered cannot be changed by who was given it', () => {
  const { verify } = verifier()
  const { confirmation } = verify(wit.token, NOW)
  assert.throws(() => Object.assign(confirmation, { key: WorkloadKey.generate().publicKey }), TypeError)
  assert.equal(verify(wit.token, NOW).confirmation, confirmation)
})

test('times are checked on every call', () => {
  const { verify } = verifier()
  verify(wit.token, NOW)
  assert.ok(verify(wit.token, NOW + 59))
  assertRefused(() => verify(wit.token, NOW + 60), 'credential.expired')
  assert.ok(verify(wit.token, NOW))
  assertRefused(() => verify(wit.token, NOW - 31), 'credential.issued_in_future')
  assert.ok(verify(wit.token, NOW))
  assert.throws(() => verify(wit.token, Number.NaN), TypeError)
})

// [credentials.jws.10]
test('a changed bundle drops what it vouched for, at once', () => {
  const { bundles, verify } = verifier()
  const first = verify(wit.token, NOW)
  bundles.bundle = { ...domain.bundle }
  assert.notEqual(verify(wit.token, NOW), first)
  bundles.bundle = { ...domain.bundle, witAuthorities: new Map() }
  assertRefused(() => verify(wit.token, NOW), 'credential.unknown_key')
  bundles.bundle = undefined
  assertRefused(() => verify(wit.token, NOW), 'credential.untrusted_domain')
  bundles.bundle = domain.bundle
  assert.ok(verify(wit.token, NOW))
})

// [credentials.jws.10]
test('a key taken out of the map of a bundle vouches for nothing, at once', () => {
  const { bundles, verify } = verifier()
  const witAuthorities = new Map(domain.bundle.witAuthorities)
  bundles.bundle = { ...domain.bundle, witAuthorities }
  const first = verify(wit.token, NOW)
  witAuthorities.set('another', verificationKey(WorkloadKey.generate().publicKey))
  assert.equal(verify(wit.token, NOW), first)
  witAuthorities.delete(domain.signer.kid as string)
  assertRefused(() => verify(wit.token, NOW), 'credential.unknown_key')
})

// [credentials.jws.10]
test('one changed character is another token', () => {
  const { verify } = verifier()
  verify(wit.token, NOW)
  const at = wit.token.length - 10
  const changed = wit.token.slice(0, at) + (wit.token[at] === 'A' ? 'B' : 'A') + wit.token.slice(at + 1)
  assertRefused(() => verify(changed, NOW), 'credential.invalid_signature')
})

test('a refusal is not remembered', () => {
  const { bundles, verify } = verifier()
  bundles.bundle = undefined
  assertRefused(() => verify(wit.token, NOW), 'credential.untrusted_domain')
  bundles.bundle = domain.bundle
  assert.ok(verify(wit.token, NOW))
})

test('entries and bytes are bounded, and the least recently used goes first', async () => {
  for (const options of [{ maxEntries: 2 }, { maxBytes: 2 * 4200 }]) {
    const { verify } = verifier(options)
    const [a, b, c] = [await domain.wit(), await domain.wit(), await domain.wit()]
    const [verifiedA, verifiedB] = [verify(a.token, NOW), verify(b.token, NOW)]
    assert.equal(verify(a.token, NOW), verifiedA)
    verify(c.token, NOW)
    assert.equal(verify(a.token, NOW), verifiedA)
    assert.notEqual(verify(b.token, NOW), verifiedB)
  }
})

// [credentials.jws.10]
test('what a registry answered for cnf.kid is asked again every time', async () => {
  const made = await domain.wit({ profile: 'aims-00' })
  const { claims } = decodeUnverifiedWit(made.token)
  const token = signJwsLocally(
    { typ: 'wimse-id+jwt', kid: domain.signer.kid },
    { ...claims, cnf: { kid: made.key.kid } },
    domain.signer,
  )
  const keys = [verificationKey(made.key.publicKey)]
  const verify = cachingWitVerifier({
    bundles: domain.bundles,
    profile: 'aims-00',
    issuers: { 'example.com': [domain.issuer] },
    audience: AUDIENCE,
    confirmationKeys: { find: () => keys[0] },
  })
  assert.ok(verify(token, NOW))
  keys.pop()
  assertRefused(() => verify(token, NOW), 'credential.unresolved_confirmation')
})

test('rules that would leave a check out are misuse when the verifier is made', () => {
  assert.throws(() => cachingWitVerifier({ bundles: domain.bundles, profile: 'aims-00' }), TypeError)
  assert.throws(() => cachingWitVerifier({ bundles: domain.bundles, profile: 'wimse', clockSkew: 121 }), TypeError)
})
