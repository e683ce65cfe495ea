import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { test } from 'node:test'
import {
  basicConstraints,
  buildCa,
  buildSvid,
  type CertificateOptions,
  CLIENT_AUTH,
  dns,
  extendedKeyUsage,
  keyUsage,
  NOT_AFTER,
  NOT_BEFORE,
  NOW,
  SERVER_AUTH,
  subjectAltName,
  type TestCertificate,
  testKey,
  uri,
} from '../../../../../test/support/certificates.ts'
import { assertRefused } from '../../../../../test/support/tokens.ts'
import { parseTrustDomain } from '../../identifiers/trust-domain.ts'
import type { TrustBundle } from '../bundle/bundle.ts'
import { bundleSource, emptyBundle } from '../bundle/source.ts'
import { verifyX509Svid, type X509SvidExpectations } from './verify.ts'

const ID = 'spiffe://example.com/agent/calendar-bot'
const trustDomain = parseTrustDomain('example.com')
const otherDomain = parseTrustDomain('other.example')
const root = buildCa({ subject: 'root' })
const intermediate = buildCa({ subject: 'intermediate', issuer: root })
const otherRoot = buildCa({ subject: 'other root' })

const bundleOf = (domain: typeof trustDomain, ...cas: readonly TestCertificate[]): TrustBundle => ({
  ...emptyBundle(domain),
  x509Authorities: cas.map(({ der }) => der),
})
const bundles = bundleSource(bundleOf(trustDomain, root), bundleOf(otherDomain, otherRoot))

const verify = (chain: readonly TestCertificate[], expected: Partial<X509SvidExpectations> = {}) =>
  verifyX509Svid(
    chain.map(({ der }) => der),
    { bundles, now: NOW, ...expected },
  )

// [credentials.x509-svid.02]
test('an X.509-SVID with its intermediate is verified and says what it proves', () => {
  const leaf = buildSvid({
    issuer: intermediate,
    notAfter: NOT_AFTER - 60,
    extensions: { subjectAltName: subjectAltName([uri(ID), dns('calendar.example.com')]) },
  })
  const verified = verify([leaf, intermediate], { trustDomain })
  assert.equal(verified.kind, 'verified-x509-svid')
  assert.equal(verified.mode, 'svid')
  assert.equal(verified.subject, ID)
  assert.equal(verified.trustDomain, 'example.com')
  assert.equal(verified.expiresAt, NOT_AFTER - 60)
  assert.equal(verified.serialNumber, '01020304')
  assert.match(verified.thumbprint, /^[A-Za-z0-9_-]{43}$/)
  assert.deepEqual(verified.dnsNames, ['calendar.example.com'])
  assert.ok(verified.publicKey.equals(leaf.key.publicKey))
})

test('expiresAt is the earliest end of the whole path, the authority included', () => {
  const ending = buildCa({ subject: 'ending', notAfter: NOW + 10 })
  const leaf = buildSvid({ issuer: ending })
  assert.equal(verify([leaf], { bundles: bundleSource(bundleOf(trustDomain, ending)) }).expiresAt, NOW + 10)
})

const names = (...list: readonly Uint8Array[]) => ({ subjectAltName: subjectAltName(list) })

// One row per way to be refused: what is different about a good leaf of the root, and the code.
// [credentials.x509-svid.20] [credentials.x509-path.03]
const LEAVES: readonly (readonly [string, CertificateOptions, string])[] = [
  // [credentials.x509-svid.01]
  [
    'B1 has two different URI SANs',
    { extensions: names(uri(ID), uri('spiffe://example.com/b')) },
    'x509.uri_san_count',
  ],
  ['B1 has the same URI SAN twice', { extensions: names(uri(ID), uri(ID)) }, 'x509.uri_san_count'],
  ['B1 has a second URI SAN of another scheme', { extensions: names(uri(ID), uri('https://a')) }, 'x509.uri_san_count'],
  // [credentials.x509-svid.01]
  ['B2 has no SAN', { subject: 'x', extensions: { subjectAltName: undefined } }, 'x509.uri_san_count'],
  ['B2 has a DNS SAN only', { extensions: names(dns('a.example.com')) }, 'x509.uri_san_count'],
  // [credentials.x509-svid.01]
  ['B3 has an https URI', { extensions: names(uri('https://example.com/a')) }, 'x509.invalid_identifier'],
  ['B3 has a mistyped scheme', { extensions: names(uri('sparfe://example.com/a')) }, 'x509.invalid_identifier'],
  ['B3 has a wimse URI', { extensions: names(uri('wimse://example.com/a')) }, 'x509.invalid_identifier'],
  [
    'B3 has an upper-case trust domain',
    { extensions: names(uri('spiffe://Example.com/a')) },
    'x509.invalid_identifier',
  ],
  ['B3 has a dot segment', { extensions: names(uri('spiffe://example.com/a/../b')) }, 'x509.invalid_identifier'],
  // [credentials.x509-svid.03]
  ['B4 has no path', { extensions: names(uri('spiffe://example.com')) }, 'x509.root_path'],
  // [credentials.x509-svid.05]
  [
    'B5 is CA:TRUE without keyCertSign',
    { extensions: { basicConstraints: basicConstraints(true) } },
    'x509.leaf_is_ca',
  ],
  // [credentials.x509-svid.08]
  ['B6 has keyCertSign', { extensions: { keyUsage: keyUsage(['digitalSignature', 'keyCertSign']) } }, 'x509.key_usage'],
  ['B6 has cRLSign', { extensions: { keyUsage: keyUsage(['digitalSignature', 'cRLSign']) } }, 'x509.key_usage'],
  // [credentials.x509-svid.07]
  ['B7 lacks digitalSignature', { extensions: { keyUsage: keyUsage(['keyEncipherment']) } }, 'x509.key_usage'],
  // [credentials.x509-svid.06]
  ['B8 lacks keyUsage', { extensions: { keyUsage: undefined } }, 'x509.missing_key_usage'],
  [
    'B8 has keyUsage that is not critical',
    { extensions: { keyUsage: keyUsage(['digitalSignature'], false) } },
    'x509.key_usage_not_critical',
  ],
  // [credentials.x509-svid.10]
  [
    'B9 is for servers only',
    { extensions: { extendedKeyUsage: extendedKeyUsage(SERVER_AUTH) } },
    'x509.extended_key_usage',
  ],
  [
    'B9 is for clients only',
    { extensions: { extendedKeyUsage: extendedKeyUsage(CLIENT_AUTH) } },
    'x509.extended_key_usage',
  ],
  // [credentials.x509-svid.04]
  [
    'B10 has an empty subject and a SAN that is not critical',
    { extensions: { subjectAltName: subjectAltName([uri(ID)], false) } },
    'x509.san_not_critical',
  ],
  ['B13 is not valid yet', { notBefore: NOW + 1 }, 'x509.not_yet_valid'],
  // [credentials.aims.04]
  ['B13 has expired', { notAfter: NOW - 1 }, 'x509.expired'],
  [
    'B13 has an unknown critical extension',
    { extensions: { policy: { critical: true, oid: '1.2.3.4', value: Uint8Array.of(5, 0) } } },
    'x509.unknown_critical_extension',
  ],
  ['B15 is signed by another key', { signingKey: testKey().privateKey }, 'x509.invalid_signature'],
  // [credentials.x509-svid.21] [credentials.x509-path.07]
  [
    'B20 smuggles a second name into the text',
    { extensions: names(uri(`${ID}, URI:spiffe://example.com/admin`)) },
    'x509.invalid_identifier',
  ],
]

for (const [what, change, code] of LEAVES) {
  test(`a leaf that ${what} is refused`, () => {
    assertRefused(() => verify([buildSvid({ issuer: root, ...change })]), code)
  })
}

test('a leaf with keyEncipherment and keyAgreement besides digitalSignature, without EKU, with a subject, is accepted', () => {
  const leaf = buildSvid({
    issuer: root,
    subject: 'calendar',
    extensions: {
      keyUsage: keyUsage(['digitalSignature', 'keyEncipherment', 'keyAgreement']),
      extendedKeyUsage: undefined,
      basicConstraints: undefined,
      subjectAltName: subjectAltName([uri(ID)], false),
    },
  })
  assert.equal(verify([leaf]).subject, ID)
})

// [credentials.x509-svid.16] [credentials.x509-svid.18] [credentials.x509-path.04]
test('B11: a chain to the authority of another trust domain is refused, though that authority is trusted', () => {
  assertRefused(() => verify([buildSvid({ issuer: otherRoot })]), 'x509.untrusted')
})

test('an authority of the right name but another key does not help', () => {
  const impostor = buildCa({ subject: 'root' })
  assertRefused(() => verify([buildSvid({ issuer: impostor })]), 'x509.invalid_signature')
})

// One row per way for the certificate between leaf and root to be wrong.
const INTERMEDIATES: readonly (readonly [string, Partial<CertificateOptions>, string])[] = [
  // [credentials.x509-svid.11]
  ['B12 is no CA', { extensions: { basicConstraints: basicConstraints(false) } }, 'x509.not_a_ca'],
  ['B12 has no basicConstraints', { extensions: { basicConstraints: undefined } }, 'x509.not_a_ca'],
  ['B12 lacks keyCertSign', { extensions: { keyUsage: keyUsage(['cRLSign']) } }, 'x509.not_a_ca'],
  ['B12 lacks keyUsage', { extensions: { keyUsage: undefined } }, 'x509.not_a_ca'],
  ['B13 has expired', { notAfter: NOW - 1 }, 'x509.expired'],
  ['B13 is not valid yet', { notBefore: NOW + 1 }, 'x509.not_yet_valid'],
  [
    'B13 has an unknown critical extension',
    { extensions: { policy: { critical: true, oid: '1.2.3.4', value: Uint8Array.of(5, 0) } } },
    'x509.unknown_critical_extension',
  ],
  ['is signed by a stranger', { signingKey: testKey().privateKey }, 'x509.invalid_signature'],
  ['comes from a stranger', { issuer: buildCa({ subject: 'stranger' }) }, 'x509.untrusted'],
]

for (const [what, change, code] of INTERMEDIATES) {
  test(`a chain whose intermediate ${what} is refused`, () => {
    const ca = buildCa({ subject: 'intermediate', issuer: root, ...change })
    assertRefused(() => verify([buildSvid({ issuer: ca }), ca]), code)
  })
}

test('a certificate after the leaf that is no CA is refused even where the path does without it', () => {
  const leaf = buildSvid({ issuer: root })
  assertRefused(() => verify([leaf, buildSvid({ issuer: root })]), 'x509.not_a_ca')
  assert.equal(verify([leaf, root, intermediate]).subject, ID)
})

test('B13: a path longer than pathLen allows is refused', () => {
  const short = buildCa({ subject: 'short', issuer: root, extensions: { basicConstraints: basicConstraints(true, 0) } })
  const below = buildCa({ subject: 'below', issuer: short })
  assertRefused(() => verify([buildSvid({ issuer: below }), below, short]), 'x509.path_length')
  assert.equal(verify([buildSvid({ issuer: short }), short]).subject, ID)
})

// [credentials.x509-svid.14]
test('B14: a CA certificate does not authenticate, not even an authority of the bundle', () => {
  const own = buildCa({
    subject: 'own',
    extensions: {
      keyUsage: keyUsage(['digitalSignature', 'keyCertSign']),
      subjectAltName: subjectAltName([uri('spiffe://example.com')]),
    },
  })
  assertRefused(() => verify([own], { bundles: bundleSource(bundleOf(trustDomain, own)) }), 'x509.leaf_is_ca')
})

// [credentials.wic.05]
test('the trust domain expected is the only one accepted', () => {
  const leaf = buildSvid({ issuer: root })
  assertRefused(() => verify([leaf], { trustDomain: otherDomain }), 'x509.wrong_trust_domain')
})

// [credentials.x509-svid.16]
test('a trust domain without bundle, with an empty bundle, or with the bundle of another is not trusted', () => {
  const leaf = buildSvid({ issuer: root })
  for (const none of [
    bundleSource(),
    bundleSource(emptyBundle(trustDomain)),
    { bundleFor: () => bundleOf(otherDomain, root) },
  ]) {
    assertRefused(() => verify([leaf], { bundles: none }), 'x509.untrusted_domain')
  }
})

test('an authority that cannot be read does not take the others with it', () => {
  const mixed = { ...emptyBundle(trustDomain), x509Authorities: [Uint8Array.of(0x30, 0), root.der] }
  assert.equal(verify([buildSvid({ issuer: root })], { bundles: bundleSource(mixed) }).subject, ID)
  const broken = { ...emptyBundle(trustDomain), x509Authorities: [Uint8Array.of(0x30, 0)] }
  assertRefused(() => verify([buildSvid({ issuer: root })], { bundles: bundleSource(broken) }), 'x509.untrusted')
})

test('an expired authority is not used', () => {
  const old = buildCa({ subject: 'old', notAfter: NOW - 1 })
  const source = bundleSource(bundleOf(trustDomain, old))
  assertRefused(() => verify([buildSvid({ issuer: old })], { bundles: source }), 'x509.expired')
})

// [credentials.x509-path.01]
test('a chain is refused when it is empty, too long, too large, or not DER', () => {
  const leaf = buildSvid({ issuer: root })
  assertRefused(() => verify([]), 'x509.no_certificate')
  assertRefused(() => verify(Array.from({ length: 7 }, () => leaf)), 'x509.chain_too_long')
  assertRefused(() => verify([leaf, intermediate, intermediate], { maxCertificates: 2 }), 'x509.chain_too_long')
  const large = { ...leaf, der: Buffer.alloc(65_537) }
  assertRefused(() => verify([large]), 'credential.too_large')
  assertRefused(() => verify([{ ...leaf, der: leaf.der.subarray(1) }]), 'x509.malformed')
  assertRefused(() => verify([{ ...leaf, der: Buffer.concat([leaf.der, Buffer.of(0)]) }]), 'x509.malformed')
})

test('options out of range are misuse', () => {
  const leaf = buildSvid({ issuer: root })
  assert.throws(() => verify([leaf], { now: Number.NaN }), TypeError)
  assert.throws(() => verify([leaf], { maxCertificates: 9 }), TypeError)
  // As from a configuration file.
  for (const mode of ['SVID', 'strict', '', null]) {
    assert.throws(() => verify([leaf], { mode: mode as 'svid' }), TypeError)
  }
})

test('validity is inclusive at both ends, to the second', () => {
  const leaf = buildSvid({ issuer: root, notBefore: NOW, notAfter: NOW + 1 })
  for (const now of [NOW, NOW + 1, NOW + 1.9]) assert.equal(verify([leaf], { now }).subject, ID)
  assertRefused(() => verify([leaf], { now: NOW - 0.001 }), 'x509.not_yet_valid')
  assertRefused(() => verify([leaf], { now: NOW + 2 }), 'x509.expired')
  assert.ok(NOT_BEFORE < NOW)
})

// [credentials.wic.07]
test('mode wic accepts what X509-SVID forbids and the WIMSE draft does not', () => {
  const bare = { keyUsage: undefined, extendedKeyUsage: extendedKeyUsage(SERVER_AUTH) }
  const wic = buildSvid({ issuer: root, extensions: bare })
  assert.equal(verify([wic], { mode: 'wic' }).mode, 'wic')
  assertRefused(() => verify([wic]), 'x509.missing_key_usage')
  const wimse = buildSvid({ issuer: root, extensions: { ...bare, ...names(uri('wimse://example.com/agent')) } })
  assertRefused(() => verify([wimse], { mode: 'wic', trustDomain }), 'x509.untrusted_domain')
  const wimseBundles = bundleSource({ ...bundleOf(trustDomain, root), scheme: 'wimse' })
  assertRefused(() => verify([wic], { mode: 'wic', trustDomain, bundles: wimseBundles }), 'x509.untrusted_domain')
  const verified = verify([wimse], { mode: 'wic', trustDomain, bundles: wimseBundles })
  assert.equal(verified.subject, 'wimse://example.com/agent')
  assert.equal(verified.trustDomain, 'example.com')
})

// What stays forbidden in mode wic.
const WICS: readonly (readonly [string, CertificateOptions, string])[] = [
  // [credentials.wic.01] [credentials.wic.02]
  ['has two URI SANs', { extensions: names(uri(ID), uri('wimse://example.com/a')) }, 'x509.uri_san_count'],
  ['has a malformed identifier', { extensions: names(uri('wimse://example.com:443/a')) }, 'x509.invalid_identifier'],
  ['has no path', { extensions: names(uri('wimse://example.com')) }, 'x509.root_path'],
  ['is a CA', { extensions: { basicConstraints: basicConstraints(true) } }, 'x509.leaf_is_ca'],
  ['has keyCertSign', { extensions: { keyUsage: keyUsage(['digitalSignature', 'keyCertSign']) } }, 'x509.key_usage'],
  ['may not sign', { extensions: { keyUsage: keyUsage(['keyAgreement']) } }, 'x509.key_usage'],
  [
    'has an empty subject and a SAN that is not critical',
    { extensions: { subjectAltName: subjectAltName([uri(ID)], false) } },
    'x509.san_not_critical',
  ],
  // [credentials.wic.04] [credentials.wic.06]
  [
    'is of another trust domain than its authority',
    { extensions: names(uri('spiffe://other.example/a')) },
    'x509.untrusted',
  ],
]

for (const [what, change, code] of WICS) {
  test(`a WIC that ${what} is refused`, () => {
    assertRefused(() => verify([buildSvid({ issuer: root, ...change })], { mode: 'wic' }), code)
  })
}

// [credentials.x509-path.01]
test('a leaf with an Ed25519 key is accepted where that was asked for, also below an authority that has none', () => {
  const leaf = buildSvid({ issuer: root, key: generateKeyPairSync('ed25519') })
  assertRefused(() => verify([leaf]), 'x509.weak_key')
  assertRefused(() => verify([leaf], { ed25519: false }), 'x509.weak_key')
  assert.ok(verify([leaf], { ed25519: true }).publicKey.equals(leaf.key.publicKey))
  assert.throws(() => verify([leaf], { ed25519: JSON.parse('1') }), TypeError)
})
