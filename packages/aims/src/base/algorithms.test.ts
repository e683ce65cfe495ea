import assert from 'node:assert/strict'
import { generateKeyPairSync, sign, verify } from 'node:crypto'
import { test } from 'node:test'
import fc from 'fast-check'
import {
  ALGORITHMS,
  ecdsaFromDer,
  ecdsaToDer,
  isJwsAlgorithm,
  type JwsAlgorithm,
  SPIFFE_ALGORITHMS,
  signBytes,
  verifyBytes,
} from './algorithms.ts'

const PAIRS = {
  'P-256': generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  'P-384': generateKeyPairSync('ec', { namedCurve: 'P-384' }),
  'P-521': generateKeyPairSync('ec', { namedCurve: 'P-521' }),
  ed25519: generateKeyPairSync('ed25519'),
  rsa: generateKeyPairSync('rsa', { modulusLength: 2048 }),
}

function pairOf(alg: JwsAlgorithm): (typeof PAIRS)['rsa'] {
  const { keyType, half } = ALGORITHMS[alg]
  if (keyType !== 'ec') return PAIRS[keyType]
  return half === 32 ? PAIRS['P-256'] : half === 48 ? PAIRS['P-384'] : PAIRS['P-521']
}

const data = Buffer.from('data')

for (const alg of Object.keys(ALGORITHMS).filter(isJwsAlgorithm)) {
  test(`${alg} verifies what it signs, and nothing next to it`, () => {
    const { publicKey, privateKey } = pairOf(alg)
    const signature = signBytes(alg, privateKey, data)
    assert.equal(verifyBytes(alg, publicKey, data, signature), true)
    const flipped = Buffer.from(signature)
    flipped.writeUInt8(flipped.readUInt8(7) ^ 1, 7)
    assert.equal(verifyBytes(alg, publicKey, data, flipped), false)
    assert.equal(verifyBytes(alg, publicKey, Buffer.from('date'), signature), false)
    assert.equal(verifyBytes(alg, publicKey, data, signature.subarray(1)), false)
    assert.equal(verifyBytes(alg, publicKey, data, Buffer.concat([signature, Buffer.of(0)])), false)
    assert.equal(verifyBytes(alg, publicKey, data, Buffer.alloc(signature.length)), false)
    assert.equal(verifyBytes(alg, publicKey, data, Buffer.alloc(0)), false)
  })
}

test('an algorithm on a key of another kind is false, not an exception [credentials.jws.12]', () => {
  const signature = signBytes('ES256', PAIRS['P-256'].privateKey, data)
  for (const alg of ['ES256', 'RS256', 'PS256', 'EdDSA'] as const) {
    for (const pair of Object.values(PAIRS).filter((one) => one !== pairOf(alg))) {
      assert.equal(verifyBytes(alg, pair.publicKey, data, signature), false)
    }
  }
})

test('names that are no asymmetric signature algorithm are not taken for one [credentials.jws.07]', () => {
  for (const name of [
    'none',
    'HS256',
    'es256',
    'ES256 ',
    'ES256K',
    'RSA-OAEP',
    'dir',
    '',
    'toString',
    '__proto__',
    undefined,
    1,
    ['ES256'],
  ]) {
    assert.equal(isJwsAlgorithm(name), false, String(name))
  }
})

test('SPIFFE has nine algorithms, none of them EdDSA', () => {
  assert.equal(SPIFFE_ALGORITHMS.size, 9)
  assert.equal(SPIFFE_ALGORITHMS.has('EdDSA'), false)
  assert.equal(SPIFFE_ALGORITHMS.has('Ed25519'), false)
})

test('property: r and s survive the way to DER and back, and node:crypto reads both forms alike', () => {
  for (const half of [32, 48, 66] as const) {
    const number = fc.uint8Array({ minLength: half, maxLength: half }).map((bytes) => {
      // Leading zeros are what conversions get wrong: half of the numbers have some.
      if ((bytes[half - 1] ?? 0) % 2 === 0) bytes.fill(0, 0, (bytes[half - 1] ?? 0) % half)
      return bytes
    })
    fc.assert(
      fc.property(number, number, (r, s) => {
        const signature = Buffer.concat([r, s])
        assert.deepEqual(ecdsaFromDer(ecdsaToDer(signature, half), half), signature)
      }),
    )
  }
})

test('property: the DER made here is the DER OpenSSL makes', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 1, maxLength: 40 }), (message) => {
      for (const [alg, half] of [
        ['ES256', 32],
        ['ES384', 48],
        ['ES512', 66],
      ] as const) {
        const { privateKey, publicKey } = pairOf(alg)
        const der = sign(ALGORITHMS[alg].hash, message, privateKey)
        assert.deepEqual(ecdsaToDer(ecdsaFromDer(der, half), half), der)
        assert.equal(verify(ALGORITHMS[alg].hash, message, publicKey, der), true)
      }
    }),
    { numRuns: 30 },
  )
})
