import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { connect, createServer, type TLSSocket } from 'node:tls'
import { buildCa, keyUsage, NOW, subjectAltName, testKey, uri } from '../../../../../test/support/certificates.ts'
import { makeCertificate, newKey, type PkiCertificate } from '../../../../../test/support/vendor-pki.ts'
import { AimsError } from '../../base/errors.ts'
import { type Signer, spkiBytes, WorkloadKey } from '../../base/keys.ts'
import { encodePem } from '../../base/pem.ts'
import { parseCertificate } from '../../base/x509-certificate.ts'
import { parseSpiffeId, type SpiffeId } from '../../identifiers/spiffe-id.ts'
import { parseTrustDomain } from '../../identifiers/trust-domain.ts'
import { bundleSource, emptyBundle } from '../bundle/source.ts'
import { createX509Authority, type X509Authority } from './authority.ts'
import { issueX509Svid, type X509SvidRequest } from './issue.ts'
import { issueCaCertificate } from './issue-ca.ts'
import { verifyX509Svid } from './verify.ts'

const trustDomain = parseTrustDomain('example.com')
const spiffeId = parseSpiffeId('spiffe://example.com/agent/calendar-bot')
const notBefore = NOW - 60
const notAfter = NOW + 3600
const signer = WorkloadKey.generate()
const { publicKey } = WorkloadKey.generate()

async function rootAuthority(key: Signer = signer, until = NOW + 86_400): Promise<X509Authority> {
  const certificate = await issueCaCertificate({ trustDomain, signer: key, notBefore, notAfter: until })
  return createX509Authority({ trustDomain, signer: key, certificate })
}

async function intermediateAuthority(root: X509Authority): Promise<X509Authority> {
  const key = WorkloadKey.generate()
  const request = { trustDomain, issuer: root, subjectKey: key.publicKey, notBefore, notAfter: NOW + 7200 }
  const certificate = await issueCaCertificate({ ...request, pathLength: 0 })
  return createX509Authority({ trustDomain, signer: key, certificate, chain: [root.certificate.raw] })
}

const bundlesOf = (root: X509Authority) =>
  bundleSource({ ...emptyBundle(trustDomain), x509Authorities: [root.certificate.raw] })

async function assertRejected(promise: Promise<unknown>, code: string): Promise<void> {
  await assert.rejects(promise, (error: unknown) => {
    assert.ok(AimsError.is(error), String(error))
    assert.equal(error.code, code)
    return true
  })
}

// [credentials.x509-svid.09]
test('an SVID has the profile, the chain without the root, and is verified', async () => {
  const root = await rootAuthority()
  const authority = await intermediateAuthority(root)
  const request = { spiffeId, publicKey, notBefore, notAfter, dnsNames: ['calendar.example.com'] }
  const svid = await issueX509Svid(request, authority)
  assert.equal(svid.certificates.length, 2)
  assert.deepEqual(svid.certificates[1], authority.certificate.raw)
  assert.equal(svid.notAfter, notAfter)
  assert.match(svid.serialNumber, /^01[0-9a-f]{32}$/)

  const leaf = parseCertificate(svid.certificates[0] as Uint8Array)
  const { extensions, altNames } = leaf
  assert.equal(leaf.serialNumber, svid.serialNumber)
  assert.equal(leaf.subject.length, 2)
  assert.deepEqual([leaf.notBefore, leaf.notAfter], [notBefore, notAfter])
  assert.deepEqual(altNames.uris, [spiffeId])
  assert.deepEqual(altNames.dnsNames, ['calendar.example.com'])
  assert.equal(extensions.subjectAltName?.critical, true)
  assert.deepEqual(extensions.basicConstraints, { critical: true, ca: false })
  assert.deepEqual([...(leaf.usages ?? [])], ['digitalSignature'])
  assert.equal(extensions.keyUsage?.critical, true)
  assert.deepEqual(extensions.extendedKeyUsage?.purposes, ['1.3.6.1.5.5.7.3.1', '1.3.6.1.5.5.7.3.2'])
  assert.deepEqual(extensions.authorityKeyId, authority.certificate.extensions.subjectKeyId)
  assert.equal(extensions.subjectKeyId?.length, 20)

  const verified = verifyX509Svid(svid.certificates, { bundles: bundlesOf(root), now: NOW })
  assert.equal(verified.subject, spiffeId)
})

// [credentials.x509-svid.12] [credentials.x509-svid.13]
test('a CA certificate is an SVID of its trust domain and may sign', async () => {
  const { certificate } = await rootAuthority()
  assert.deepEqual(certificate.altNames.uris, ['spiffe://example.com'])
  assert.deepEqual(certificate.extensions.basicConstraints, { critical: true, ca: true })
  assert.deepEqual([...(certificate.usages ?? [])], ['keyCertSign', 'cRLSign'])
  assert.equal(certificate.extensions.keyUsage?.critical, true)
  assert.ok(certificate.isSelfIssued)
  const other = await rootAuthority(WorkloadKey.generate())
  assert.notDeepEqual(certificate.subject, other.certificate.subject)
})

test('every kind of key signs and is certified', async () => {
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const signers = [
    ...(['ES256', 'ES384', 'Ed25519'] as const).map((alg) => WorkloadKey.generate(alg)),
    new WorkloadKey(testKey('P-521').privateKey),
    new WorkloadKey(rsa.privateKey, { alg: 'RS256' }),
    new WorkloadKey(rsa.privateKey, { alg: 'RS512' }),
  ]
  for (const one of signers) {
    const root = await rootAuthority(one)
    const { certificates } = await issueX509Svid({ spiffeId, publicKey: one.publicKey, notBefore, notAfter }, root)
    const verified = verifyX509Svid(certificates, { bundles: bundlesOf(root), now: NOW, ed25519: true })
    assert.ok(verified.publicKey.equals(one.publicKey), one.alg)
  }
})

test('the key may come as bytes, and the certificate is the same but for what is random', async () => {
  const authority = await rootAuthority()
  const spki = spkiBytes(publicKey)
  const [a, b] = await Promise.all(
    [publicKey, spki].map(async (key) => {
      const { certificates } = await issueX509Svid({ spiffeId, publicKey: key, notBefore, notAfter }, authority)
      return parseCertificate(certificates[0] as Uint8Array)
    }),
  )
  assert.deepEqual(a?.spkiDer, b?.spkiDer)
  assert.deepEqual(a?.extensions, b?.extensions)
  assert.notEqual(a?.serialNumber, b?.serialNumber)
})

test('serial numbers do not repeat', async () => {
  const authority = await rootAuthority()
  const seen = new Set<string>()
  for (let i = 0; i < 1200; i += 1) {
    seen.add(
      (await issueX509Svid({ spiffeId, publicKey: spkiBytes(publicKey), notBefore, notAfter }, authority)).serialNumber,
    )
  }
  assert.equal(seen.size, 1200)
})

test('nothing lives longer than the CA or its chain', async () => {
  const root = await rootAuthority(signer, NOW + 1000)
  const authority = await intermediateAuthority(root)
  assert.equal(authority.certificate.notAfter, NOW + 1000)
  const { notAfter: end } = await issueX509Svid({ spiffeId, publicKey, notBefore, notAfter }, authority)
  assert.equal(end, NOW + 1000)
})

const keyOf = (type: 'rsa', modulusLength: number): KeyObject => generateKeyPairSync(type, { modulusLength }).publicKey

// One row per request that is refused.
const REFUSED: readonly (readonly [string, Partial<X509SvidRequest>, string])[] = [
  ['for another trust domain', { spiffeId: parseSpiffeId('spiffe://other.example/a') }, 'x509.wrong_trust_domain'],
  ['for a longer trust domain', { spiffeId: parseSpiffeId('spiffe://example.com.evil/a') }, 'x509.wrong_trust_domain'],
  ['for the trust domain itself', { spiffeId: parseSpiffeId('spiffe://example.com') }, 'x509.root_path'],
  ['that begins after the CA ends', { notBefore: NOW + 90_000, notAfter: NOW + 90_001 }, 'x509.expired'],
  ['for an RSA key of 1024 bits', { publicKey: keyOf('rsa', 1024) }, 'x509.weak_key'],
  ['for a key on another curve', { publicKey: testKey('secp256k1').publicKey }, 'x509.weak_key'],
  ['for bytes that are no key', { publicKey: Uint8Array.of(0x30, 0) }, 'key.malformed'],
  ['for no bytes', { publicKey: new Uint8Array() }, 'key.malformed'],
  ['with a malformed DNS name', { dnsNames: ['a_b.example.com'] }, 'x509.invalid_extension'],
  ['with a URI as DNS name', { dnsNames: ['spiffe://example.com/a'] }, 'x509.invalid_extension'],
]

for (const [what, change, code] of REFUSED) {
  test(`a request ${what} is refused`, async () => {
    await assertRejected(
      issueX509Svid({ spiffeId, publicKey, notBefore, notAfter, ...change }, await rootAuthority()),
      code,
    )
  })
}

test('times that no certificate can carry are misuse', async () => {
  const authority = await rootAuthority()
  for (const times of [
    { notBefore, notAfter: notBefore },
    { notBefore: notBefore + 0.5, notAfter },
    { notBefore: -1, notAfter },
    { notBefore, notAfter: 253_402_300_800 },
    { notBefore, notAfter: Number.NaN },
  ]) {
    await assert.rejects(issueX509Svid({ spiffeId, publicKey, ...times }, authority), TypeError)
    await assert.rejects(issueCaCertificate({ trustDomain, signer, ...times }), TypeError)
  }
})

test('intermediates keep to the rules of their issuer', async () => {
  const root = await rootAuthority()
  const authority = await intermediateAuthority(root)
  const request = { trustDomain, subjectKey: publicKey, notBefore, notAfter }
  await assertRejected(issueCaCertificate({ ...request, issuer: authority }), 'x509.path_length')
  const other = parseTrustDomain('other.example')
  await assertRejected(issueCaCertificate({ ...request, issuer: root, trustDomain: other }), 'x509.wrong_trust_domain')
  const late = { notBefore: NOW + 90_000, notAfter: NOW + 90_001 }
  await assertRejected(issueCaCertificate({ ...request, ...late, issuer: root }), 'x509.expired')
  await assertRejected(
    issueCaCertificate({ ...request, issuer: root, subjectKey: keyOf('rsa', 1024) }),
    'x509.weak_key',
  )
  await assert.rejects(issueCaCertificate({ ...request, issuer: root, pathLength: 8 }), TypeError)

  const narrow = await issueCaCertificate({ trustDomain, signer, notBefore, notAfter, pathLength: 3 })
  const narrowCa = createX509Authority({ trustDomain, signer, certificate: narrow })
  const below = parseCertificate(await issueCaCertificate({ ...request, issuer: narrowCa, pathLength: 7 }))
  assert.equal(below.extensions.basicConstraints?.pathLength, 2)
})

test('the parts of an authority must belong together', async () => {
  const root = await rootAuthority()
  const certificate = root.certificate.raw
  const ca = buildCa({ subject: 'ca' })
  const own = (
    options: Parameters<typeof buildCa>[0],
  ): { readonly signer: Signer; readonly certificate: Uint8Array } => {
    const { der, key } = buildCa(options)
    return { signer: new WorkloadKey(key.privateKey), certificate: der }
  }
  const leaf = await issueX509Svid({ spiffeId, publicKey: signer.publicKey, notBefore, notAfter }, root)
  const rsa = new WorkloadKey(generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey, { alg: 'PS256' })
  const domain = { subjectAltName: subjectAltName([uri('spiffe://other.example')], false) }
  const refused: readonly (readonly [Omit<Parameters<typeof createX509Authority>[0], 'trustDomain'>, string])[] = [
    [{ signer: WorkloadKey.generate(), certificate }, 'x509.key_mismatch'],
    [{ signer, certificate: leaf.certificates[0] as Uint8Array }, 'x509.not_a_ca'],
    [{ signer, certificate: Uint8Array.of(0x30, 0) }, 'x509.malformed'],
    [{ signer: rsa, certificate }, 'key.unsupported'],
    [{ signer, certificate, chain: [ca.der] }, 'x509.invalid_signature'],
    [own({ subject: 'x', extensions: domain }), 'x509.wrong_trust_domain'],
    [own({ subject: 'x', extensions: { keyUsage: keyUsage(['cRLSign']) } }), 'x509.not_a_ca'],
    [own({ subject: 'x', extensions: { subjectKeyId: undefined } }), 'x509.invalid_extension'],
  ]
  for (const [options, code] of refused) {
    assert.throws(() => createX509Authority({ trustDomain, ...options }), { name: 'AimsError', code })
  }
})

test('a signature made elsewhere is waited for, and checked before it is shown', async () => {
  const remote: Signer = { alg: 'ES256', publicKey: signer.publicKey, sign: async (data) => signer.sign(data) }
  const { raw: certificate } = (await rootAuthority()).certificate
  const authority = createX509Authority({ trustDomain, signer: remote, certificate })
  const { certificates } = await issueX509Svid({ spiffeId, publicKey, notBefore, notAfter }, authority)
  assert.equal(certificates.length, 1)
  const wrong: Signer = { ...remote, sign: async (data) => WorkloadKey.generate().sign(data) }
  const broken = createX509Authority({ trustDomain, signer: wrong, certificate })
  await assertRejected(issueX509Svid({ spiffeId, publicKey, notBefore, notAfter }, broken), 'x509.invalid_signature')
})

test('certificates that are written at once do not mix', async () => {
  const remote: Signer = { alg: 'ES256', publicKey: signer.publicKey, sign: async (data) => signer.sign(data) }
  const root = await rootAuthority()
  const slow = createX509Authority({ trustDomain, signer: remote, certificate: root.certificate.raw })
  const ids = Array.from({ length: 20 }, (_, i) => parseSpiffeId(`spiffe://example.com/agent/${'x'.repeat(i + 1)}`))
  const svids = await Promise.all(
    ids.map((id, i) => issueX509Svid({ spiffeId: id, publicKey, notBefore, notAfter }, i % 2 === 0 ? slow : root)),
  )
  for (const [i, { certificates }] of svids.entries()) {
    assert.equal(verifyX509Svid(certificates, { bundles: bundlesOf(root), now: NOW }).subject, ids[i])
  }
})

const hasOpenssl = spawnSync('openssl', ['version']).status === 0

test('openssl accepts root, intermediate and SVID, strictly', {
  skip: hasOpenssl ? false : 'no openssl here',
}, async () => {
  const root = await rootAuthority(WorkloadKey.generate('ES384'))
  const authority = await intermediateAuthority(root)
  const { certificates } = await issueX509Svid({ spiffeId, publicKey, notBefore, notAfter }, authority)
  const dir = mkdtempSync(join(tmpdir(), 'aims-x509-'))
  try {
    const file = (name: string, der: Uint8Array): string => {
      writeFileSync(join(dir, name), encodePem('CERTIFICATE', der))
      return join(dir, name)
    }
    const ca = file('root.pem', root.certificate.raw)
    const middle = file('middle.pem', certificates[1] as Uint8Array)
    const leaf = file('leaf.pem', certificates[0] as Uint8Array)
    for (const purpose of ['sslclient', 'sslserver']) {
      const verify = ['verify', '-x509_strict', '-attime', String(NOW), '-purpose', purpose, '-CAfile', ca]
      assert.match(
        execFileSync('openssl', [...verify, '-untrusted', middle, leaf], { encoding: 'utf8' }),
        /leaf\.pem: OK/,
      )
    }
    const text = execFileSync('openssl', ['x509', '-in', leaf, '-noout', '-text'], { encoding: 'utf8' })
    assert.match(text, /URI:spiffe:\/\/example\.com\/agent\/calendar-bot/)
    assert.match(text, /X509v3 Subject Alternative Name: critical/)
  } finally {
    rmSync(dir, { recursive: true })
  }
})

test('TLS of this platform accepts the SVID on both sides', async () => {
  const now = Math.floor(Date.now() / 1000)
  const root = await issueCaCertificate({ trustDomain, signer, notBefore: now - 60, notAfter: now + 600 })
  const authority = createX509Authority({ trustDomain, signer, certificate: root })
  const key = WorkloadKey.generate()
  const times = { notBefore: now - 60, notAfter: now + 300 }
  const { certificates } = await issueX509Svid({ spiffeId, publicKey: key.publicKey, ...times }, authority)
  const tls = {
    key: key.tlsKey.export({ type: 'pkcs8', format: 'pem' }),
    cert: certificates.map((der) => encodePem('CERTIFICATE', der)).join(''),
    ca: encodePem('CERTIFICATE', root),
  }
  const server = createServer({ ...tls, requestCert: true, rejectUnauthorized: true })
  const accepted = new Promise<TLSSocket>((resolve, reject) => {
    server.once('secureConnection', resolve)
    server.once('tlsClientError', reject)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  assert.ok(address !== null && typeof address === 'object')
  const client = connect({ ...tls, port: address.port, host: '127.0.0.1', checkServerIdentity: () => undefined })
  try {
    const socket = await accepted
    assert.ok(socket.authorized)
    assert.deepEqual(socket.getPeerCertificate().raw, Buffer.from(certificates[0] as Uint8Array))
    socket.destroy()
  } finally {
    client.destroy()
    server.close()
  }
})

test('an authority that createX509Authority has not checked issues nothing', async () => {
  const authority = await rootAuthority()
  const forged: X509Authority = { ...authority, trustDomain: parseTrustDomain('other.example') }
  const foreign = parseSpiffeId('spiffe://other.example/agent')
  await assert.rejects(issueX509Svid({ spiffeId: foreign, publicKey, notBefore, notAfter }, forged), TypeError)
  await assert.rejects(
    issueCaCertificate({
      trustDomain: forged.trustDomain,
      issuer: forged,
      subjectKey: publicKey,
      notBefore,
      notAfter,
    }),
    TypeError,
  )
})

for (const [text, code] of [
  ['spiffe://example.com', 'x509.root_path'],
  ['spiffe://example.com/a/../admin', 'identifier.dot_segment'],
  ['spiffe://example.com/a\0', 'identifier.bad_path_char'],
  ['spiffe://example.com/a, URI:spiffe://example.com/b', 'identifier.bad_path_char'],
] as const) {
  test(`a subject that was cast and not parsed is not certified: ${JSON.stringify(text)}`, async () => {
    await assert.rejects(
      issueX509Svid({ spiffeId: text as SpiffeId, publicKey, notBefore, notAfter }, await rootAuthority()),
      { code },
    )
  })
}

// A CA that is confined to its trust domain, and leaves that its key signs all the same.
const confinedKey = newKey('P-256')
async function confined(root: X509Authority): Promise<PkiCertificate> {
  const request = { trustDomain, issuer: root, subjectKey: confinedKey.spki, notBefore, notAfter: NOW + 7200 }
  const der = Buffer.from(await issueCaCertificate({ ...request, pathLength: 0, isConfined: true }))
  const subject = Buffer.from(parseCertificate(der).subject)
  return { der, pem: encodePem('CERTIFICATE', der), key: confinedKey, subject, notAfter: NOW + 7200, fingerprint: '' }
}

// [credentials.x509-svid.15]
for (const [what, id, code] of [
  ['of its trust domain', 'spiffe://example.com/agent/bot', undefined],
  ['of another trust domain', 'spiffe://other.example/agent/bot', 'x509.name_constraints'],
  ['of a trust domain below', 'spiffe://sub.example.com/agent/bot', 'x509.name_constraints'],
] as const) {
  test(`below a confined CA, a leaf ${what} is ${code === undefined ? 'taken' : 'refused'}, and openssl agrees`, async () => {
    const root = await rootAuthority(signer)
    const issuer = await confined(root)
    const leaf = makeCertificate({
      subject: 'leaf',
      issuer,
      key: newKey('P-256'),
      notBefore,
      notAfter,
      extensions: [
        { oid: '2.5.29.15', critical: true, value: Buffer.from('03020780', 'hex') },
        { oid: '2.5.29.17', value: der(0x30, der(0x86, Buffer.from(id))) },
        { oid: '2.5.29.35', value: der(0x30, der(0x80, caKeyIdOf(issuer))) },
      ],
    })
    const own = parseTrustDomain(id.split('/')[2] ?? '')
    const bundles = bundleSource({ ...emptyBundle(own), x509Authorities: [root.certificate.raw] })
    const verify = () => verifyX509Svid([leaf.der, issuer.der], { bundles, now: NOW }).subject
    if (code === undefined) assert.equal(verify(), id)
    else assert.throws(verify, { code })
    assert.deepEqual(parseCertificate(issuer.der).extensions.nameConstraints?.permitted?.uris, ['example.com'])
    if (spawnSync('openssl', ['version']).status !== 0) return
    const dir = mkdtempSync(join(tmpdir(), 'aims-confined-'))
    try {
      const file = (name: string, pem: string): string => {
        writeFileSync(join(dir, name), pem)
        return join(dir, name)
      }
      const rootPem = file('root.pem', encodePem('CERTIFICATE', root.certificate.raw))
      const chain = ['-untrusted', file('ca.pem', issuer.pem), file('leaf.pem', leaf.pem)]
      const args = ['verify', '-x509_strict', '-attime', String(NOW), '-CAfile', rootPem, ...chain]
      const { status, stdout, stderr } = spawnSync('openssl', args, { encoding: 'utf8' })
      if (code === undefined) assert.equal(status, 0, stderr)
      else assert.match(stdout + stderr, /permitted subtree violation/)
    } finally {
      rmSync(dir, { recursive: true })
    }
  })
}

function caKeyIdOf(issuer: PkiCertificate): Buffer {
  return Buffer.from(parseCertificate(issuer.der).extensions.subjectKeyId ?? [])
}

function der(tag: number, content: Uint8Array): Buffer {
  return Buffer.concat([Buffer.of(tag, content.length), content])
}
