import assert from 'node:assert/strict'
import { sign, X509Certificate } from 'node:crypto'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import {
  bits,
  type CertificateOptions,
  caExtensions,
  extendedUsage,
  type KeyKind,
  makeCertificate,
  makeCrl,
  makeRoot,
  NOT_AFTER,
  NOT_BEFORE,
  newKey,
  oid,
  type PkiCertificate,
  seq,
  set,
  utf8,
} from '../../../../../test/support/vendor-pki.ts'
import type { JsonObject } from '../../base/json.ts'
import { encodePem } from '../../base/pem.ts'
import { bindingDigest, type Challenge, type ExpectedBinding } from '../binding.ts'
import { x509PopCollector } from '../collect/x509-pop.ts'
import { attestEvidence } from '../evidence.ts'
import { signPop } from './evidence.ts'
import { x509PopVerifier } from './x509-pop.ts'

const NOW = 1_700_000_000
const root = makeRoot('Machine CA')
const intermediate = makeCertificate({ subject: 'Site CA', issuer: root, extensions: caExtensions(0) })
const machine = (options: Partial<CertificateOptions> = {}): PkiCertificate =>
  makeCertificate({ subject: 'web-1', issuer: intermediate, serial: 0x1234, ...options })
const leaf = machine()
const challenge: Challenge = { nonce: Buffer.alloc(32, 7), publicKey: newKey().spki }
const expected: ExpectedBinding = { kind: 'challenge', challenge, trustDomain: 'example.com' }
const verifier = x509PopVerifier({ authorities: [root.der] })

const show = (
  one: PkiCertificate = leaf,
  others: readonly PkiCertificate[] = [intermediate],
  asked = challenge,
): Buffer =>
  signPop(
    [one, ...others].map(({ der }) => der),
    one.key.privateKey,
    asked,
  )
interface Options {
  readonly now?: number
  readonly binding?: ExpectedBinding
  readonly policy?: JsonObject
}
const attest = (evidence: Uint8Array, { now = NOW, binding = expected, policy = {} }: Options = {}) =>
  attestEvidence(verifier, evidence, { now, expected: binding }, verifier.readPolicy(policy))
const refuses = (code: string, evidence: Uint8Array, options: Options = {}) =>
  assert.rejects(attest(evidence, options), { code })
const changed = (change: (parts: Record<string, unknown>) => object): Buffer =>
  Buffer.from(JSON.stringify(change(JSON.parse(String(show())))))

describe('proof of possession of a certificate', () => {
  test('says subject, CAs and serial number, and is bound in full', async () => {
    const result = await attest(show())
    assert.deepEqual(result.selectors, [
      'x509-pop:subject-cn:web-1',
      `x509-pop:ca:${intermediate.fingerprint}`,
      `x509-pop:ca:${root.fingerprint}`,
      'x509-pop:serial:1234',
    ])
    assert.deepEqual([result.binding, result.freshness, result.hardwareRoot], ['full', 'nonce', undefined])
    assert.equal(result.evidenceNotAfter, NOT_AFTER)
  })

  for (const kind of ['P-256', 'P-384', 'RSA-2048', 'Ed25519'] satisfies KeyKind[]) {
    test(`works with a ${kind} key`, async () => {
      await attest(show(machine({ key: newKey(kind) })))
    })
  }

  test('may come with the root, and may end in an intermediate that is configured', async () => {
    await attest(show(leaf, [intermediate, root]))
    const site = x509PopVerifier({ authorities: [intermediate.der] })
    await attestEvidence(site, show(leaf, []), { now: NOW, expected }, site.readPolicy({}))
  })

  test('is made by the collector from files', async () => {
    const certificates = Buffer.from(leaf.pem + intermediate.pem)
    const key = encodePem('PRIVATE KEY', leaf.key.privateKey.export({ type: 'pkcs8', format: 'der' }))
    const asked = { challenge, trustDomain: 'example.com', audience: '', now: NOW }
    const evidence = await x509PopCollector(() => ({ certificates, key })).collect(asked)
    await attest(evidence ?? Buffer.alloc(0))
    assert.equal(await x509PopCollector(() => undefined).collect(asked), undefined)
    await assert.rejects(x509PopCollector(() => ({ certificates, key: 'none' })).collect(asked), {
      code: 'attestation.collection_failed',
    })
  })
})

const foreign = makeRoot('Machine CA')
const other = makeRoot('Another CA')
const stranger = machine({ issuer: foreign })
const usage = (value: number, unused: number) => [
  { oid: '2.5.29.15', critical: true, value: bits(Buffer.from([value]), unused) },
]
const named = (...names: readonly string[]) => seq(...names.map((one) => set(seq(oid('2.5.4.3'), utf8(one)))))

describe('refused is', () => {
  for (const [what, code, evidence, options] of [
    ['a chain to a CA of the same name', 'attestation.invalid_signature', show(stranger, [foreign]), {}],
    ['a chain to another CA', 'attestation.untrusted', show(machine({ issuer: other }), [other]), {}],
    ['a chain without its intermediate', 'attestation.untrusted', show(leaf, []), {}],
    ['a leaf signed by a leaf', 'attestation.chain_invalid', show(machine({ issuer: leaf }), [leaf, intermediate]), {}],
    ['a certificate of a CA', 'attestation.chain_invalid', show(intermediate, [root]), {}],
    ['the root itself', 'attestation.chain_invalid', show(root, []), {}],
    ['a key that may only encipher', 'attestation.chain_invalid', show(machine({ extensions: usage(0x20, 5) })), {}],
    [
      'a certificate for servers only',
      'attestation.chain_invalid',
      show(machine({ extensions: [extendedUsage('1.3.6.1.5.5.7.3.1')] })),
      {},
    ],
    [
      'an extension that nobody understands',
      'attestation.chain_invalid',
      show(machine({ extensions: [{ oid: '1.2.3.4', critical: true, value: seq() }] })),
      {},
    ],
    ['an expired certificate', 'attestation.expired', show(machine({ notAfter: NOW - 1 })), {}],
    ['a certificate of the future', 'attestation.not_yet_valid', show(machine({ notBefore: NOW + 1 })), {}],
    ['a chain before its time', 'attestation.not_yet_valid', show(), { now: NOT_BEFORE - 1 }],
    ['a weak key', 'attestation.weak_key', show(machine({ key: newKey('RSA-1024') })), {}],
    [
      'a certificate signed with SHA-1',
      'attestation.weak_key',
      show(
        makeCertificate({
          subject: 'web-1',
          issuer: makeRoot('Machine CA', { key: newKey('RSA-2048') }),
          scheme: 'rsa-sha1',
        }),
        [],
      ),
      {},
    ],
    [
      'a challenge that somebody else got',
      'attestation.binding_mismatch',
      show(leaf, [intermediate], { ...challenge, nonce: Buffer.alloc(32, 8) }),
      {},
    ],
    [
      'a challenge for another key',
      'attestation.binding_mismatch',
      show(leaf, [intermediate], { ...challenge, publicKey: newKey().spki }),
      {},
    ],
    ['a chain without a challenge', 'attestation.binding_missing', show(), { binding: { kind: 'unchecked' } }],
    [
      'a chain for an audience',
      'attestation.binding_missing',
      show(),
      { binding: { kind: 'audience', audience: 'a' } },
    ],
    [
      'two common names made one',
      'attestation.not_allowed',
      show(machine({ subject: named('web-1', 'admin') })),
      { policy: { subjectCns: ['web-1'] } },
    ],
    ['a common name with control characters', 'attestation.malformed', show(machine({ subject: named('web\n1') })), {}],
    [
      'another subject than the policy allows',
      'attestation.not_allowed',
      show(),
      { policy: { subjectCns: ['web-2'] } },
    ],
    [
      'another CA than the policy allows',
      'attestation.not_allowed',
      show(),
      { policy: { authorities: ['ab'.repeat(32)] } },
    ],
    ['no JSON', 'attestation.malformed', Buffer.from('chain'), {}],
    ['an unknown member', 'attestation.malformed', changed((parts) => ({ ...parts, alg: 'none' })), {}],
    ['an empty chain', 'attestation.malformed', changed((parts) => ({ ...parts, chain: [] })), {}],
    [
      'too long a chain',
      'attestation.malformed',
      show(
        leaf,
        Array.from({ length: 5 }, () => intermediate),
      ),
      {},
    ],
    ['a missing signature', 'attestation.malformed', changed(({ chain }) => ({ chain })), {}],
    ['too much', 'attestation.too_large', Buffer.alloc(65_537, 0x20), {}],
  ] as const) {
    test(what, () => refuses(code, evidence, options))
  }

  // Another protocol may have the machine sign 32 bytes of somebody's choice.
  test('a signature over the binding digest alone', async () => {
    const signature = sign('sha256', bindingDigest('x509-pop', challenge, 'sha256'), leaf.key.privateKey)
    await refuses(
      'attestation.binding_mismatch',
      changed((parts) => ({ ...parts, signature: signature.toString('base64') })),
    )
  })

  test('a proof by another key of the same CA', async () => {
    const twin = machine()
    const evidence = signPop([leaf.der, intermediate.der], twin.key.privateKey, challenge)
    await refuses('attestation.binding_mismatch', evidence)
  })

  test('a signature of the other padding', async () => {
    const rsa = machine({ key: newKey('RSA-2048') })
    const evidence = JSON.parse(String(show(rsa)))
    const message = Buffer.concat([Buffer.from('AIMS-X509-POP-v1\0'), bindingDigest('x509-pop', challenge, 'sha256')])
    const signature = sign('sha256', message, rsa.key.privateKey).toString('base64')
    await refuses('attestation.binding_mismatch', Buffer.from(JSON.stringify({ ...evidence, signature })))
  })

  test('everything, when no CA is configured', async () => {
    const none = x509PopVerifier({ authorities: [] })
    const made = attestEvidence(none, show(), { now: NOW, expected }, none.readPolicy({}))
    await assert.rejects(made, { code: 'attestation.untrusted' })
  })

  test('any flipped byte', async () => {
    const evidence = show()
    await fc.assert(
      fc.asyncProperty(fc.nat(evidence.length - 1), fc.integer({ min: 1, max: 255 }), async (at, flip) => {
        const bad = Buffer.from(evidence)
        bad[at] = (bad[at] as number) ^ flip
        await assert.rejects(attest(bad), { name: 'AimsError' })
      }),
      { numRuns: 300 },
    )
  })
})

describe('with revocation lists', () => {
  const rootList = makeCrl({ issuer: root })
  const siteList = makeCrl({ issuer: intermediate })
  const judge = (...lists: readonly Uint8Array[]) =>
    x509PopVerifier({ authorities: [root.der], revocationLists: () => lists }).authenticate(show(), {
      now: NOW,
      expected,
    })

  test('a certificate that no list names passes', async () => {
    const { result } = await judge(rootList, siteList, makeCrl({ issuer: other, serials: [0x1234] }))
    assert.equal(result.selectors[0], 'x509-pop:subject-cn:web-1')
  })

  test('lists are asked for each time', async () => {
    let lists = [rootList, siteList]
    const one = x509PopVerifier({ authorities: [root.der], revocationLists: () => lists })
    await one.authenticate(show(), { now: NOW, expected })
    lists = [rootList, makeCrl({ issuer: intermediate, serials: [0x1234] })]
    await assert.rejects(async () => one.authenticate(show(), { now: NOW, expected }), { code: 'attestation.revoked' })
  })

  const serialOf = ({ der }: PkiCertificate): bigint => BigInt(`0x${new X509Certificate(der).serialNumber}`)
  const rows: readonly (readonly [string, string, readonly Uint8Array[]])[] = [
    [
      'the machine was revoked',
      'attestation.revoked',
      [rootList, makeCrl({ issuer: intermediate, serials: [0x1234] })],
    ],
    [
      'its CA was revoked',
      'attestation.revoked',
      [makeCrl({ issuer: root, serials: [serialOf(intermediate)] }), siteList],
    ],
    ['the list of a CA is not there', 'attestation.collateral_missing', [rootList]],
    ['no list is there', 'attestation.collateral_missing', []],
    [
      'a list is stale',
      'attestation.collateral_expired',
      [rootList, makeCrl({ issuer: intermediate, nextUpdate: NOW - 1 })],
    ],
    [
      'a list is from the future',
      'attestation.collateral_expired',
      [rootList, makeCrl({ issuer: intermediate, thisUpdate: NOW + 1 })],
    ],
    [
      'somebody else signed a list',
      'attestation.collateral_invalid',
      [rootList, makeCrl({ issuer: other, issuerName: intermediate.subject })],
    ],
    ['a list cannot be read', 'attestation.collateral_malformed', [rootList, Buffer.from('list')]],
  ]
  for (const [what, code, lists] of rows) {
    test(`evidence is refused when ${what}`, () => assert.rejects(async () => judge(...lists), { code }))
  }
})
