import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { assertRefused, forge } from '../../../../test/support/tokens.ts'
import { AimsError } from './errors.ts'
import {
  decodeUnverifiedCompactJws,
  decodeUnverifiedJws,
  decodeUnverifiedTyp,
  signJws,
  signJwsLocally,
  verifyJws,
} from './jose.ts'
import { parseJsonObject } from './json.ts'
import { exportPublicJwk, verificationKey, WorkloadKey } from './keys.ts'

const key = WorkloadKey.generate()
const authority = verificationKey(key.publicKey)
const good = forge({ alg: 'ES256', typ: 'wit+jwt', kid: 'one', x: 1 }, { sub: 'me' }, key)
const [header = '', payload = '', signature = ''] = good.split('.')
const jwk = exportPublicJwk(key.publicKey)

test('a token is taken apart and its signature verifies', () => {
  const jws = decodeUnverifiedJws(good)
  assert.deepEqual([jws.alg, jws.typ, jws.kid, jws.claims.sub, jws.token], ['ES256', 'wit+jwt', 'one', 'me', good])
  assert.equal(verifyJws(jws, authority), true)
})

test('what is signed here verifies here, and the algorithm is the signer’s whatever the header says', async () => {
  const claims = { sub: 'me', missing: undefined }
  for (const token of [
    await signJws({ alg: 'none', typ: 'a' }, claims, key),
    signJwsLocally({ alg: 'none', typ: 'a' }, claims, key),
  ]) {
    const jws = decodeUnverifiedJws(token)
    assert.equal(jws.alg, 'ES256')
    assert.equal(jws.typ, 'a')
    assert.equal('missing' in jws.claims, false)
    assert.equal(verifyJws(jws, authority), true)
  }
})

// One row per change to the good token, and the code it must produce.
const REFUSED: readonly (readonly [why: string, token: string, code: string])[] = [
  ['that is empty', '', 'jose.malformed'],
  ['of two parts', `${header}.${payload}`, 'jose.malformed'],
  ['of four parts', `${good}.AA`, 'jose.malformed'],
  ['of five parts, as JWE has', `${header}.AA.AA.AA.AA`, 'jose.malformed'],
  ['of many dots', '.'.repeat(8192), 'jose.malformed'],
  ['without a header', `.${payload}.${signature}`, 'jose.malformed'],
  ['without a signature', `${header}.${payload}.`, 'jose.malformed'],
  ['in JSON serialisation', JSON.stringify({ protected: header, payload, signature }), 'jose.malformed'],
  ['with a blank in front', ` ${good}`, 'jose.malformed'],
  ['with a line feed at the end', `${good}\n`, 'jose.malformed'],
  ['with padding', `${header}.${payload}==.${signature}`, 'jose.malformed'],
  ['with a padded signature', `${good}==`, 'jose.malformed'],
  ['in the standard alphabet', `${header}.${payload}.+${signature.slice(1)}`, 'jose.malformed'],
  ['with unused bits set', `${header}.${payload}.${signature.slice(0, -1)}B`, 'jose.malformed'],
  ['that is too long', forge({ alg: 'ES256' }, { a: 'a'.repeat(6200) }, key), 'jose.too_large'],
  ['whose header is no object', forge('["ES256"]', {}, key), 'json.malformed'],
  ['whose payload is no object', forge({ alg: 'ES256' }, '"me"', key), 'json.malformed'],
  ['whose payload is no UTF-8', `${header}.${Buffer.of(0x7b, 0xff, 0x7d).toString('base64url')}.AA`, 'json.malformed'],
  ['with alg twice', forge('{"alg":"ES256","alg":"none"}', {}, key), 'json.duplicate_member'],
  ['with alg twice, once escaped', forge('{"alg":"ES256","\\u0061lg":"none"}', {}, key), 'json.duplicate_member'],
  ['with sub twice', forge({ alg: 'ES256' }, '{"sub":"me","sub":"you"}', key), 'json.duplicate_member'],
  [
    'with claims nested too deep',
    forge({ alg: 'ES256' }, `{"a":${'['.repeat(16)}${']'.repeat(16)}}`, key),
    'json.too_deep',
  ],
  ['without alg', forge({ typ: 'JWT' }, {}, key), 'jose.malformed'],
  ['whose alg is no string', forge({ alg: ['ES256'] }, {}, key), 'jose.malformed'],
  ['whose typ is no string', forge({ alg: 'ES256', typ: 1 }, {}, key), 'jose.malformed'],
  ['whose kid is no string', forge({ alg: 'ES256', kid: {} }, {}, key), 'jose.malformed'],
  ['of alg none', forge({ alg: 'none' }, {}, key), 'jose.unsupported_alg'],
  ['of alg None', forge({ alg: 'None' }, {}, key), 'jose.unsupported_alg'],
  ['of alg HS256', forge({ alg: 'HS256' }, {}, key), 'jose.unsupported_alg'],
  ['of alg es256', forge({ alg: 'es256' }, {}, key), 'jose.unsupported_alg'],
  ['of alg toString', forge({ alg: 'toString' }, {}, key), 'jose.unsupported_alg'],
]

for (const [why, token, code] of REFUSED) {
  test(`a token ${why} is refused [credentials.jws.02, credentials.jws.07]`, () => {
    assertRefused(() => decodeUnverifiedJws(token), code, [payload])
  })
}

for (const [name, value] of Object.entries({
  jwk,
  jku: 'https://attacker.example/keys',
  x5u: 'https://attacker.example/cert',
  x5c: ['AAAA'],
  x5t: 'AAAA',
  'x5t#S256': 'AAAA',
  crit: ['exp'],
  b64: false,
  zip: 'DEF',
  enc: 'A128GCM',
  epk: jwk,
  cty: 'JWT',
})) {
  test(`the header parameter ${name} is refused [credentials.jws.03, credentials.jws.04, credentials.jws.08]`, () => {
    assertRefused(() => decodeUnverifiedJws(forge({ alg: 'ES256', [name]: value }, {}, key)), 'jose.forbidden_header')
    assertRefused(() => decodeUnverifiedTyp(forge({ alg: 'ES256', [name]: value }, {}, key)), 'jose.forbidden_header')
  })
}

test('a thumbprint header is passed over where the caller says so, and nowhere else', () => {
  const token = forge({ alg: 'ES256', x5t: 'AAAA' }, {}, key)
  for (let round = 0; round < 2; round += 1) {
    assert.equal(decodeUnverifiedJws(token, { ignoredHeaders: ['x5t'] }).alg, 'ES256')
    assertRefused(() => decodeUnverifiedJws(token), 'jose.forbidden_header')
    assertRefused(() => decodeUnverifiedJws(token, { ignoredHeaders: ['x5t#S256'] }), 'jose.forbidden_header')
  }
  const both = forge({ alg: 'ES256', x5t: 'AAAA', jku: 'https://attacker.example' }, {}, key)
  assertRefused(() => decodeUnverifiedJws(both, { ignoredHeaders: ['x5t'] }), 'jose.forbidden_header')
})

test('typ is compared exactly, and before alg is looked at [credentials.jws.05]', () => {
  assert.equal(decodeUnverifiedJws(good, { typ: ['wit+jwt'] }).typ, 'wit+jwt')
  assert.equal(decodeUnverifiedJws(forge({ alg: 'ES256' }, {}, key), { typ: [undefined] }).typ, undefined)
  for (const typ of ['WIT+JWT', 'application/wit+jwt', 'wit+jwt ', undefined]) {
    for (const alg of ['ES256', 'none']) {
      assertRefused(() => decodeUnverifiedJws(forge({ alg, typ }, {}, key), { typ: ['wit+jwt'] }), 'jose.wrong_type')
    }
  }
})

test('what is not text is refused', () => {
  const options = JSON.parse('[null, 1, {}, ["a.b.c"]]') as string[]
  for (const value of options) assertRefused(() => decodeUnverifiedJws(value), 'jose.malformed')
})

test('a header read before is judged again for every token', () => {
  const forbidden = forge({ alg: 'none', typ: 'wit+jwt' }, {}, key)
  assert.equal(decodeUnverifiedTyp(forbidden), 'wit+jwt')
  assertRefused(() => decodeUnverifiedJws(forbidden), 'jose.unsupported_alg')
  assert.equal(decodeUnverifiedJws(good).typ, 'wit+jwt')
  assertRefused(() => decodeUnverifiedJws(good, { typ: ['JWT'] }), 'jose.wrong_type')
  assert.ok(Object.isFrozen(decodeUnverifiedJws(good).header))
})

test('a signature counts only with exactly the key’s algorithm [credentials.jws.01]', () => {
  const jws = decodeUnverifiedJws(good)
  const ed = WorkloadKey.generate('EdDSA')
  const signed = decodeUnverifiedJws(signJwsLocally({}, { sub: 'me' }, ed))
  assert.equal(verifyJws(signed, verificationKey(ed.publicKey, { alg: 'EdDSA' })), true)
  assert.equal(verifyJws(signed, verificationKey(ed.publicKey, { alg: 'Ed25519' })), false)
  assert.equal(verifyJws({ ...jws, alg: 'ES384' }, authority), false)
  assert.equal(verifyJws(jws, verificationKey(WorkloadKey.generate().publicKey)), false)
})

test('what somebody writes into a header that was read is not read by others', () => {
  const token = forge({ alg: 'ES256', extra: { list: ['a'] } }, {}, key)
  const first = decodeUnverifiedJws(token).header.extra as { list: string[] }
  first.list.push('b')
  assert.deepEqual({ ...(decodeUnverifiedJws(token).header.extra as object) }, { list: ['a'] })
})

test('a changed header, payload or signature does not verify', () => {
  const other = forge({ alg: 'ES256', typ: 'wit+jwt', kid: 'two' }, { sub: 'you' }, key).split('.')
  for (const [index, part] of other.entries()) {
    const parts = [header, payload, signature]
    parts[index] = part
    assert.equal(verifyJws(decodeUnverifiedJws(parts.join('.')), authority), false)
  }
})

test('property: any text is taken apart into what it is made of, or refused with a code [credentials.jws.12]', () => {
  const part = fc.oneof(
    fc.constantFrom(header, payload, signature, ''),
    fc.base64String().map((text) => text.replaceAll('=', '')),
    fc.string(),
  )
  const token = fc.oneof(
    fc.string(),
    fc.array(part, { minLength: 2, maxLength: 5 }).map((parts) => parts.join('.')),
  )
  fc.assert(
    fc.property(token, (text) => {
      try {
        const jws = decodeUnverifiedJws(text)
        const { payload: bytes, signature: made } = decodeUnverifiedCompactJws(text)
        const encoded = [bytes, made].map((one) => one.toString('base64url'))
        assert.equal(encoded.join('.'), text.slice(text.indexOf('.') + 1))
        assert.deepEqual([jws.claims, jws.signature], [parseJsonObject(bytes), made])
      } catch (error) {
        assert.ok(AimsError.is(error) && /^(jose|json)\./.test(error.code), String(error))
      }
    }),
    { numRuns: 1000 },
  )
})

test('property: one changed character is never accepted', () => {
  fc.assert(
    fc.property(fc.nat({ max: good.length - 1 }), fc.constantFrom(...'AQgw09-_.= +/'), (at, character) => {
      fc.pre(good[at] !== character)
      const changed = good.slice(0, at) + character + good.slice(at + 1)
      let verified = false
      try {
        verified = verifyJws(decodeUnverifiedJws(changed), authority)
      } catch (error) {
        assert.ok(AimsError.is(error), String(error))
      }
      assert.equal(verified, false)
    }),
    { numRuns: 500 },
  )
})
