import assert from 'node:assert/strict'
import { createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto'
import { test } from 'node:test'
import { inspect } from 'node:util'
import fc from 'fast-check'
import { calculateJwkThumbprint } from 'jose'
import { assertRefused } from '../../../../test/support/tokens.ts'
import { ALGORITHMS, isJwsAlgorithm } from './algorithms.ts'
import { AimsError } from './errors.ts'
import type { JsonObject } from './json.ts'
import {
  defaultAlgorithm,
  exportPublicJwk,
  importKeyToCertify,
  importPrivateKey,
  importPublicJwk,
  importVerificationKey,
  jwkThumbprint,
  type PublicKey,
  requireFit,
  spkiBytes,
  verificationKey,
  WorkloadKey,
} from './keys.ts'

const PUBLIC: { readonly [name: string]: KeyObject } = {
  'P-256': generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey,
  'P-384': generateKeyPairSync('ec', { namedCurve: 'P-384' }).publicKey,
  'P-521': generateKeyPairSync('ec', { namedCurve: 'P-521' }).publicKey,
  Ed25519: generateKeyPairSync('ed25519').publicKey,
  RSA: generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey,
}

function jwkOf(name: string): JsonObject & { readonly x: string; readonly n: string } {
  const key = PUBLIC[name]
  assert.ok(key)
  return { ...exportPublicJwk(key) } as JsonObject & { readonly x: string; readonly n: string }
}

for (const [name, key] of Object.entries(PUBLIC)) {
  test(`a ${name} key survives the way to a JWK and back, with the thumbprint of RFC 7638`, async () => {
    const jwk = jwkOf(name)
    const read = importVerificationKey(jwk)
    assert.equal(read.key.equals(key), true)
    assert.equal(read.alg, defaultAlgorithm(key))
    assert.equal(read.thumbprint, jwkThumbprint(key))
    assert.equal(read.thumbprint, await calculateJwkThumbprint(exportPublicJwk(key)))
  })
}

for (const [name, key] of Object.entries(PUBLIC)) {
  test(`a ${name} key that was read to be certified says what the key itself says`, () => {
    const read = importKeyToCertify({ ...jwkOf(name), kid: 'one' })
    assert.deepEqual(exportPublicJwk(read), key.export({ format: 'jwk' }))
    assert.equal(jwkThumbprint(read), jwkThumbprint(key))
    assert.deepEqual(spkiBytes(read), key.export({ type: 'spki', format: 'der' }))
    assert.equal(defaultAlgorithm(read), defaultAlgorithm(key))
    assert.equal(read.key.equals(key), true)
    assert.equal(read.kid, 'one')
    for (const alg of Object.keys(ALGORITHMS).filter(isJwsAlgorithm)) {
      const fits = (one: PublicKey) => answerTo(() => requireFit(alg, one))
      assert.equal(fits(read), fits(key), alg)
    }
    assertRefused(() => requireFit(name === 'RSA' ? 'ES256' : 'RS256', read), 'key.alg_mismatch')
  })
}

function answerTo(work: () => void): string {
  try {
    work()
    return 'fits'
  } catch (error) {
    return AimsError.is(error) ? error.code : 'failed'
  }
}

test('alg and kid of a JWK are kept, and its algorithm is the key’s only one [credentials.jws.01]', () => {
  assert.equal(importVerificationKey({ ...jwkOf('RSA'), alg: 'PS256' }).alg, 'PS256')
  assert.equal(importVerificationKey({ ...jwkOf('Ed25519'), alg: 'Ed25519' }).alg, 'Ed25519')
  assert.equal(importVerificationKey({ ...jwkOf('P-256'), kid: 'one' }).kid, 'one')
})

const p256 = jwkOf('P-256')
const rsa = jwkOf('RSA')
const ed = jwkOf('Ed25519')
const modulus = Buffer.from(rsa.n, 'base64url')
const encode = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64url')

// One row per way in which a JWK is not a public key that we use.
const REFUSED: readonly (readonly [why: string, jwk: JsonObject, code: string])[] = [
  ['with d', { ...p256, d: p256.x }, 'key.private'],
  ['with an empty d', { ...p256, d: '' }, 'key.private'],
  ['with RSA primes', { ...rsa, p: 'AQ', q: 'AQ' }, 'key.private'],
  ['that is symmetric', { kty: 'oct', k: 'AAAA' }, 'key.private'],
  ['without kty', { crv: 'P-256', x: p256.x }, 'key.unsupported'],
  ['of an unknown kty', { ...p256, kty: 'AKP' }, 'key.unsupported'],
  ['whose kty is not that of the curve', { ...p256, kty: 'OKP' }, 'key.unsupported'],
  ['with kty in lower case', { ...p256, kty: 'ec' }, 'key.unsupported'],
  ['on secp256k1', { ...p256, crv: 'secp256k1' }, 'key.unsupported'],
  ['on X25519', { ...ed, crv: 'X25519' }, 'key.unsupported'],
  ['with a curve named like a method', { ...p256, crv: 'toString' }, 'key.unsupported'],
  ['with a curve named __proto__', { ...p256, crv: '__proto__' }, 'key.unsupported'],
  ['without y', { kty: 'EC', crv: 'P-256', x: p256.x }, 'key.malformed'],
  ['whose point is off the curve', { ...p256, y: p256.x }, 'key.malformed'],
  ['whose point is (0, 0)', { ...p256, x: encode(Buffer.alloc(32)), y: encode(Buffer.alloc(32)) }, 'key.malformed'],
  ['with x beyond the field', { ...p256, x: encode(Buffer.alloc(32, 255)) }, 'key.malformed'],
  ['with x one byte short', { ...p256, x: encode(Buffer.from(p256.x, 'base64url').subarray(1)) }, 'key.malformed'],
  [
    'with x one byte long',
    { ...p256, x: encode(Buffer.concat([Buffer.of(0), Buffer.from(p256.x, 'base64url')])) },
    'key.malformed',
  ],
  ['with x padded', { ...p256, x: `${p256.x}=` }, 'key.malformed'],
  ['with x in the standard alphabet', { ...ed, x: `+${ed.x.slice(1)}` }, 'key.malformed'],
  ['with x no string', { ...p256, x: [p256.x] }, 'key.malformed'],
  ['with an endless x', { ...p256, x: 'A'.repeat(100_000) }, 'key.malformed'],
  [
    'of 1024 bits',
    { ...exportPublicJwk(generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey) },
    'key.unsupported',
  ],
  ['of 2047 bits', { ...rsa, n: encode(Buffer.concat([Buffer.of(0x7f), modulus.subarray(1)])) }, 'key.unsupported'],
  ['of 4104 bits', { ...rsa, n: encode(Buffer.concat([Buffer.alloc(257, 255), modulus])) }, 'key.unsupported'],
  [
    'with an even modulus',
    { ...rsa, n: encode(Buffer.concat([modulus.subarray(0, 255), Buffer.of(2)])) },
    'key.unsupported',
  ],
  ['with a leading zero in n', { ...rsa, n: encode(Buffer.concat([Buffer.of(0), modulus])) }, 'key.malformed'],
  ['with e = 1', { ...rsa, e: 'AQ' }, 'key.unsupported'],
  ['with an even e', { ...rsa, e: 'Ag' }, 'key.unsupported'],
  ['with e = 0', { ...rsa, e: 'AA' }, 'key.malformed'],
  ['with an empty e', { ...rsa, e: '' }, 'key.malformed'],
  ['with e of 9 bytes', { ...rsa, e: encode(Buffer.alloc(9, 1)) }, 'key.unsupported'],
  ['whose alg is symmetric', { ...p256, alg: 'HS256' }, 'key.alg_mismatch'],
  ['whose alg is none', { ...p256, alg: 'none' }, 'key.alg_mismatch'],
  ['whose alg is of another curve', { ...p256, alg: 'ES384' }, 'key.alg_mismatch'],
  ['whose alg is of another kind of key', { ...p256, alg: 'RS256' }, 'key.alg_mismatch'],
  ['whose alg encrypts', { ...rsa, alg: 'RSA-OAEP' }, 'key.alg_mismatch'],
  ['whose alg is no string', { ...p256, alg: ['ES256'] }, 'key.alg_mismatch'],
  ['whose kid is no string', { ...p256, kid: 7 }, 'key.malformed'],
]

for (const [why, jwk, code] of REFUSED) {
  test(`a JWK ${why} is refused, to verify with and to certify`, () => {
    for (const read of [importVerificationKey, importKeyToCertify]) {
      assertRefused(() => read(jwk), code, [p256.x, rsa.n])
    }
  })
}

test('property: any JWK gives a key that exports as it was, or is refused with a code [credentials.jws.12]', () => {
  const value = fc.oneof(
    fc.constantFrom(p256.x, ed.x, rsa.n, 'AQAB', 'P-256', 'Ed25519', 'EC', 'OKP', 'RSA'),
    fc.jsonValue(),
  )
  const jwk = fc.record({ kty: value, crv: value, x: value, y: value, n: value, e: value }, { requiredKeys: ['kty'] })
  fc.assert(
    fc.property(jwk, (input) => {
      try {
        const exported = exportPublicJwk(importPublicJwk(input as JsonObject))
        for (const [member, text] of Object.entries(exported)) assert.equal(Object(input)[member], text)
      } catch (error) {
        assert.ok(AimsError.is(error) && error.code.startsWith('key.'), String(error))
      }
    }),
  )
})

test('an algorithm that the key cannot be used with is refused', () => {
  const key = PUBLIC['P-256'] as KeyObject
  assertRefused(() => requireFit('ES384', key), 'key.alg_mismatch')
  assertRefused(() => requireFit('EdDSA', key), 'key.alg_mismatch')
  assertRefused(() => verificationKey(PUBLIC.RSA as KeyObject, { alg: 'ES256' }), 'key.alg_mismatch')
  const small = generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey
  assertRefused(() => verificationKey(small, { alg: 'RS256' }), 'key.unsupported')
  const pssOnly = generateKeyPairSync('rsa-pss', { modulusLength: 2048 }).publicKey
  assertRefused(() => verificationKey(pssOnly, { alg: 'PS256' }), 'key.alg_mismatch')
  assertRefused(() => defaultAlgorithm(generateKeyPairSync('x25519').publicKey), 'key.unsupported')
})

test('private key objects are not exported as public ones', () => {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  assertRefused(() => exportPublicJwk(privateKey), 'key.private')
  assert.throws(() => new WorkloadKey(createPublicKey(privateKey)), TypeError)
})

test('a workload key signs and does not show itself', () => {
  const pair = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const key = new WorkloadKey(pair.privateKey)
  const { d } = pair.privateKey.export({ format: 'jwk' })
  assert.ok(d !== undefined)
  assert.equal(key.kid, jwkThumbprint(pair.publicKey))
  for (const text of [inspect(key), inspect(key, { showHidden: true, depth: 9 }), inspect({ ...key }), `${key}`]) {
    assert.ok(!text.includes(d))
  }
  assertRefused(() => JSON.stringify(key), 'key.not_serializable')
  assertRefused(() => JSON.stringify({ nested: [key] }), 'key.not_serializable')
})

test('text that is no private key is refused without being quoted', () => {
  for (const text of ['', 'hunter2', '-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----']) {
    assert.throws(
      () => importPrivateKey(text),
      (error) => AimsError.is(error) && error.code === 'key.malformed' && !inspect(error).includes('hunter2'),
    )
  }
})
