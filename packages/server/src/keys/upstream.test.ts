import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { encodePem, systemClock, WorkloadKey } from 'aims/base'
import { bundleSource, createX509Authority, issueCaCertificate, issueX509Svid, verifyX509Svid } from 'aims/credentials'
import { parseTrustDomain, parseWorkloadSpiffeId } from 'aims/identifiers'
import { authoritiesOptions } from '../../../../test/support/authorities.ts'
import {
  basicConstraints,
  buildCa,
  nameConstraints,
  type TestCertificate,
  type TestExtensions,
  uri,
} from '../../../../test/support/certificates.ts'
import { openAuthorities } from './authorities.ts'
import type { AuthoritiesOptions } from './authority-types.ts'
import { configuredUpstream } from './upstream.ts'

const hasOpenssl = spawnSync('openssl', ['version']).status === 0
const trustDomain = parseTrustDomain('example.com')
const START = Math.floor(Date.now() / 1000)
const END = START + 100_000
const dir = mkdtempSync(join(tmpdir(), 'aims-upstream-'))
after(() => rmSync(dir, { recursive: true }))
const actor = { name: 'unix:uid:0', method: 'unix', correlationId: 'c1' }
const times = { notBefore: START - 60, notAfter: END }

let files = 0
function file(content: string, mode = 0o600): string {
  files += 1
  const path = join(dir, String(files))
  writeFileSync(path, content, { mode })
  return path
}
const pem = (...ders: readonly Uint8Array[]): string => file(ders.map((der) => encodePem('CERTIFICATE', der)).join(''))
const keyPem = (key: WorkloadKey): string => file(key.tlsKey.export({ type: 'pkcs8', format: 'pem' }).toString())

const rootKey = WorkloadKey.generate()
const root = await issueCaCertificate({ trustDomain, signer: rootKey, ...times })
const rootCa = createX509Authority({ trustDomain, signer: rootKey, certificate: root })
const middleKey = WorkloadKey.generate()
const certifyBelow = (key: WorkloadKey, change: object = {}) =>
  issueCaCertificate({ trustDomain, issuer: rootCa, subjectKey: key.publicKey, ...times, ...change })
const middle = await certifyBelow(middleKey)

function optionsFor(setting: Parameters<typeof configuredUpstream>[0]): AuthoritiesOptions & { now: number } {
  const self = { now: START }
  const upstream = configuredUpstream(setting, trustDomain, systemClock)
  return Object.assign(self, { ...authoritiesOptions(() => self.now), upstream })
}

for (const [what, setting, length] of [
  ['a root', { certificate: pem(root), key: keyPem(rootKey) }, 2],
  ['an intermediate and its root in one file', { certificate: pem(middle, root), key: keyPem(middleKey) }, 3],
  [
    'an intermediate, and roots in a bundle',
    { certificate: pem(middle), key: keyPem(middleKey), bundle: pem(middle, root) },
    3,
  ],
] as const) {
  test(`below ${what}, SVIDs carry the chain, the bundle has the root, and openssl agrees`, async () => {
    const options = optionsFor({ file: setting })
    const authorities = await openAuthorities(options)
    assert.deepEqual(
      authorities.bundle().x509Authorities.map((der) => Buffer.from(der)),
      [Buffer.from(root)],
    )
    const { publicKey } = WorkloadKey.generate()
    const spiffeId = parseWorkloadSpiffeId('spiffe://example.com/agent/bot')
    const request = { spiffeId, publicKey, notBefore: START - 10, notAfter: START + 100 }
    const { certificates } = await issueX509Svid(request, authorities.x509())
    assert.equal(certificates.length, length)
    const bundles = bundleSource(authorities.bundle())
    assert.equal(verifyX509Svid(certificates, { bundles, now: START }).subject, spiffeId)
    const [leaf = Buffer.of(), ...above] = certificates
    const args = ['verify', '-x509_strict', '-CAfile', pem(root), '-untrusted', pem(...above), pem(leaf)]
    // Everything else of this test needs Node alone.
    if (hasOpenssl) assert.match(execFileSync('openssl', args, { encoding: 'utf8' }), /: OK/)

    const again = await openAuthorities(options)
    assert.deepEqual(
      again.x509().chain.map((der) => Buffer.from(der)),
      authorities.x509().chain.map((der) => Buffer.from(der)),
    )
    await again.prepare('x509-ca', actor)
    assert.equal(again.bundle().x509Authorities.length, 1, 'the root is there once')
  })
}

const other = WorkloadKey.generate()
const foreign = parseTrustDomain('other.example')
const foreignRoot = await issueCaCertificate({ trustDomain: foreign, signer: rootKey, ...times })
// One row per upstream CA that is refused.
for (const [what, setting, code] of [
  ['the key of another CA', { certificate: pem(root), key: keyPem(other) }, 'x509.key_mismatch'],
  ['a CA of another trust domain', { certificate: pem(foreignRoot), key: keyPem(rootKey) }, 'x509.wrong_trust_domain'],
  [
    'a CA that may not certify CAs',
    { certificate: pem(await certifyBelow(other, { pathLength: 0 }), root), key: keyPem(other) },
    'x509.path_length',
  ],
  ['no root', { certificate: pem(middle), key: keyPem(middleKey) }, 'operation.upstream_unreadable'],
  [
    'a bundle with another root',
    { certificate: pem(middle), key: keyPem(middleKey), bundle: pem(foreignRoot) },
    'operation.upstream_unreadable',
  ],
  ['no file', { certificate: join(dir, 'none'), key: keyPem(rootKey) }, 'operation.upstream_unreadable'],
  ['a directory', { certificate: dir, key: keyPem(rootKey) }, 'operation.upstream_unreadable'],
  ['a key for a certificate', { certificate: keyPem(rootKey), key: keyPem(rootKey) }, 'operation.upstream_unreadable'],
  [
    'a CA that ends soon',
    { certificate: pem(await certifyBelow(other, { notAfter: START + 499 }), root), key: keyPem(other) },
    'provisioning.upstream_expiring',
  ],
] as const) {
  test(`an upstream CA is refused: ${what}`, async () => {
    await assert.rejects(openAuthorities(optionsFor({ file: setting })), { code })
  })
}

// CAs whose signatures are in order, and under which no verifier takes anything.
const dates = { notBefore: START - 60, notAfter: END }
const testCa = (extensions: TestExtensions, issuer?: TestCertificate): TestCertificate =>
  buildCa({ subject: issuer === undefined ? 'root' : 'middle', extensions, ...dates, ...(issuer && { issuer }) })
const settingOf = (...path: readonly TestCertificate[]) => ({
  file: {
    certificate: pem(...path.map(({ der }) => der)),
    key: file(path[0]?.key.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString() ?? ''),
  },
})
const short = testCa({ basicConstraints: basicConstraints(true, 1) })
for (const [what, path] of [
  ['may certify names of others alone', [testCa({ names: nameConstraints([uri('other.example')]) })]],
  ['may not certify these names', [testCa({ names: nameConstraints([], [uri('example.com')]) })]],
  ['is itself one too many below its root', [testCa({}, short), short]],
  [
    'says something that must be understood and is not',
    [testCa({ odd: { critical: true, oid: '1.2.3.4', value: Buffer.of(5, 0) } })],
  ],
] as const) {
  test(`an upstream CA is refused that ${what}`, async () => {
    await assert.rejects(openAuthorities(optionsFor(settingOf(...path))), { code: 'provisioning.upstream_unusable' })
  })
}

test('an upstream CA that may certify these names and no others is taken', async () => {
  const authorities = await openAuthorities(
    optionsFor(settingOf(testCa({ names: nameConstraints([uri('example.com')]) }))),
  )
  assert.equal(authorities.x509().chain.length, 1)
})

test('an upstream CA whose key others can read is refused', async () => {
  const key = keyPem(rootKey)
  chmodSync(key, 0o640)
  const options = optionsFor({ file: { certificate: pem(root), key } })
  await assert.rejects(openAuthorities(options), { code: 'operation.key_file_mode' })
})

for (const [what, setting] of [
  ['another kind', { vault: {} }],
  ['no key', { file: { certificate: '/ca.pem' } }],
  ['two of them', { file: {}, aims: {} }],
  ['no server above', { aims: { workload: 'unix:///run/aims/upstream.sock' } }],
  ['a server without TLS', { aims: { server: 'http://127.0.0.1:1', workload: 'unix:///run/aims/upstream.sock' } }],
  ['no identity', { aims: { server: 'https://127.0.0.1:1' } }],
  [
    'two identities',
    { aims: { server: 'https://127.0.0.1:1', workload: 'unix:///s', evidence: ['github'], bundle: '/b' } },
  ],
  ['evidence without a bundle', { aims: { server: 'https://127.0.0.1:1', evidence: ['github'] } }],
  ['an unknown type of evidence', { aims: { server: 'https://127.0.0.1:1', evidence: ['githb'], bundle: '/b' } }],
  ['no SPIRE server above', { spire: { workload: 'unix:///run/spire/agent.sock' } }],
  ['no identity for SPIRE', { spire: { server: 'https://127.0.0.1:1' } }],
  ['a SPIRE server without TLS', { spire: { server: 'http://127.0.0.1:1', workload: 'unix:///s' } }],
  ['a Workload API that is none', { spire: { server: 'https://127.0.0.1:1', workload: '/run/spire/agent.sock' } }],
  ['evidence for SPIRE', { spire: { server: 'https://127.0.0.1:1', workload: 'unix:///s', evidence: ['github'] } }],
  ['an unknown setting', { file: { certificate: '/ca.pem', key: '/ca.key', root: '/r.pem' } }],
] as const) {
  test(`keys.upstream, refused: ${what}`, () => {
    assert.throws(() => configuredUpstream(setting, trustDomain, systemClock), { code: 'operation.config_invalid' })
  })
}

test('an upstream CA that is gone keeps CAs from rotating, and the keys of tokens rotate all the same', async () => {
  const certificate = pem(root)
  const options = optionsFor({ file: { certificate, key: keyPem(rootKey) } })
  const authorities = await openAuthorities(options)
  rmSync(certificate)
  options.now += 500
  await assert.rejects(authorities.advance(), { code: 'operation.upstream_unreadable' })
  const count = (purpose: string): number => authorities.list().filter((key) => key.purpose === purpose).length
  assert.deepEqual([count('x509-ca'), count('jwt'), count('wit')], [1, 2, 2])
})
