import '../../../../test/support/reflect-metadata.ts'
import assert from 'node:assert/strict'
import { generateKeyPairSync, X509Certificate } from 'node:crypto'
import { test } from 'node:test'
import * as peculiar from '@peculiar/x509'
import fc from 'fast-check'
import {
  ascii,
  basicConstraints,
  buildCa,
  buildCertificate,
  buildSvid,
  type CertificateOptions,
  dns,
  extendedKeyUsage,
  extension,
  keyUsage,
  nameConstraints,
  name as nameOf,
  oid,
  sequence,
  subjectAltName,
  testKey,
  tlv,
  uri,
} from '../../../../test/support/certificates.ts'
import { assertRefused } from '../../../../test/support/tokens.ts'
import { AimsError } from './errors.ts'
import { certificateOfTls, parseCertificate } from './x509-certificate.ts'

const root = buildCa({ subject: 'root' })
const ID = 'spiffe://example.com/agent/calendar-bot'

test('every field is read from the DER', () => {
  const { der, key } = buildCertificate({
    issuer: root,
    subject: 'leaf',
    extensions: {
      basicConstraints: basicConstraints(true, 3),
      keyUsage: keyUsage(['digitalSignature', 'cRLSign']),
      extendedKeyUsage: extendedKeyUsage('1.3.6.1.5.5.7.3.1', '1.2.3'),
      subjectAltName: subjectAltName(
        [
          uri(ID),
          dns('*.example.com'),
          ascii(0x81, 'bot@example.com'),
          tlv(0x87, Uint8Array.of(192, 0, 2, 1)),
          tlv(0xa4, nameOf('directory')),
          tlv(0xa0, oid('1.2.3'), tlv(0xa0, ascii(0x0c, 'other'))),
        ],
        false,
      ),
      nameConstraints: nameConstraints([uri('example.com')], [dns('bad.example.com')]),
      unknown: { critical: true, oid: '1.2.3.4', value: Uint8Array.of(5, 0) },
      ignored: { critical: false, oid: '1.2.3.5', value: Uint8Array.of(5, 0) },
    },
  })
  const certificate = parseCertificate(der)
  const { extensions, altNames } = certificate
  assert.equal(certificate.version, 3)
  assert.equal(certificate.serialNumber, '01020304')
  assert.equal(certificate.keyType, 'P-256')
  assert.deepEqual(certificate.signatureScheme, { hash: 'sha256', keyType: 'ec' })
  assert.deepEqual(Buffer.from(certificate.issuer), Buffer.from(root.subject))
  assert.deepEqual(Buffer.from(certificate.subject), nameOf('leaf'))
  assert.equal(certificate.isSelfIssued, false)
  assert.ok(certificate.subjectPublicKey.equals(key.publicKey))
  assert.deepEqual(extensions.basicConstraints, { critical: true, ca: true, pathLength: 3 })
  assert.deepEqual([...(certificate.usages ?? [])], ['digitalSignature', 'cRLSign'])
  assert.deepEqual(extensions.extendedKeyUsage?.purposes, ['1.3.6.1.5.5.7.3.1', '1.2.3'])
  assert.deepEqual(altNames.uris, [ID])
  assert.deepEqual(altNames.dnsNames, ['*.example.com'])
  assert.deepEqual(altNames.emails, ['bot@example.com'])
  assert.deepEqual(
    altNames.ipAddresses.map((ip) => [...ip]),
    [[192, 0, 2, 1]],
  )
  assert.equal(altNames.directoryNames.length, 1)
  assert.deepEqual(altNames.otherKinds, [0])
  assert.deepEqual(extensions.nameConstraints?.permitted?.uris, ['example.com'])
  assert.deepEqual(extensions.nameConstraints?.excluded?.dnsNames, ['bad.example.com'])
  assert.deepEqual(extensions.unknownCritical, ['1.2.3.4'])
})

// [credentials.x509-svid.05]
test('CA:TRUE without keyCertSign is a CA, whatever the platform makes of it', () => {
  const { der } = buildSvid({ issuer: root, subject: 'x', extensions: { basicConstraints: basicConstraints(true) } })
  assert.equal(parseCertificate(der).isCa, true)
  assert.equal(new X509Certificate(der).ca, false)
})

// [credentials.x509-svid.21] [credentials.x509-path.07]
test('a name with commas and colons stays one name', () => {
  const text = 'spiffe://example.com/a, URI:spiffe://example.com/admin'
  const { der } = buildSvid({ issuer: root, extensions: { subjectAltName: subjectAltName([uri(text)]) } })
  assert.deepEqual(parseCertificate(der).altNames.uris, [text])
})

test('the certificate does not change with the bytes it was read from', () => {
  const { der } = buildSvid({ issuer: root })
  const bytes = Buffer.from(der)
  const certificate = parseCertificate(bytes)
  bytes.fill(0)
  assert.deepEqual(Buffer.from(certificate.raw), der)
  assert.deepEqual(certificate.altNames.uris, [ID])
})

const bitStringUsage = (content: readonly number[]) => ({
  keyUsage: { critical: true, oid: '2.5.29.15', value: tlv(3, Uint8Array.of(...content)) },
})
const withNames = (...names: readonly Uint8Array[]) => ({ extensions: { subjectAltName: subjectAltName(names) } })
const raw = (id: string, value: Uint8Array, critical = false) => ({
  extensions: { [id]: { critical, oid: id, value } },
})

// One row per way to be refused.
const REFUSED: readonly (readonly [string, CertificateOptions, string])[] = [
  ['a serial number of zero', { serialNumber: Uint8Array.of(0) }, 'x509.malformed'],
  ['a negative serial number', { serialNumber: Uint8Array.of(0x80) }, 'x509.malformed'],
  ['a serial number of 21 bytes', { serialNumber: new Uint8Array(21).fill(1) }, 'x509.malformed'],
  ['two signature algorithms', { outerAlgorithm: sequence(oid('1.2.840.10045.4.3.3')) }, 'x509.malformed'],
  ['an empty issuer', { issuerName: sequence() }, 'x509.malformed'],
  ['an issuer that is no name', { issuerName: sequence(tlv(0x31)) }, 'x509.malformed'],
  [
    'a repeated extension',
    { rawExtensions: [extension(keyUsage(['cRLSign'])), extension(keyUsage(['cRLSign']))] },
    'x509.invalid_extension',
  ],
  ['an empty keyUsage', { extensions: bitStringUsage([0]) }, 'x509.invalid_extension'],
  ['a keyUsage of zeros', { extensions: bitStringUsage([0, 0]) }, 'x509.invalid_extension'],
  ['a keyUsage with trailing zero bits', { extensions: bitStringUsage([0, 0x80]) }, 'x509.invalid_extension'],
  ['an empty extended key usage', { extensions: { extendedKeyUsage: extendedKeyUsage() } }, 'x509.invalid_extension'],
  ['an empty SAN', withNames(), 'x509.invalid_extension'],
  ['a SAN beyond ASCII', withNames(uri('spiffe://ex\u00e4mple.com/a')), 'x509.invalid_extension'],
  ['a DNS name with an underscore', withNames(dns('a_b.example.com')), 'x509.invalid_extension'],
  ['a DNS name that is an address', withNames(dns('192.0.2.1')), 'x509.invalid_extension'],
  ['a DNS name with a final dot', withNames(dns('example.com.')), 'x509.invalid_extension'],
  ['an empty DNS name', withNames(dns('')), 'x509.invalid_extension'],
  ['a wildcard inside a DNS name', withNames(dns('a.*.example.com')), 'x509.invalid_extension'],
  ['an email with two at signs', withNames(ascii(0x81, 'a@b@example.com')), 'x509.invalid_extension'],
  ['an address of five bytes', withNames(tlv(0x87, new Uint8Array(5))), 'x509.invalid_extension'],
  ['an unknown kind of name', withNames(tlv(0x89, new Uint8Array(1))), 'x509.invalid_extension'],
  ['empty name constraints', { extensions: { nc: nameConstraints([]) } }, 'x509.invalid_extension'],
  ['a critical subject key identifier', raw('2.5.29.14', tlv(4, new Uint8Array(20)), true), 'x509.invalid_extension'],
  ['basicConstraints with FALSE written out', raw('2.5.29.19', sequence(Uint8Array.of(1, 1, 0))), 'x509.malformed'],
  [
    'basicConstraints with a negative path length',
    raw('2.5.29.19', sequence(Uint8Array.of(1, 1, 255, 2, 1, 255))),
    'x509.malformed',
  ],
  ['a path length though it is no CA', raw('2.5.29.19', sequence(Uint8Array.of(2, 1, 0))), 'x509.invalid_extension'],
  [
    'bytes after the value of an extension',
    raw('2.5.29.19', Buffer.concat([sequence(), Buffer.of(0)])),
    'x509.malformed',
  ],
  ['an empty list of extensions', { rawExtensions: [Buffer.alloc(0)] }, 'x509.malformed'],
  ['a key that is no SubjectPublicKeyInfo', { spki: sequence() }, 'x509.malformed'],
]

for (const [what, options, code] of REFUSED) {
  test(`a certificate with ${what} is refused`, () => {
    // Identifiers given by OID replace the default ones of the builder.
    const defaults = { subjectKeyId: undefined, authorityKeyId: undefined }
    const { der } = buildCertificate({
      issuer: root,
      subject: 'x',
      ...options,
      extensions: { ...defaults, ...options.extensions },
    })
    assertRefused(() => parseCertificate(der), code)
  })
}

test('weak and foreign keys are read, and known as unsupported', () => {
  const rsa1024 = generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey
  const keys = [rsa1024, testKey('secp256k1').publicKey, generateKeyPairSync('ed448').publicKey]
  for (const key of keys) {
    const { der } = buildSvid({ issuer: root, spki: key.export({ type: 'spki', format: 'der' }) })
    const certificate = parseCertificate(der)
    assert.equal(certificate.keyType, 'unsupported')
    assertRefused(() => certificate.subjectPublicKey, 'x509.weak_key')
    const ofTls = parseCertificate(certificateOfTls(new X509Certificate(der)))
    assertRefused(() => ofTls.subjectPublicKey, 'x509.weak_key')
  }
  const supported = [
    ['RSA', generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey],
    ['P-384', testKey('P-384').publicKey],
    ['P-521', testKey('P-521').publicKey],
    ['Ed25519', generateKeyPairSync('ed25519').publicKey],
  ] as const
  for (const [type, key] of supported) {
    const { der } = buildSvid({ issuer: root, spki: key.export({ type: 'spki', format: 'der' }) })
    const certificate = parseCertificate(der)
    assert.equal(certificate.keyType, type)
    assert.ok(certificate.subjectPublicKey.equals(key))
    const ofTls = parseCertificate(certificateOfTls(new X509Certificate(der)))
    assert.equal(ofTls.keyType, type)
    assert.ok(ofTls.subjectPublicKey.equals(key))
  }
})

test('a point off its curve is refused when the key is used', () => {
  const spki = testKey().publicKey.export({ type: 'spki', format: 'der' })
  spki.writeUInt8((spki.readUInt8(90) + 1) % 256, 90)
  const { der } = buildSvid({ issuer: root, spki })
  for (const bytes of [der, certificateOfTls(new X509Certificate(der))]) {
    const certificate = parseCertificate(bytes)
    assertRefused(() => certificate.subjectPublicKey, 'x509.malformed')
  }
})

test('any certificate with one byte changed is read or refused with a code', () => {
  const { der } = buildSvid({ issuer: root, extensions: { nc: nameConstraints([dns('a')]) } })
  for (const [index, byte] of der.entries()) {
    for (const change of [1, 0x80, 0xff]) {
      const bytes = Buffer.from(der)
      bytes[index] = byte ^ change
      try {
        parseCertificate(bytes)
      } catch (error) {
        assert.ok(AimsError.is(error) && error.code.startsWith('x509.'), `${index}: ${String(error)}`)
      }
    }
  }
})

test('any bytes are refused with a code', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      assertRefused(() => parseCertificate(sequence(bytes)), 'x509.malformed')
    }),
  )
})

test('fields agree with node:crypto and @peculiar/x509', () => {
  const label = fc.stringMatching(/^[a-z][a-z0-9]{0,20}$/)
  const arbitrary = fc.record({
    path: label,
    hosts: fc.array(label, { maxLength: 3 }),
    subject: label,
    serial: fc.uint8Array({ minLength: 1, maxLength: 18 }),
    notBefore: fc.integer({ min: 0, max: 4_000_000_000 }),
    ca: fc.boolean(),
  })
  const key = testKey()
  fc.assert(
    fc.property(arbitrary, ({ path, hosts, subject, serial, notBefore, ca }) => {
      const { der } = buildSvid({
        issuer: root,
        key,
        subject,
        serialNumber: Uint8Array.of(1, ...serial),
        notBefore,
        notAfter: notBefore + 60,
        extensions: {
          basicConstraints: basicConstraints(ca),
          subjectAltName: subjectAltName([
            uri(`spiffe://example.com/${path}`),
            ...hosts.map((host) => dns(`${host}.example.com`)),
          ]),
        },
      })
      const ours = parseCertificate(der)
      const node = new X509Certificate(der)
      const theirs = new peculiar.X509Certificate(new Uint8Array(der))
      assert.equal(ours.serialNumber, node.serialNumber.toLowerCase())
      assert.equal(ours.serialNumber, theirs.serialNumber)
      assert.equal(ours.notBefore, node.validFromDate.getTime() / 1000)
      assert.equal(ours.notAfter, theirs.notAfter.getTime() / 1000)
      assert.equal(ours.isCa, theirs.getExtension(peculiar.BasicConstraintsExtension)?.ca)
      const names = theirs.getExtension(peculiar.SubjectAlternativeNameExtension)?.names.items ?? []
      assert.deepEqual(
        [...ours.altNames.uris, ...ours.altNames.dnsNames],
        names.map(({ value }) => value),
      )
      assert.deepEqual(Buffer.from(ours.spkiDer), Buffer.from(theirs.publicKey.rawData))
      assert.deepEqual(Buffer.from(ours.signature), Buffer.from(theirs.signature))
      assert.deepEqual(Buffer.from(ours.subject), Buffer.from(theirs.subjectName.toArrayBuffer()))
      assert.ok(ours.subjectPublicKey.equals(node.publicKey))
    }),
    { numRuns: 50 },
  )
})
