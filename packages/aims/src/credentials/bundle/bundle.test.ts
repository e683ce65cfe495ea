import assert from 'node:assert/strict'
import { generateKeyPairSync, X509Certificate } from 'node:crypto'
import { test } from 'node:test'
import fc from 'fast-check'
import { buildSvid } from '../../../../../test/support/certificates.ts'
import { assertRefused } from '../../../../../test/support/tokens.ts'
import { AimsError } from '../../base/errors.ts'
import { exportPublicJwk, verificationKey, WorkloadKey } from '../../base/keys.ts'
import { encodePem } from '../../base/pem.ts'
import { parseTrustDomain } from '../../identifiers/trust-domain.ts'
import type { TrustBundle } from './bundle.ts'
import { parseJwks, serializeJwks } from './jwks.ts'
import { parseBundle, parseBundleMap } from './parse.ts'
import { parseAnyBundle } from './parse-any.ts'
import { parsePemBundle, serializePemBundle } from './pem.ts'
import { bundleContent, serializeBundle, serializeBundleMap } from './serialize.ts'
import { bundleSource, emptyBundle, refuseRollback } from './source.ts'

const trustDomain = parseTrustDomain('example.com')
const otherDomain = parseTrustDomain('other.example')

// Two self-signed CA certificates for spiffe://example.com, P-256, made once with OpenSSL.
const CA_ONE =
  'MIIBtjCCAVygAwIBAgIUP80dco2IPYRcFF0QhzDreTB84fMwCgYIKoZIzj0EAwIwFjEUMBIGA1UECgwLRXhhbXBsZSBPTkUwIBcNMjYxMTI0MDQ1NzU1WhgPMjEyNjEwMzEwNDU3NTVaMBYxFDASBgNVBAoMC0V4YW1wbGUgT05FMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE72/5JLJZ7xVE8HcS8fLqqyTAOspvHEjKXcEoqw93y2jxWk3nD6X5KhSUUMfkBa1IVpyDOTDNyo+XU6kWKiZLxaOBhTCBgjAdBgNVHQ4EFgQUbKQVNBXQYh+FkGIpCZ8csb2NOdcwHwYDVR0jBBgwFoAUbKQVNBXQYh+FkGIpCZ8csb2NOdcwDwYDVR0TAQH/BAUwAwEB/zAOBgNVHQ8BAf8EBAMCAgQwHwYDVR0RBBgwFoYUc3BpZmZlOi8vZXhhbXBsZS5jb20wCgYIKoZIzj0EAwIDSAAwRQIgYk55XjTbAb9TLZ2vadISvPufYuHAKDukFmc1B2XKSNgCIQDGQ2B6kdyB9NDE7ePfDzS85w01aUyD8bMEGfJJCTGkWA=='
const CA_TWO =
  'MIIBtjCCAVygAwIBAgIUHXaamoWhYC/EjK2W74bYoIAY+QcwCgYIKoZIzj0EAwIwFjEUMBIGA1UECgwLRXhhbXBsZSBUV08wIBcNMjYxMTI0MDQ1NzU1WhgPMjEyNjEwMzEwNDU3NTVaMBYxFDASBgNVBAoMC0V4YW1wbGUgVFdPMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAESl3afUWltnl6zZUUoNRrQwDujS6btEMdNf5Z0ejj/bJEDCnSysjLOV+tYU8NUa8FosxgMJlt62D1otPQpeyngqOBhTCBgjAdBgNVHQ4EFgQUXtrZCLcqYqYQCFKjVe3QFxMxnLowHwYDVR0jBBgwFoAUXtrZCLcqYqYQCFKjVe3QFxMxnLowDwYDVR0TAQH/BAUwAwEB/zAOBgNVHQ8BAf8EBAMCAgQwHwYDVR0RBBgwFoYUc3BpZmZlOi8vZXhhbXBsZS5jb20wCgYIKoZIzj0EAwIDSAAwRQIgX9rZrzEqcKRFgLIEn5In8q/3EnPKOZJiqhJFot/YbnACIQCZD5LjeZdmDXDkZXiFIxSwSinNMQLHVfnE1JrJZwR0Pg=='

type Jwk = { readonly [member: string]: unknown }

function x509(der: string): Jwk {
  const key = new X509Certificate(Buffer.from(der, 'base64')).publicKey
  return { use: 'x509-svid', ...exportPublicJwk(key), x5c: [der] }
}

function token(use: string, kid: string): Jwk {
  return { use, ...exportPublicJwk(WorkloadKey.generate().publicKey, { kid }) }
}

const jwt = token('jwt-svid', 'jwt-1')
const wit = token('wit-svid', 'wit-1')
const document = { keys: [x509(CA_ONE), jwt, wit], spiffe_sequence: 7, spiffe_refresh_hint: 300 }

function read(change: object): ReturnType<typeof parseBundle> {
  return parseBundle(JSON.stringify({ ...document, ...change }), trustDomain)
}

test('a bundle is sorted by what its keys may authenticate [credentials.bundle.02, credentials.bundle.03]', () => {
  const { bundle, warnings } = read({ unknown_member: { a: 1 } })
  assert.deepEqual(warnings, [])
  assert.equal(bundle.trustDomain, 'example.com')
  assert.deepEqual(
    bundle.x509Authorities.map((der) => Buffer.from(der).toString('base64')),
    [CA_ONE],
  )
  assert.deepEqual([...bundle.jwtAuthorities.keys()], ['jwt-1'])
  assert.deepEqual([...bundle.witAuthorities.keys()], ['wit-1'])
  assert.equal(bundle.sequence, 7n)
  assert.equal(bundle.refreshHint, 300)
})

test('a bundle is printed and read back, wit-svid keys only where they are asked for [credentials.wit-svid.14]', () => {
  const { bundle } = read({})
  const exact: TrustBundle = { ...bundle, sequence: 9007199254740993n }
  assert.deepEqual(parseBundle(serializeBundle(exact, { includeWit: true }), trustDomain), {
    bundle: exact,
    warnings: [],
  })
  const { bundle: older } = parseBundle(serializeBundle(exact), trustDomain)
  assert.deepEqual(older, { ...exact, witAuthorities: new Map() })
  assert.equal(
    JSON.parse(serializeBundle(exact)).keys.some(({ use, kid }: Jwk) => use === 'x509-svid' && kid !== undefined),
    false,
  )
  assert.deepEqual(parseBundle(serializeBundle(emptyBundle(trustDomain)), trustDomain).bundle, emptyBundle(trustDomain))
})

test('a sequence of 64 bits loses no digit [credentials.bundle.02]', () => {
  const text = `{"keys":[],"spiffe_sequence":18446744073709551615}`
  assert.equal(parseBundle(text, trustDomain).bundle.sequence, 18446744073709551615n)
})

// One row per key that is left out while the rest is used, with a warning.
const IGNORED: readonly (readonly [why: string, key: Jwk])[] = [
  ['of unknown kty [credentials.bundle.04]', { use: 'jwt-svid', kid: 'x', kty: 'AKP', pub: 'AAAA' }],
  ['on an unknown curve', { ...jwt, kid: 'x', crv: 'secp256k1' }],
  [
    'of a short RSA key',
    { use: 'jwt-svid', kid: 'x', ...exportPublicJwk(generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey) },
  ],
  ['without use', { ...jwt, use: undefined, kid: 'x' }],
  ['of unknown use', { ...jwt, use: 'ssh-svid', kid: 'x' }],
  ['with use in upper case [credentials.bundle.05]', { ...jwt, use: 'JWT-SVID', kid: 'x' }],
  ['with a use named like a method', { ...jwt, use: 'toString', kid: 'x' }],
  ['with use as a list', { ...jwt, use: ['jwt-svid'], kid: 'x' }],
  ['without kid [credentials.bundle.08]', { ...jwt, kid: undefined }],
  ['with an empty kid', { ...wit, kid: '' }],
  ['without x5c [credentials.bundle.06]', { ...x509(CA_TWO), x5c: undefined }],
  ['with an empty x5c', { ...x509(CA_TWO), x5c: [] }],
]

for (const [why, key] of IGNORED) {
  test(`a key ${why} is ignored with a warning, and the rest is used`, () => {
    const { bundle, warnings } = read({ keys: [key, ...document.keys] })
    assert.equal(warnings.length, 1)
    assert.match(warnings[0] ?? '', /^key 0 is ignored/)
    assert.deepEqual(bundle, read({}).bundle)
  })
}

test('of several certificates only the first is trusted [credentials.bundle.06]', () => {
  const { bundle, warnings } = read({ keys: [{ ...x509(CA_ONE), x5c: [CA_ONE, CA_TWO] }] })
  assert.equal(warnings.length, 1)
  assert.deepEqual(
    bundle.x509Authorities.map((der) => Buffer.from(der).toString('base64')),
    [CA_ONE],
  )
})

// One row per document that is refused as a whole.
const REFUSED: readonly (readonly [why: string, change: object, code: string])[] = [
  ['without keys [credentials.bundle.01]', { keys: undefined }, 'bundle.missing_keys'],
  ['whose keys is an object', { keys: {} }, 'bundle.malformed'],
  ['with a key that is no object', { keys: [jwt, 'key'] }, 'bundle.malformed'],
  ['with 257 keys', { keys: Array.from({ length: 257 }, () => jwt) }, 'bundle.too_large'],
  ['of more than 1 MiB', { padding: 'x'.repeat(1_048_576) }, 'bundle.too_large'],
  ['with one kid twice [credentials.bundle.09]', { keys: [jwt, token('jwt-svid', 'jwt-1')] }, 'bundle.duplicate_kid'],
  ['with one kid for a JWT and a WIT key', { keys: [jwt, token('wit-svid', 'jwt-1')] }, 'bundle.duplicate_kid'],
  ['with a private key [credentials.bundle.11]', { keys: [{ ...jwt, d: jwt.x }] }, 'bundle.private_key'],
  ['with a private key of unknown use', { keys: [{ kty: 'RSA', p: 'AQ' }] }, 'bundle.private_key'],
  ['with a symmetric key', { keys: [{ kty: 'oct', k: 'AAAA', use: 'jwt-svid', kid: 'x' }] }, 'bundle.private_key'],
  ['with a point off its curve', { keys: [{ ...jwt, y: jwt.x }] }, 'bundle.invalid_key'],
  ['with a key whose alg does not fit', { keys: [{ ...jwt, alg: 'ES384' }] }, 'bundle.invalid_key'],
  ['with a key whose alg is symmetric', { keys: [{ ...jwt, alg: 'HS256' }] }, 'bundle.invalid_key'],
  ['with a kid that is a number', { keys: [{ ...jwt, kid: 7 }] }, 'bundle.invalid_key'],
  ['whose x5c is no certificate', { keys: [{ ...x509(CA_ONE), x5c: ['AAAA'] }] }, 'bundle.invalid_key'],
  ['whose x5c is base64url', { keys: [{ ...x509(CA_ONE), x5c: [CA_ONE.replaceAll('+', '-')] }] }, 'bundle.invalid_key'],
  [
    'whose x5c has a byte too many',
    {
      keys: [
        { ...x509(CA_ONE), x5c: [Buffer.concat([Buffer.from(CA_ONE, 'base64'), Buffer.of(0)]).toString('base64')] },
      ],
    },
    'bundle.invalid_key',
  ],
  [
    'whose JWK is not the certificate’s key [credentials.bundle.18]',
    { keys: [{ ...x509(CA_TWO), x5c: [CA_ONE] }] },
    'bundle.invalid_key',
  ],
  ['with a negative sequence', { spiffe_sequence: -1 }, 'bundle.invalid_sequence'],
  ['with a sequence with a fraction', { spiffe_sequence: 1.5 }, 'bundle.invalid_sequence'],
  ['with a sequence in a string', { spiffe_sequence: '7' }, 'bundle.invalid_sequence'],
  ['with a sequence in powers of ten', { spiffe_sequence: 1e30 }, 'bundle.invalid_sequence'],
  ['with a negative refresh hint', { spiffe_refresh_hint: -60 }, 'bundle.invalid_sequence'],
  ['with a refresh hint of null', { spiffe_refresh_hint: null }, 'bundle.invalid_sequence'],
]

for (const [why, change, code] of REFUSED) {
  test(`a bundle ${why} is refused`, () => assertRefused(() => read(change), code))
}

const TEXTS: readonly (readonly [why: string, text: string, code: string])[] = [
  ['HTML', '<html></html>', 'bundle.malformed'],
  ['a list', '[]', 'bundle.malformed'],
  ['keys twice [credentials.bundle.12]', '{"keys":[],"keys":[]}', 'bundle.malformed'],
  ['kty twice', '{"keys":[{"kty":"EC","kty":"RSA"}]}', 'bundle.malformed'],
  ['a sequence of 65 bits', '{"keys":[],"spiffe_sequence":18446744073709551616}', 'bundle.invalid_sequence'],
]

for (const [why, text, code] of TEXTS) {
  test(`a bundle that is or has ${why} is refused`, () => assertRefused(() => parseBundle(text, trustDomain), code))
}

test('bytes that are not UTF-8 are no bundle', () => {
  assertRefused(() => parseBundle(Uint8Array.of(0x7b, 0xff, 0x7d), trustDomain), 'bundle.malformed')
})

test('a bundle map gives each domain its own keys [credentials.bundle.10, credentials.bundle.13]', () => {
  const map = parseBundleMap(
    JSON.stringify({ trust_domains: { 'example.com': document, 'other.example': { keys: [jwt] } } }),
  )
  assert.deepEqual([...map.keys()], ['example.com', 'other.example'])
  assert.equal(map.get(otherDomain)?.x509Authorities.length, 0)
  assert.deepEqual(map.get(trustDomain), read({}).bundle)
  assert.equal(parseBundleMap('{"trust_domains":{}}').size, 0)
})

const MAPS: readonly (readonly [why: string, text: string, code: string])[] = [
  ['without trust_domains', '{}', 'bundle.malformed'],
  ['whose trust_domains is a list', '{"trust_domains":[]}', 'bundle.malformed'],
  ['with a bundle that is no object', '{"trust_domains":{"example.com":[]}}', 'bundle.malformed'],
  ['with a bundle that is null', '{"trust_domains":{"example.com":null}}', 'bundle.malformed'],
  ['with a bundle without keys', '{"trust_domains":{"example.com":{}}}', 'bundle.missing_keys'],
  [
    'with a domain twice [credentials.bundle.14]',
    '{"trust_domains":{"a.b":{"keys":[]},"a.b":{"keys":[]}}}',
    'bundle.duplicate_trust_domain',
  ],
  [
    'with a domain twice, once escaped',
    '{"trust_domains":{"a.b":{"keys":[]},"\\u0061.b":{"keys":[]}}}',
    'bundle.duplicate_trust_domain',
  ],
  ['with keys twice in a bundle', '{"trust_domains":{"a.b":{"keys":[],"keys":[]}}}', 'bundle.malformed'],
  ['with a SPIFFE ID for a name', '{"trust_domains":{"spiffe://a.b":{"keys":[]}}}', 'bundle.malformed'],
  ['with a name in upper case', '{"trust_domains":{"A.b":{"keys":[]}}}', 'bundle.malformed'],
  ['with an empty name', '{"trust_domains":{"":{"keys":[]}}}', 'bundle.malformed'],
]

for (const [why, text, code] of MAPS) {
  test(`a bundle map ${why} is refused`, () => assertRefused(() => parseBundleMap(text), code))
}

test('every signature key of a JWK Set counts for JWT-SVIDs and WITs', () => {
  const keys = [
    { ...jwt, use: undefined },
    { ...wit, use: 'sig' },
    { ...wit, use: 'enc', kid: 'e' },
    { ...wit, use: undefined, key_ops: ['encrypt'], kid: 'f' },
  ]
  const bundle = parseJwks(JSON.stringify({ keys }), trustDomain)
  assert.deepEqual([...bundle.jwtAuthorities.keys()], ['jwt-1', 'wit-1'])
  assert.deepEqual([...bundle.witAuthorities.keys()], ['jwt-1', 'wit-1'])
  assert.deepEqual(parseJwks(serializeJwks(bundle.jwtAuthorities), trustDomain), bundle)
})

// C6: a key counts for what its publisher says it is for.
test('a key of a JWK Set that says what it is for counts for nothing else [credentials.bundle.03]', () => {
  const plain = { ...token('sig', 'both'), use: undefined }
  const { jwtAuthorities, witAuthorities } = parseJwks(JSON.stringify({ keys: [jwt, wit, plain] }), trustDomain)
  assert.deepEqual([...jwtAuthorities.keys()], ['jwt-1', 'both'])
  assert.deepEqual([...witAuthorities.keys()], ['wit-1', 'both'])
})

test('a sole key of a JWK Set may lack kid, and is printed without', () => {
  const bundle = parseJwks(JSON.stringify({ keys: [{ ...jwt, kid: undefined, use: undefined }] }), trustDomain)
  assert.deepEqual([...bundle.witAuthorities.keys()], [''])
  assert.equal('kid' in JSON.parse(serializeJwks(bundle.witAuthorities)).keys[0], false)
})

const JWKS: readonly (readonly [why: string, document: object, code: string])[] = [
  ['without keys', {}, 'bundle.missing_keys'],
  ['with a private key', { keys: [{ ...jwt, d: jwt.x }] }, 'bundle.private_key'],
  ['with one kid twice', { keys: [jwt, token('sig', 'jwt-1')] }, 'bundle.duplicate_kid'],
  ['with one kid for two uses', { keys: [jwt, token('wit-svid', 'jwt-1')] }, 'bundle.duplicate_kid'],
  ['with one of two keys without kid', { keys: [{ ...jwt, kid: undefined }, wit] }, 'bundle.missing_kid'],
  [
    'with two keys without kid',
    {
      keys: [
        { ...jwt, kid: undefined },
        { ...wit, kid: undefined },
      ],
    },
    'bundle.missing_kid',
  ],
  ['with a key that is no key', { keys: [{ ...jwt, x: 'AAAA' }] }, 'bundle.invalid_key'],
]

for (const [why, set, code] of JWKS) {
  test(`a JWK Set ${why} is refused`, () => assertRefused(() => parseJwks(JSON.stringify(set), trustDomain), code))
}

test('an operator may hand over any of the documents', () => {
  const readAny = (value: unknown): ReturnType<typeof parseAnyBundle> =>
    parseAnyBundle(JSON.stringify(value), trustDomain)
  const { bundle } = read({})
  assert.deepEqual(readAny(document).bundle, bundle)
  assert.deepEqual(readAny({ trust_domains: { 'example.com': document } }).bundle, bundle)
  const plain = { ...jwt, use: undefined }
  assert.deepEqual([...readAny({ keys: [plain] }).bundle.witAuthorities.keys()], ['jwt-1'])
  assert.deepEqual([...readAny(plain).bundle.witAuthorities.keys()], ['jwt-1'])
  assert.deepEqual([...readAny({ ...plain, kid: undefined }).bundle.witAuthorities.keys()], [''])
  // Marked as a SPIFFE key or bundle, so it is read as one: a key without use counts for nothing, and is told of.
  assert.equal(readAny(jwt).bundle.witAuthorities.size, 0)
  const marked = readAny({ spiffe_sequence: 1, keys: [plain] })
  assert.equal(marked.bundle.witAuthorities.size, 0)
  assert.deepEqual(marked.warnings, ['key 0 is ignored: its use is absent or unknown'])
  assertRefused(() => readAny({ ...plain, d: 'AAAA' }), 'bundle.private_key')
  assertRefused(
    () => parseAnyBundle(JSON.stringify({ trust_domains: { 'other.example': document } }), trustDomain),
    'bundle.wrong_trust_domain',
  )
  assertRefused(() => parseAnyBundle('{}', trustDomain), 'bundle.missing_keys')
})

test('a source knows one bundle per domain and never merges two', () => {
  const bundle = emptyBundle(trustDomain)
  const source = bundleSource(bundle, emptyBundle(otherDomain))
  assert.equal(source.bundleFor(trustDomain), bundle)
  assert.equal(source.bundleFor(parseTrustDomain('third.example')), undefined)
  assert.throws(() => bundleSource(bundle, emptyBundle(trustDomain)), TypeError)
})

test('a bundle map is printed and read back, without the hints of single bundles [credentials.bundle.20]', () => {
  const { bundle } = read({})
  const { refreshHint: _, ...rest } = bundle
  const printed = serializeBundleMap([bundle, emptyBundle(otherDomain)], { includeWit: true })
  assert.deepEqual([...parseBundleMap(printed).values()], [rest, emptyBundle(otherDomain)])
  assert.equal(parseBundleMap(serializeBundleMap([])).size, 0)
  assert.throws(() => serializeBundleMap([bundle, bundle]), TypeError)
})

test('PEM is the X.509 part of a bundle, and nothing but CA certificates', () => {
  const { bundle } = read({})
  const pem = serializePemBundle(bundle)
  assert.deepEqual(
    parsePemBundle(pem, trustDomain).x509Authorities.map((der) => Buffer.from(der).toString('base64')),
    [CA_ONE],
  )
  assertRefused(() => parsePemBundle('', trustDomain), 'bundle.malformed')
  assertRefused(() => parsePemBundle(pem.replaceAll('CERTIFICATE', 'PUBLIC KEY'), trustDomain), 'bundle.malformed')
  const block = '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n'
  assertRefused(() => parsePemBundle(pem + block, trustDomain), 'bundle.invalid_key')
  const leaf = encodePem('CERTIFICATE', buildSvid({}).der)
  assertRefused(() => parsePemBundle(pem + leaf, trustDomain), 'bundle.invalid_key')
})

test('the content of a bundle is what it trusts, in any order', () => {
  const { bundle } = read({ keys: [x509(CA_ONE), x509(CA_TWO), jwt, wit] })
  const turned = read({ keys: [wit, jwt, x509(CA_TWO), x509(CA_ONE)], spiffe_sequence: 8 }).bundle
  assert.equal(bundleContent(turned), bundleContent(bundle))
  assert.notEqual(bundleContent({ ...bundle, witAuthorities: new Map() }), bundleContent(bundle))
  // The same key for another use is another bundle.
  const swapped = { ...bundle, jwtAuthorities: bundle.witAuthorities, witAuthorities: bundle.jwtAuthorities }
  assert.notEqual(bundleContent(swapped), bundleContent(bundle))
})

test('an older bundle does not replace a newer one [credentials.bundle.15]', () => {
  const held = { ...emptyBundle(trustDomain), sequence: 5n }
  refuseRollback(held, { ...held, sequence: 5n })
  refuseRollback(held, { ...held, sequence: 2n ** 63n })
  refuseRollback(emptyBundle(trustDomain), held)
  refuseRollback(emptyBundle(trustDomain), emptyBundle(trustDomain))
  assertRefused(() => refuseRollback(held, { ...held, sequence: 4n }), 'bundle.rollback')
  assertRefused(() => refuseRollback(held, emptyBundle(trustDomain)), 'bundle.rollback')
  assertRefused(() => refuseRollback(held, { ...read({}).bundle, sequence: 5n }), 'bundle.sequence_reused')
  assert.throws(() => refuseRollback(held, { ...held, trustDomain: otherDomain }), TypeError)
})

test('property: what is serialised is read back as it was', () => {
  const keys = Array.from({ length: 4 }, () => WorkloadKey.generate())
  const kid = fc.string({ minLength: 1, maxLength: 20, unit: 'grapheme' })
  fc.assert(
    fc.property(fc.uniqueArray(kid, { maxLength: 4 }), fc.bigInt(0n, 2n ** 64n - 1n), (kids, sequence) => {
      const entries = kids.map((name, index) => {
        const key = keys[index] as WorkloadKey
        return [name, verificationKey(key.publicKey, { kid: name })] as const
      })
      const bundle: TrustBundle = {
        ...emptyBundle(trustDomain),
        jwtAuthorities: new Map(entries.slice(0, 2)),
        witAuthorities: new Map(entries.slice(2)),
        sequence,
      }
      const text = serializeBundle(bundle, { includeWit: true })
      const { bundle: back } = parseBundle(text, trustDomain)
      assert.equal(serializeBundle(back, { includeWit: true }), text)
      assert.equal(back.sequence, sequence)
    }),
  )
})

test('property: any text is a bundle or is refused with a code [credentials.jws.12]', () => {
  const member = fc.oneof(fc.jsonValue(), fc.constantFrom(jwt, wit, [jwt], [jwt, wit], { 'example.com': document }))
  const shape = fc.dictionary(
    fc.constantFrom('keys', 'trust_domains', 'spiffe_sequence', 'spiffe_refresh_hint', 'x'),
    member,
  )
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string(),
        shape.map((value) => JSON.stringify(value)),
      ),
      (text) => {
        try {
          const { bundle } = parseAnyBundle(text, trustDomain)
          assert.equal(bundle.trustDomain, trustDomain)
        } catch (error) {
          assert.ok(AimsError.is(error) && error.code.startsWith('bundle.'), String(error))
        }
      },
    ),
    { numRuns: 500 },
  )
})

test('a key whose algorithm the issuer left open is published as open as it was', () => {
  const { publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const open = { ...exportPublicJwk(publicKey, { kid: 'r' }), use: 'jwt-svid' }
  const { bundle } = read({ keys: [open, { ...open, kid: 'p', alg: 'PS256' }] })
  const { keys } = JSON.parse(serializeBundle(bundle))
  assert.deepEqual(
    keys.map(({ kid, alg }: Jwk) => [kid, alg]),
    [
      ['r', undefined],
      ['p', 'PS256'],
    ],
  )
  assert.deepEqual(bundle.jwtAuthorities.get('r')?.algs?.length, 6)
  assert.equal(bundle.jwtAuthorities.get('p')?.algs, undefined)
})
