import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { test } from 'node:test'
import {
  ascii,
  basicConstraints,
  buildCa,
  buildSvid,
  type CertificateOptions,
  dns,
  keyUsage,
  NOW,
  name,
  nameConstraints,
  oid,
  sequence,
  subjectAltName,
  type TestCertificate,
  type TestExtensions,
  testKey,
  tlv,
  uri,
} from '../../../../test/support/certificates.ts'
import { assertRefused } from '../../../../test/support/tokens.ts'
import { parseCertificate } from './x509-certificate.ts'
import { type PathRequest, type ValidatedPath, validatePath } from './x509-path.ts'

const root = buildCa({ subject: 'root' })

function validate(
  leaf: TestCertificate,
  intermediates: readonly TestCertificate[],
  anchors: readonly TestCertificate[],
  options: Partial<PathRequest> = {},
): ValidatedPath {
  const parse = ({ der }: TestCertificate) => parseCertificate(der)
  return validatePath({
    leaf: parse(leaf),
    intermediates: intermediates.map(parse),
    anchors: anchors.map(parse),
    now: NOW,
    ...options,
  })
}

/** `length` CAs below the root, nearest to the root first, and a leaf. */
function chain(length: number): { readonly leaf: TestCertificate; readonly cas: readonly TestCertificate[] } {
  const cas: TestCertificate[] = []
  for (let i = 0; i < length; i += 1) cas.push(buildCa({ subject: `ca ${i}`, issuer: cas.at(-1) ?? root }))
  return { leaf: buildSvid({ issuer: cas.at(-1) ?? root }), cas }
}

test('a path is found whatever the order of the intermediates, and comes back leaf first', () => {
  const { leaf, cas } = chain(3)
  for (const order of [cas, cas.toReversed()]) {
    const path = validate(leaf, [buildCa({ subject: 'unrelated' }), ...order], [buildCa({ subject: 'other' }), root])
    const expected = [leaf, ...cas.toReversed(), root].map(({ der }) => der)
    assert.deepEqual(
      path.certificates.map(({ raw }) => Buffer.from(raw)),
      expected,
    )
  }
})

// [credentials.x509-path.01]
test('a path has at most 6 certificates, or as many as configured up to 8', () => {
  const four = chain(4)
  assert.equal(validate(four.leaf, four.cas, [root]).certificates.length, 6)
  const five = chain(5)
  assertRefused(() => validate(five.leaf, five.cas, [root]), 'x509.chain_too_long')
  assert.equal(validate(five.leaf, five.cas, [root], { maxCertificates: 8 }).certificates.length, 7)
  assertRefused(() => validate(four.leaf, four.cas, [root], { maxPathLength: 3 }), 'x509.path_length')
  for (const maxCertificates of [1, 9, Number.NaN]) {
    assert.throws(() => validate(four.leaf, four.cas, [root], { maxCertificates }), TypeError)
  }
})

test('an authority that was certified by another still ends the path', () => {
  const { leaf, cas } = chain(2)
  const anchor = cas[1] as TestCertificate
  assert.equal(validate(leaf, cas, [anchor]).certificates.length, 2)
})

test('of two authorities with one name the right one is found, with and without key identifiers', () => {
  const [first, second] = [buildCa({ subject: 'twin' }), buildCa({ subject: 'twin' })]
  for (const issuer of [first, second]) {
    const leaf = buildSvid({ issuer })
    assert.equal(validate(leaf, [], [first, second]).certificates[1]?.serialNumber, '01020304')
    // An identifier that fits nobody is a hint that does not help, and no reason to refuse.
    const authorityKeyId = { critical: false, oid: '2.5.29.35', value: sequence(tlv(0x80, new Uint8Array(20))) }
    const misled = buildSvid({ issuer, extensions: { authorityKeyId } })
    assert.equal(validate(misled, [], [first, second]).certificates.length, 2)
  }
})

test('a valid path is found beside one that is expired', () => {
  const key = testKey()
  const expired = buildCa({ subject: 'ca', issuer: root, key, notAfter: NOW - 1 })
  const renewed = buildCa({ subject: 'ca', issuer: root, key })
  const leaf = buildSvid({ issuer: renewed })
  assert.equal(validate(leaf, [expired, renewed], [root]).certificates.length, 3)
  assertRefused(() => validate(leaf, [expired], [root]), 'x509.expired')
})

test('CAs that certify each other end in a refusal', () => {
  const [a, b] = [testKey(), testKey()]
  const aByB = buildCa({ subject: 'a', key: a, issuer: buildCa({ subject: 'b', key: b }) })
  const bByA = buildCa({ subject: 'b', key: b, issuer: buildCa({ subject: 'a', key: a }) })
  assertRefused(() => validate(buildSvid({ issuer: aByB }), [aByB, bByA], [root]), 'x509.untrusted')
})

test('a hundred intermediates of one name cost a bounded number of signature checks', () => {
  const many = Array.from({ length: 100 }, () => buildCa({ subject: 'many', issuer: root }))
  const leaf = buildSvid({ issuer: many[0] as TestCertificate, signingKey: testKey().privateKey })
  const start = process.cpuUsage()
  assertRefused(() => validate(leaf, many, [root]), 'x509.invalid_signature')
  const { user, system } = process.cpuUsage(start)
  // Parsing of the hundred is in it; 16 checks and as many keys cost about 2 ms.
  assert.ok(user + system < 200_000, `${user + system} us`)
})

test('the refusal does not depend on the order of the intermediates', () => {
  const expired = buildCa({ subject: 'ca', issuer: root, notAfter: NOW - 1 })
  const stranger = buildCa({ subject: 'unrelated' })
  const leaf = buildSvid({ issuer: expired })
  assertRefused(() => validate(leaf, [expired, stranger], [root]), 'x509.expired')
  assertRefused(() => validate(leaf, [stranger, expired], [root]), 'x509.expired')
})

// One row per thing that is wrong with an authority in the bundle.
const ANCHORS: readonly (readonly [string, Partial<CertificateOptions>, string])[] = [
  ['is no CA', { extensions: { basicConstraints: basicConstraints(false) } }, 'x509.not_a_ca'],
  [
    'has basicConstraints that are not critical',
    { extensions: { basicConstraints: basicConstraints(true, undefined, false) } },
    'x509.invalid_extension',
  ],
  ['lacks keyCertSign', { extensions: { keyUsage: keyUsage(['cRLSign']) } }, 'x509.not_a_ca'],
  ['has no subject key identifier', { extensions: { subjectKeyId: undefined } }, 'x509.invalid_extension'],
  ['has expired', { notAfter: NOW - 1 }, 'x509.expired'],
  ['is not valid yet', { notBefore: NOW + 1 }, 'x509.not_yet_valid'],
  [
    'has an unknown critical extension',
    { extensions: { x: { critical: true, oid: '1.2.3', value: Uint8Array.of(5, 0) } } },
    'x509.unknown_critical_extension',
  ],
  [
    'has policy constraints',
    { extensions: { x: { critical: false, oid: '2.5.29.36', value: sequence() } } },
    'x509.unknown_critical_extension',
  ],
  [
    'has name constraints that are not critical',
    { extensions: { x: nameConstraints([uri('example.com')], [], false) } },
    'x509.invalid_extension',
  ],
  ['signs with SHA-1', { hash: 'sha1', algorithm: sequence(oid('1.2.840.10045.4.1')) }, 'x509.weak_key'],
]

for (const [what, change, code] of ANCHORS) {
  test(`an authority that ${what} is refused`, () => {
    const anchor = buildCa({ subject: 'anchor', ...change })
    assertRefused(() => validate(buildSvid({ issuer: anchor }), [], [anchor]), code)
  })
}

test('an authority without keyUsage is accepted: it is trusted by configuration', () => {
  const anchor = buildCa({ subject: 'anchor', extensions: { keyUsage: undefined } })
  assert.equal(validate(buildSvid({ issuer: anchor }), [], [anchor]).certificates.length, 2)
})

const LEAVES: readonly (readonly [string, CertificateOptions, string])[] = [
  ['is signed over SHA-1', { hash: 'sha1', algorithm: sequence(oid('1.2.840.10045.4.1')) }, 'x509.weak_key'],
  [
    'names another signature algorithm than was used',
    { algorithm: sequence(oid('1.2.840.10045.4.3.3')) },
    'x509.invalid_signature',
  ],
  ['names an algorithm of another kind of key', { algorithm: sequence(oid('1.3.101.112')) }, 'x509.invalid_signature'],
  [
    'names ECDSA with parameters',
    { algorithm: sequence(oid('1.2.840.10045.4.3.2'), Uint8Array.of(5, 0)) },
    'x509.weak_key',
  ],
  [
    'has a key of 1024 bits',
    { spki: generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey.export({ type: 'spki', format: 'der' }) },
    'x509.weak_key',
  ],
  [
    'has a key on another curve',
    { spki: testKey('secp256k1').publicKey.export({ type: 'spki', format: 'der' }) },
    'x509.weak_key',
  ],
  ['has no authority key identifier', { extensions: { authorityKeyId: undefined } }, 'x509.invalid_extension'],
  ['has name constraints', { extensions: { x: nameConstraints([uri('example.com')]) } }, 'x509.invalid_extension'],
  ['is no CA and has keyCertSign', { extensions: { keyUsage: keyUsage(['keyCertSign']) } }, 'x509.key_usage'],
]

for (const [what, change, code] of LEAVES) {
  test(`a leaf that ${what} is refused by the path`, () => {
    assertRefused(() => validate(buildSvid({ issuer: root, ...change }), [], [root]), code)
  })
}

test('every byte of the signed part and the signature counts', () => {
  const leaf = buildSvid({ issuer: root })
  let refused = 0
  for (let index = 0; index < leaf.der.length; index += 7) {
    const der = Buffer.from(leaf.der)
    der.writeUInt8(der.readUInt8(index) ^ 1, index)
    assert.throws(() => validate({ ...leaf, der }, [], [root]), { name: 'AimsError' })
    refused += 1
  }
  assert.ok(refused > 50)
})

const names = (...list: readonly Uint8Array[]): TestExtensions => ({ subjectAltName: subjectAltName(list) })
const email = (text: string): Buffer => ascii(0x81, text)
const ip = (...bytes: readonly number[]): Buffer => tlv(0x87, Uint8Array.from(bytes))
const directory = (commonName: string): Buffer => tlv(0xa4, name(commonName))
const attribute = (type: string, tag: number, value: Uint8Array | string): Buffer =>
  sequence(oid(type), tlv(tag, Buffer.from(value as string)))
// One RDN with these attributes.
const directoryOf = (...attributes: readonly Uint8Array[]): Buffer => tlv(0xa4, sequence(tlv(0x31, ...attributes)))
const CN = '2.5.4.3'
const other = tlv(0xa0, oid('1.2.3'), tlv(0xa0, ascii(0x0c, 'x')))
const ID = uri('spiffe://example.com/a')

// Name of the leaf; permitted; excluded; whether the path holds.
const CONSTRAINTS: readonly (readonly [
  string,
  readonly Uint8Array[],
  readonly Uint8Array[],
  readonly Uint8Array[],
  boolean,
])[] = [
  ['URI within its host', [ID], [uri('example.com')], [], true],
  ['URI, host in other case', [ID], [uri('EXAMPLE.com')], [], true],
  ['URI of another host', [ID], [uri('other.example')], [], false],
  ['URI of a longer host', [uri('spiffe://notexample.com/a')], [uri('example.com')], [], false],
  ['URI below a host', [uri('spiffe://a.example.com/a')], [uri('example.com')], [], false],
  ['URI below a host with a leading dot', [uri('spiffe://a.example.com/a')], [uri('.example.com')], [], true],
  ['URI at a host with a leading dot', [ID], [uri('.example.com')], [], false],
  [
    'URI with the permitted host in its path',
    [uri('spiffe://evil.example/example.com')],
    [uri('example.com')],
    [],
    false,
  ],
  ['URI with the permitted host as user', [uri('https://example.com@evil.example/')], [uri('example.com')], [], false],
  ['URI with a port', [uri('https://example.com:8443/')], [uri('example.com')], [], true],
  ['URI excluded', [ID], [], [uri('example.com')], false],
  ['URI not excluded', [ID], [], [uri('other.example')], true],
  ['URI of an address', [uri('https://192.0.2.1/')], [], [uri('example.com')], false],
  ['URI of an IPv6 address with a zone', [uri('https://[fe80::1%25example.com]/')], [], [uri('other.example')], false],
  ['URI without a host', [uri('urn:a')], [], [uri('example.com')], false],
  ['DNS within', [dns('a.example.com')], [dns('example.com')], [], true],
  ['DNS equal', [dns('example.com')], [dns('Example.com')], [], true],
  ['DNS outside', [dns('aexample.com')], [dns('example.com')], [], false],
  ['DNS, anything permitted', [dns('a.example.com')], [dns('')], [], true],
  ['DNS excluded', [dns('a.example.com')], [], [dns('example.com')], false],
  ['DNS wildcard over an excluded name', [dns('*.example.com')], [], [dns('bad.example.com')], false],
  ['DNS wildcard wider than permitted', [dns('*.example.com')], [dns('a.example.com')], [], false],
  ['DNS wildcard within', [dns('*.a.example.com')], [dns('example.com')], [], true],
  ['one DNS name of two outside', [dns('a.example.com'), dns('b.other.example')], [dns('example.com')], [], false],
  ['email of a host', [email('a@example.com')], [email('example.com')], [], true],
  ['email of a mailbox', [email('a@example.com')], [email('a@EXAMPLE.com')], [], true],
  ['email of another mailbox', [email('A@example.com')], [email('a@example.com')], [], false],
  ['email below a host', [email('a@b.example.com')], [email('.example.com')], [], true],
  ['email of another host', [email('a@example.com')], [email('.example.com')], [], false],
  ['email excluded', [email('a@example.com')], [], [email('example.com')], false],
  ['address within', [ip(192, 0, 2, 9)], [ip(192, 0, 2, 0, 255, 255, 255, 0)], [], true],
  ['address outside', [ip(192, 0, 3, 9)], [ip(192, 0, 2, 0, 255, 255, 255, 0)], [], false],
  ['address of the other family', [ip(...Array(16).fill(0))], [ip(0, 0, 0, 0, 0, 0, 0, 0)], [], false],
  ['address excluded', [ip(192, 0, 2, 9)], [], [ip(192, 0, 2, 8, 255, 255, 255, 248)], false],
  ['directory name within', [directory('a')], [directory('a')], [], true],
  ['directory name outside', [directory('b')], [directory('a')], [], false],
  ['directory name excluded', [directory('a')], [], [directory('a')], false],
  ['directory name not excluded', [directory('a')], [], [directory('b')], true],
  ['directory name excluded in another case', [directory('EVIL')], [], [directory('evil')], false],
  ['directory name excluded with more blanks', [directory(' e  v ')], [], [directory('e v')], false],
  ['directory name excluded as another string', [directoryOf(attribute(CN, 0x13, 'a'))], [], [directory('a')], false],
  ['directory name beyond ASCII', [directory('z\u00fcrich')], [], [directory('Z\u00dcRICH')], false],
  [
    'directory name in two bytes a character',
    [directoryOf(attribute(CN, 0x1e, Uint8Array.of(0, 0x61)))],
    [],
    [directory('a')],
    false,
  ],
  [
    'directory name excluded with one attribute more',
    [directoryOf(attribute(CN, 0x0c, 'A'), attribute('2.5.4.10', 0x0c, 'b'))],
    [],
    [directory('a')],
    false,
  ],
  [
    'directory name with another attribute',
    [directoryOf(attribute('2.5.4.10', 0x0c, 'a'))],
    [],
    [directory('a')],
    true,
  ],
  ['directory name shorter than excluded', [tlv(0xa4, sequence())], [], [directory('a')], true],
  ['another kind than constrained', [ID], [dns('example.com')], [], true],
  ['a kind that is not processed, though no such name occurs', [ID], [], [other], false],
  ['a malformed DNS constraint', [ID], [], [dns('*.example.com')], false],
  ['a DNS constraint with a leading dot', [ID], [], [dns('.example.com')], false],
  ['an address constraint without mask', [ID], [], [ip(192, 0, 2, 0)], false],
  ['an address constraint with a torn mask', [ID], [], [ip(192, 0, 2, 0, 255, 0, 255, 0)], false],
  ['a malformed email constraint', [ID], [], [email('@example.com')], false],
  ['an empty URI constraint', [ID], [], [uri('')], false],
]

for (const [what, leafNames, permitted, excluded, holds] of CONSTRAINTS) {
  // [credentials.x509-svid.15]
  test(`name constraints: ${what} ${holds ? 'holds' : 'is refused'}`, () => {
    const anchor = buildCa({ subject: 'anchor', extensions: { nc: nameConstraints(permitted, excluded) } })
    const leaf = buildSvid({ issuer: anchor, extensions: names(...leafNames) })
    if (holds) assert.equal(validate(leaf, [], [anchor]).certificates.length, 2)
    else assertRefused(() => validate(leaf, [], [anchor]), 'x509.name_constraints')
  })
}

test('name constraints reach the subject, its email address, and CAs in between', () => {
  const withNc = (...permitted: readonly Uint8Array[]) =>
    buildCa({ subject: 'anchor', extensions: { nc: nameConstraints(permitted) } })
  const inDirectory = withNc(directory('a'))
  assertRefused(
    () => validate(buildSvid({ issuer: inDirectory, subject: 'b' }), [], [inDirectory]),
    'x509.name_constraints',
  )
  assert.ok(validate(buildSvid({ issuer: inDirectory, subject: 'a' }), [], [inDirectory]))

  const inHost = withNc(uri('example.com'))
  const ca = buildCa({ subject: 'ca', issuer: inHost, extensions: names(uri('spiffe://other.example')) })
  assertRefused(() => validate(buildSvid({ issuer: ca }), [ca], [inHost]), 'x509.name_constraints')

  const inMail = withNc(email('example.com'))
  const address = sequence(oid('1.2.840.113549.1.9.1'), ascii(0x16, 'a@evil.example'))
  const leaf = buildSvid({ issuer: inMail, subjectName: sequence(tlv(0x31, address)) })
  assertRefused(() => validate(leaf, [], [inMail]), 'x509.name_constraints')
  assert.ok(validate(buildSvid({ issuer: inMail, subject: 'a' }), [], [inMail]))
})

test('many names against many constraints are refused rather than compared', () => {
  const hosts = (count: number) => Array.from({ length: count }, (_, i) => dns(`h${i}.example.com`))
  const anchor = buildCa({ subject: 'anchor', extensions: { nc: nameConstraints(hosts(100)) } })
  assert.ok(validate(buildSvid({ issuer: anchor, extensions: names(...hosts(40)) }), [], [anchor]))
  assertRefused(
    () => validate(buildSvid({ issuer: anchor, extensions: names(...hosts(50)) }), [], [anchor]),
    'x509.name_constraints',
  )
})

test('long directory names against long constraints are refused rather than compared', () => {
  const long = (count: number, last: string): Buffer =>
    tlv(
      0xa4,
      sequence(...Array.from({ length: count }, (_, i) => tlv(0x31, attribute(CN, 0x0c, i < count - 1 ? 'a' : last)))),
    )
  const list = (count: number, length: number, last: string) => Array.from({ length: count }, () => long(length, last))
  const validateNames = (count: number, length: number) => {
    const anchor = buildCa({ subject: 'anchor', extensions: { nc: nameConstraints([], list(count, length, 'x')) } })
    return validate(buildSvid({ issuer: anchor, extensions: names(...list(count, length, 'y')) }), [], [anchor])
  }
  assert.ok(validateNames(5, 10))
  // 1600 comparisons only, but of seventy attributes each: a third of a second.
  assertRefused(() => validateNames(40, 70), 'x509.name_constraints')
})

test('RSA and Ed25519 authorities sign, too', () => {
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const algorithm = sequence(oid('1.2.840.113549.1.1.11'), Uint8Array.of(5, 0))
  const rsaRoot = buildCa({ subject: 'rsa', key: rsa, algorithm })
  assert.ok(validate(buildSvid({ issuer: rsaRoot, algorithm }), [], [rsaRoot]))
  assertRefused(
    () => validate(buildSvid({ issuer: rsaRoot, algorithm, hash: 'sha512' }), [], [rsaRoot]),
    'x509.invalid_signature',
  )
  const ed25519 = { key: generateKeyPairSync('ed25519'), algorithm: sequence(oid('1.3.101.112')), hash: null }
  const edRoot = buildCa({ subject: 'ed', ...ed25519 })
  const { algorithm: edAlgorithm, hash } = ed25519
  assert.ok(validate(buildSvid({ issuer: edRoot, algorithm: edAlgorithm, hash }), [], [edRoot]))
})
