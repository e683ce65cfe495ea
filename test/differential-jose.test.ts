// Another implementation as the oracle: whatever we accept, it accepts, and both make tokens the other one takes.
import assert from 'node:assert/strict'
import { generateKeyPairSync, type KeyObject, type webcrypto } from 'node:crypto'
import { test } from 'node:test'
import fc from 'fast-check'
import { CompactSign, compactVerify, importJWK, type JWK } from 'jose'
import { ALGORITHMS, isJwsAlgorithm, type JwsAlgorithm } from '../packages/aims/src/base/algorithms.ts'
import { decodeUnverifiedJws, signJwsLocally, verifyJws } from '../packages/aims/src/base/jose.ts'
import type { JsonObject } from '../packages/aims/src/base/json.ts'
import { exportPublicJwk, importVerificationKey, verificationKey, WorkloadKey } from '../packages/aims/src/base/keys.ts'
import { forge } from './support/tokens.ts'

const keys = new Map<JwsAlgorithm, WorkloadKey>()
for (const alg of Object.keys(ALGORITHMS).filter(isJwsAlgorithm))
  keys.set(alg, new WorkloadKey(privateKey(alg), { alg }))

function privateKey(alg: JwsAlgorithm): KeyObject {
  const { keyType, curve } = ALGORITHMS[alg]
  if (keyType === 'ed25519') return generateKeyPairSync('ed25519').privateKey
  if (keyType === 'rsa') return generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey
  return generateKeyPairSync('ec', { namedCurve: curve ?? 'prime256v1' }).privateKey
}

for (const [alg, key] of keys) {
  test(`${alg}: each verifies what the other signed, and neither under another key`, async () => {
    const ours = signJwsLocally({ typ: 'wit+jwt' }, { sub: 'me' }, key)
    const theirs = await new CompactSign(Buffer.from('{"sub":"me"}')).setProtectedHeader({ alg }).sign(key.tlsKey)
    const authority = verificationKey(key.publicKey, { alg })
    assert.equal((await compactVerify(ours, key.publicKey)).protectedHeader.alg, alg)
    assert.equal(verifyJws(decodeUnverifiedJws(theirs), authority), true)
    const stranger = new WorkloadKey(privateKey(alg), { alg })
    assert.equal(verifyJws(decodeUnverifiedJws(theirs), verificationKey(stranger.publicKey, { alg })), false)
    await assert.rejects(compactVerify(ours, stranger.publicKey))
  })
}

const key = WorkloadKey.generate()
const authority = verificationKey(key.publicKey)
const token = signJwsLocally({ typ: 'wit+jwt', kid: 'one' }, { sub: 'spiffe://example.com/a', exp: 1 }, key)

function weAccept(text: string): boolean {
  try {
    return verifyJws(decodeUnverifiedJws(text), authority)
  } catch {
    return false
  }
}

async function theyAccept(text: string): Promise<boolean> {
  return compactVerify(text, key.publicKey).then(
    () => true,
    () => false,
  )
}

test('property: a properly signed token that we accept, whatever its header, the other implementation accepts too', async () => {
  const member = fc.constantFrom(
    '"alg":"ES256"',
    '"alg":"ES384"',
    '"alg":"none"',
    '"typ":"JWT"',
    '"typ":7',
    '"kid":"one"',
    '"kid":null',
    '"crit":["exp"]',
    '"crit":[]',
    '"b64":true',
    '"b64":false',
    '"x":[1,{"y":2}]',
    '"zip":"DEF"',
  )
  const header = fc.array(member, { maxLength: 4 }).map((members) => `{${['"alg":"ES256"', ...members].join()}}`)
  let accepted = 0
  await fc.assert(
    fc.asyncProperty(header, async (text) => {
      const forged = forge(text, { sub: 'me' }, key)
      if (!weAccept(forged)) return
      accepted += 1
      assert.equal(await theyAccept(forged), true)
    }),
    { numRuns: 400 },
  )
  assert.ok(accepted > 20)
})

test('property: after any damage a token is refused', () => {
  const edit = fc.record({
    at: fc.nat({ max: token.length }),
    remove: fc.nat({ max: 2 }),
    insert: fc.constantFrom('', '.', '=', 'A', '_', '+', ' ', '\n', 'e30'),
  })
  fc.assert(
    fc.property(fc.array(edit, { maxLength: 3 }), (edits) => {
      const damaged = edits.reduce(
        (text, { at, remove, insert }) => text.slice(0, at) + insert + text.slice(at + remove),
        token,
      )
      assert.equal(weAccept(damaged), damaged === token)
    }),
    { numRuns: 400 },
  )
})

// What the other implementation lets pass and we do not: why there is a front door of our own.
test('second spellings of a token pass there, and are refused here', async () => {
  const [header = '', payload = '', signature = ''] = token.split('.')
  const spellings = [`${token}==`, `${header}.${payload}.${signature.slice(0, 20)}\n${signature.slice(20)}`]
  for (const spelling of spellings) {
    assert.equal(await theyAccept(spelling), true)
    assert.equal(weAccept(spelling), false)
  }
})

test('property: a JWK that we accept, the other implementation accepts with the same key', async () => {
  const sources = [...keys.values()].map((one) => exportPublicJwk(one.publicKey))
  const members = sources.flatMap((jwk) => Object.values(jwk))
  const damaged = fc.record({
    base: fc.constantFrom(...sources),
    member: fc.constantFrom('kty', 'crv', 'x', 'y', 'n', 'e', 'alg', 'none'),
    value: fc.oneof(fc.constantFrom(...members, 'ES256', 'RS256'), fc.string()),
  })
  await fc.assert(
    fc.asyncProperty(damaged, async ({ base, member, value }) => {
      const jwk = member === 'none' ? { ...base } : { ...base, [member]: value }
      const ours = readKey(jwk)
      if (member === 'none') assert.ok(ours)
      if (ours === undefined) return
      const theirs = await importJWK(jwk as JWK, ours.alg)
      const imported = await crypto.subtle.exportKey('spki', theirs as webcrypto.CryptoKey)
      assert.deepEqual(Buffer.from(imported), ours.key.export({ type: 'spki', format: 'der' }))
    }),
    { numRuns: 300 },
  )
})

function readKey(jwk: JsonObject): ReturnType<typeof importVerificationKey> | undefined {
  try {
    return importVerificationKey(jwk)
  } catch {
    return undefined
  }
}
