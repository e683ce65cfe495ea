import assert from 'node:assert/strict'
import { generateKeyPairSync, sign } from 'node:crypto'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import {
  IID_NOW,
  IID_PENDING,
  iidCertificate,
  iidDocument,
  iidMessage,
  regionCertificate,
} from '../../../../../test/support/aws-iid.ts'
import {
  attribute,
  type CmsOptions,
  DSA_SHA1,
  indefinite,
  MD5,
  RSA,
  SHA1,
  SHA256,
  signedAttributes,
} from '../../../../../test/support/cms.ts'
import { assertNoFlipAccepted, assertRefused, assertWhole } from '../../../../../test/support/tampering.ts'
import {
  context,
  int,
  makeCertificate,
  newKey,
  octets,
  oid,
  type PkiCertificate,
  type PkiKey,
  seq,
  tlv,
} from '../../../../../test/support/vendor-pki.ts'
import type { JsonObject } from '../../base/json.ts'
import type { ExpectedBinding } from '../binding.ts'
import { collateralOf } from '../collateral.ts'
import { attestEvidence } from '../evidence.ts'
import type { AwsIidTrust } from './authenticate.ts'
import { awsIidVerifier } from './aws-iid.ts'
import { awsIidCollateral } from './collateral.ts'

const region = 'eu-central-1'
const collateral = (...certificates: readonly PkiCertificate[]) =>
  collateralOf({ [`aws/iid/${region}.pem`]: Buffer.from(certificates.map(({ pem }) => pem).join('')) })
const pinned = (...certificates: readonly PkiCertificate[]) => ({
  [region]: certificates.map(({ fingerprint }) => fingerprint),
})
const trust: AwsIidTrust = { certificates: pinned(iidCertificate), collateral: collateral(iidCertificate) }

interface Options {
  readonly trust?: AwsIidTrust
  readonly now?: number
  readonly expected?: ExpectedBinding
  readonly policy?: JsonObject
}
const attest = async (evidence: Uint8Array, options: Options = {}) => {
  const { now = IID_NOW, expected = { kind: 'unchecked' }, policy = {} } = options
  const verifier = awsIidVerifier(options.trust ?? trust)
  return attestEvidence(verifier, evidence, { now, expected }, verifier.readPolicy(policy))
}
const refuses = (code: string, evidence: Uint8Array, options: Options = {}) =>
  assert.rejects(attest(evidence, options), { code })
const json = (parts: object) => Buffer.from(JSON.stringify(parts))
const base64 = (bytes: Uint8Array) => Buffer.from(bytes).toString('base64')

describe('an instance identity document', () => {
  const message = iidMessage()

  test('says which instance of which account it is, and binds to nothing', async () => {
    const result = await attest(message)
    assert.deepEqual(result.selectors, [
      'aws_iid:account_id:123456789012',
      'aws_iid:region:eu-central-1',
      'aws_iid:az:eu-central-1a',
      'aws_iid:instance:id:i-0123456789abcdef0',
      'aws_iid:image:id:ami-0123456789abcdef0',
    ])
    assert.deepEqual(
      [result.binding, result.freshness, result.hardwareRoot],
      ['none', 'none', iidCertificate.fingerprint],
    )
    assert.equal(result.attributes['pending-time'], String(IID_PENDING))
  })

  const lines = (base64(message).match(/.{1,64}/g) ?? []).join('\n')
  const document = iidDocument().toString()
  for (const [what, evidence] of [
    ['as base64 in lines', Buffer.from(`${lines}\n`)],
    ['as PEM', Buffer.from(`-----BEGIN PKCS7-----\n${lines}\n-----END PKCS7-----\n`)],
    ['as hex', Buffer.from(message.toString('hex'))],
    ['in JSON', json({ rsa2048: lines })],
    ['in JSON beside its document', json({ rsa2048: lines, document })],
    ['in JSON beside its document as base64', json({ rsa2048: lines, document: base64(Buffer.from(document)) })],
    ['as DER', iidMessage({ streamed: false })],
  ] as const) {
    test(`is accepted ${what}`, async () => {
      assert.equal((await attest(evidence)).selectors.length, 5)
    })
  }

  test('answers no challenge, and says so', async () => {
    const challenge = { nonce: Buffer.alloc(32), publicKey: Buffer.of(1) }
    const expected = { kind: 'challenge', challenge, trustDomain: 'example.com' } as const
    assert.equal((await attest(message, { expected })).binding, 'none')
  })

  test('beside another document is refused, however alike (N1)', async () => {
    for (const other of [iidDocument({ accountId: '210987654321' }), Buffer.from(`${document} `)]) {
      await refuses('attestation.inconsistent', json({ rsa2048: lines, document: other.toString() }))
    }
  })

  test('in JSON with other members is refused', async () => {
    const both = { rsa2048: lines, pkcs7: lines }
    for (const parts of [
      {},
      { document },
      both,
      { rsa2048: lines, region },
      { rsa2048: 1 },
      { rsa2048: lines, document: '?' },
    ]) {
      await refuses('attestation.malformed', json(parts))
    }
    await refuses('attestation.malformed', Buffer.from('{"rsa2048":"","rsa2048":""}'))
  })

  const other = regionCertificate()
  const anotherSerial = regionCertificate(iidCertificate.key, Buffer.of(1))
  const attrs = signedAttributes({
    content: iidDocument(),
    signer: iidCertificate,
    serial: Buffer.of(1),
    signingTime: IID_PENDING,
  })
  const withAttrs = (...attributes: readonly (Uint8Array | undefined)[]): Partial<CmsOptions> => ({
    attributes: attributes.filter((one) => one !== undefined),
  })
  const [type, signedAt, protection, digest] = attrs
  const rows: readonly (readonly [string, string, Partial<CmsOptions>, Options?])[] = [
    ['signed by another key under the name of AWS', 'attestation.invalid_signature', { signingKey: other }],
    [
      'of which the digest is of something else',
      'attestation.invalid_signature',
      { digested: iidDocument({ accountId: '210987654321' }) },
    ],
    ['of another issuer with the same serial number (N40)', 'attestation.key_unknown', { issuer: seq() }],
    ['of the same issuer with another serial number (N40)', 'attestation.key_unknown', { serial: Buffer.of(2) }],
    ['with two signers (N2)', 'attestation.malformed', { signers: (one) => [one, one] }],
    ['with no signer (N2)', 'attestation.malformed', { signers: () => [] }],
    ['of version 3 (N40)', 'attestation.malformed', { version: 3 }],
    ['with a signer of version 3 (N40)', 'attestation.malformed', { signerVersion: 3 }],
    ['whose content is no data', 'attestation.malformed', { contentType: '1.2.840.113549.1.7.2' }],
    ['that announces another digest (N40)', 'attestation.malformed', { announcedAlgorithm: SHA1 }],
    ['with the digest MD5', 'attestation.unsupported', { digestAlgorithm: MD5 }],
    ['with SHA-1 and RSA', 'attestation.unsupported', { digestAlgorithm: SHA1, hash: 'sha1' }],
    [
      'with the signature algorithm rsaEncryption, which AWS does not write (N40)',
      'attestation.unsupported',
      { signatureAlgorithm: RSA },
    ],
    [
      'without the NULL of its digest (N40)',
      'attestation.unsupported',
      { digestAlgorithm: seq(oid('2.16.840.1.101.3.4.2.1')) },
    ],
    ['with certificates inside', 'attestation.malformed', { certificates: [iidCertificate.der] }],
    ['with revocation lists', 'attestation.malformed', { crls: context(1, seq()) }],
    ['with unsigned attributes', 'attestation.malformed', { unsigned: context(1, attribute('1.2.3', int(1))) }],
    [
      'without signed attributes',
      'attestation.malformed',
      { attributes: undefined as never, signingTime: undefined as never },
    ],
    ['without a message digest', 'attestation.malformed', withAttrs(type, signedAt, protection)],
    ['without a content type', 'attestation.malformed', withAttrs(signedAt, protection, digest)],
    ['with an attribute twice', 'attestation.malformed', withAttrs(type, signedAt, signedAt, digest)],
    ['with an unknown signed attribute', 'attestation.malformed', withAttrs(type, digest, attribute('1.2.3', int(1)))],
    [
      'with two message digests',
      'attestation.malformed',
      withAttrs(type, attribute('1.2.840.113549.1.9.4', octets(Buffer.alloc(32)), octets(Buffer.alloc(32)))),
    ],
    [
      'whose content type is another',
      'attestation.malformed',
      withAttrs(attribute('1.2.840.113549.1.9.3', oid('1.2.3')), digest),
    ],
    [
      'that protects other algorithms',
      'attestation.malformed',
      withAttrs(type, digest, attribute('1.2.840.113549.1.9.52', seq(SHA256, tlv(0xa1, RSA.subarray(2))))),
    ],
    [
      'of a region that is not configured',
      'attestation.issuer_unknown',
      { content: iidDocument({ region: 'eu-west-1' }) },
    ],
    ['of version 2018-01-01', 'attestation.unsupported', { content: iidDocument({ version: '2018-01-01' }) }],
    ['with an account of 11 digits', 'attestation.malformed', { content: iidDocument({ accountId: '12345678901' }) }],
    [
      'with an account that is a number',
      'attestation.malformed',
      { content: iidDocument({ accountId: 123_456_789_012 }) },
    ],
    [
      'with a region that is a path',
      'attestation.malformed',
      { content: iidDocument({ region: '../../eu-central-1' }) },
    ],
    ['without an instance', 'attestation.malformed', { content: iidDocument({ instanceId: null }) }],
    [
      'with a time that is none',
      'attestation.malformed',
      { content: iidDocument({ pendingTime: '2025-13-40T00:00:00Z' }) },
    ],
    ['that is no JSON', 'attestation.malformed', { content: Buffer.from('{"accountId":"1","accountId":"2"}') }],
    ['of an instance launched in the future', 'attestation.not_yet_valid', {}, { now: IID_PENDING - 301 }],
    ['signed in the future', 'attestation.not_yet_valid', { signingTime: IID_NOW + 301 }],
    ['before its certificate', 'attestation.not_yet_valid', {}, { now: 1_000_000_000 }],
    ['after its certificate', 'attestation.expired', {}, { now: 3_000_000_000 }],
    [
      'for data that it cannot have',
      'attestation.binding_mismatch',
      {},
      { expected: { kind: 'data', data: Buffer.of(1) } },
    ],
    ['without collateral', 'attestation.collateral_missing', {}, { trust: { ...trust, collateral: collateralOf({}) } }],
    [
      'with collateral that is none',
      'attestation.collateral_malformed',
      {},
      { trust: { ...trust, collateral: collateralOf({ [`aws/iid/${region}.pem`]: Buffer.from('?') }) } },
    ],
    [
      'whose certificate at hand is not the pinned one',
      'attestation.key_unknown',
      {},
      { trust: { ...trust, collateral: collateral(other) } },
    ],
    [
      'whose pinned certificate is another of the same key',
      'attestation.key_unknown',
      {},
      { trust: { certificates: pinned(anotherSerial), collateral: collateral(iidCertificate, anotherSerial) } },
    ],
  ]
  for (const [what, code, change, options] of rows) {
    test(`${what} is refused`, () => refuses(code, iidMessage(change), options))
  }

  test('under an RSA-1024 certificate is refused, pinned or not', async () => {
    const weak = regionCertificate(newKey('RSA-1024'))
    await refuses('attestation.weak_key', iidMessage({ signer: weak }), {
      trust: { certificates: pinned(weak), collateral: collateral(weak) },
    })
  })

  test('no flipped bit is accepted, signed or not (N40, section 3.1)', () => assertNoFlipAccepted(attest, message, 8))
  test('cut anywhere or made longer it is refused', () => assertWhole(attest, message))
  test('random bytes are refused with a code (property)', () =>
    fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 300 }), (bytes) => assertRefused(attest, bytes, 'random bytes')),
    ))

  for (const [what, bytes] of [
    ['nested without end', Buffer.concat(Array.from({ length: 4000 }, () => Buffer.of(0x30, 0x80)))],
    [
      'nested deep and closed',
      Array.from({ length: 40 }).reduce<Buffer>((inner) => indefinite(0x30, inner), Buffer.alloc(0)),
    ],
    ['of thousands of empty elements', indefinite(0x30, Buffer.alloc(16_000, Buffer.of(0x30, 0x00)))],
    ['whose pieces hold pieces', indefinite(0x24, indefinite(0x24, octets(Buffer.of(1))))],
    ['of a primitive without length', Buffer.of(0x04, 0x80, 0, 0)],
    ['with a length of 2^32 - 1', Buffer.of(0x30, 0x84, 0xff, 0xff, 0xff, 0xff)],
    ['whose end has content', Buffer.of(0x30, 0x80, 0, 1, 0)],
    ['with a high tag', Buffer.of(0x30, 0x80, 0x1f, 0x81, 0x01, 0, 0, 0)],
  ] as const) {
    test(`BER ${what} is refused (N35)`, () => refuses('attestation.malformed', bytes))
  }
  test('more than 16 KiB of CMS, or 32 KiB of evidence, is refused (N35)', async () => {
    await refuses('attestation.too_large', Buffer.concat([message, Buffer.alloc(16_384)]))
    await refuses('attestation.too_large', Buffer.alloc(32_769, 0x41))
  })
})

describe('the older forms of identity documents', () => {
  const pair = generateKeyPairSync('dsa', { modulusLength: 1024, divisorLength: 160 })
  const dsaKey: PkiKey = { ...pair, spki: pair.publicKey.export({ type: 'spki', format: 'der' }) }
  // Who signed the certificate does not matter: it is pinned.
  const dsa = makeCertificate({ subject: 'Amazon Web Services LLC', key: dsaKey, serial: 7, issuer: iidCertificate })
  const rsa1024 = regionCertificate(newKey('RSA-1024'))
  const legacy: AwsIidTrust = {
    certificates: pinned(iidCertificate),
    legacyCertificates: pinned(dsa, rsa1024),
    collateral: collateral(iidCertificate, dsa, rsa1024),
  }
  const pkcs7 = iidMessage({
    signer: dsa,
    serial: Buffer.of(7),
    issuer: iidCertificate.subject,
    digestAlgorithm: SHA1,
    signatureAlgorithm: DSA_SHA1,
    hash: 'sha1',
  })
  const document = iidDocument()
  const signature = base64(sign('sha256', document, rsa1024.key.privateKey))
  const bare = json({ document: document.toString(), signature })

  for (const [what, evidence] of [
    ['pkcs7: DSA with SHA-1', pkcs7],
    ['signature: RSA-1024', bare],
  ] as const) {
    test(`${what}, are refused by default and accepted with a warning where they are configured`, async () => {
      await refuses('attestation.weak_key', evidence)
      await refuses('attestation.weak_key', evidence, {
        trust: { ...trust, certificates: pinned(iidCertificate, dsa, rsa1024) },
      })
      const result = await attest(evidence, { trust: legacy })
      assert.ok(result.warnings.includes('signed with a weak legacy key'))
    })
  }

  test('a signature over another document is refused (N1)', async () => {
    const other = iidDocument({ accountId: '210987654321' }).toString()
    await refuses('attestation.key_unknown', json({ document: other, signature }), { trust: legacy })
    await refuses('attestation.malformed', json({ signature }), { trust: legacy })
    await refuses('attestation.malformed', json({ document: other, signature: '*' }), { trust: legacy })
  })

  test('no flipped bit is accepted (section 3.1)', () =>
    assertNoFlipAccepted((bytes) => attest(bytes, { trust: legacy }), pkcs7, 1))

  test('configuring them does not let them vouch for the rsa2048 form', () =>
    refuses('attestation.key_unknown', iidMessage({ signer: rsa1024, signingKey: rsa1024, serial: Buffer.of(9) }), {
      trust: legacy,
    }))
})

describe('the policy for identity documents', () => {
  const rows: readonly (readonly [JsonObject, string | undefined, number?])[] = [
    [{ accounts: ['123456789012'], regions: [region], images: ['ami-0123456789abcdef0'], maxAge: 300 }, undefined],
    [{ accounts: ['210987654321'] }, 'attestation.not_allowed'],
    [{ regions: ['eu-central-2'] }, 'attestation.not_allowed'],
    [{ images: ['ami-1'] }, 'attestation.not_allowed'],
    [{ maxAge: 300 }, 'attestation.stale', IID_PENDING + 301],
    [{ maxAge: 300 }, undefined, IID_PENDING + 300],
    [{ account: '123456789012' }, 'attestation.policy_malformed'],
    [{ accounts: [] }, 'attestation.policy_malformed'],
  ]
  for (const [policy, code, now = IID_NOW] of rows) {
    test(`${JSON.stringify(policy)} ${code ?? 'passes'}`, async () => {
      if (code === undefined) await attest(iidMessage(), { policy, now })
      else await refuses(code, iidMessage(), { policy, now })
    })
  }
})

describe('collateral for identity documents', () => {
  test('is read from an index by region, and from loose certificates', async () => {
    const index = json({ rsa2048: { [region]: { pem: iidCertificate.pem, bits: 2048 } } })
    for (const bytes of [index, Buffer.from(iidCertificate.pem), iidCertificate.der]) {
      await attest(iidMessage(), { trust: { ...trust, collateral: awsIidCollateral([{ name: 'any', bytes }]) } })
    }
  })

  test('an index of another shape is refused', () => {
    for (const bytes of [json({ rsa2048: [] }), json({ rsa2048: { [region]: 1 } }), Buffer.from('{')]) {
      assert.throws(() => awsIidCollateral([{ name: 'any', bytes }]), { code: 'attestation.collateral_malformed' })
    }
  })
})
