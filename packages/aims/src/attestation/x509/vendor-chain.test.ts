import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import {
  bits,
  bool,
  type CertificateOptions,
  caExtensions,
  int,
  makeCertificate,
  makeCrl,
  makeRoot,
  NOT_AFTER,
  NOT_BEFORE,
  newKey,
  type PkiCertificate,
  seq,
} from '../../../../../test/support/vendor-pki.ts'
import { checkRevocation, parseRevocationList } from './revocation.ts'
import { parseVendorCertificate, parseVendorCertificates } from './vendor-certificate.ts'
import { type VendorChainRequest, validateVendorChain } from './vendor-chain.ts'

const now = 1_750_000_000
const root = makeRoot()
const ca = makeCertificate({ subject: 'Platform CA', issuer: root, extensions: caExtensions(0) })
const leaf = makeCertificate({ subject: 'leaf', issuer: ca, serial: 77 })

const parsed = ({ der }: PkiCertificate) => parseVendorCertificate(der)
const under = (change: Partial<VendorChainRequest> = {}): VendorChainRequest => ({
  leaf: parsed(leaf),
  candidates: [parsed(root), parsed(ca)],
  roots: new Set([root.fingerprint]),
  now,
  ...change,
})
const refused = (code: string, change: Partial<VendorChainRequest>) =>
  assert.throws(() => validateVendorChain(under(change)), { code })

describe('a chain of a vendor', () => {
  test('leads from the leaf to a pinned root, in whatever order its certificates come', () => {
    const chain = validateVendorChain(under())
    assert.deepEqual(
      chain.certificates.map(({ fingerprint }) => fingerprint),
      [leaf, ca, root].map(({ fingerprint }) => fingerprint),
    )
    assert.equal(chain.expiresAt, NOT_AFTER)
  })

  const other = (change: Partial<CertificateOptions>) =>
    parsed(makeCertificate({ subject: 'leaf', issuer: ca, ...change }))
  const viaCa = (change: Partial<CertificateOptions>): Partial<VendorChainRequest> => {
    const made = makeCertificate({ subject: 'Platform CA', issuer: root, extensions: caExtensions(0), ...change })
    return {
      leaf: parsed(makeCertificate({ subject: 'leaf', issuer: made })),
      candidates: [parsed(root), parsed(made)],
    }
  }
  const impostor = makeRoot()
  const critical = { oid: '1.3.6.1.4.1.99999.1', critical: true, value: bool(true) }
  const rows: readonly (readonly [string, string, Partial<VendorChainRequest>])[] = [
    ['with no root configured', 'attestation.untrusted', { roots: new Set() }],
    [
      'under a root of the same name with another key (N16)',
      'attestation.untrusted',
      { roots: new Set([impostor.fingerprint]) },
    ],
    [
      'whose own root has the right name (N7)',
      'attestation.untrusted',
      { leaf: other({ issuer: impostor }), candidates: [parsed(impostor)] },
    ],
    ['without its intermediate', 'attestation.untrusted', { candidates: [parsed(root)] }],
    [
      'of a leaf not signed by that CA',
      'attestation.invalid_signature',
      { leaf: other({ issuer: impostor, issuerName: ca.subject }) },
    ],
    ['before the leaf is valid', 'attestation.not_yet_valid', { leaf: other({ notBefore: now + 1 }) }],
    ['after the leaf ended', 'attestation.expired', { leaf: other({ notAfter: now - 1 }) }],
    ['after the CA ended', 'attestation.expired', viaCa({ notAfter: now - 1 })],
    ['after the root ended', 'attestation.expired', { now: NOT_AFTER + 1, leaf: other({ notAfter: NOT_AFTER + 99 }) }],
    ['before the root was valid', 'attestation.not_yet_valid', { now: NOT_BEFORE - 1, leaf: other({ notBefore: 0 }) }],
    ['through a certificate that is no CA', 'attestation.chain_invalid', viaCa({ extensions: [] })],
    [
      'through a CA that may not sign certificates',
      'attestation.chain_invalid',
      viaCa({ extensions: [caExtensions()[0] as never, { oid: '2.5.29.15', value: bits(Buffer.from([0x80]), 7) }] }),
    ],
    [
      'with a critical extension that nobody understands',
      'attestation.chain_invalid',
      { leaf: other({ extensions: [critical] }) },
    ],
    ['of a leaf with a weak key', 'attestation.weak_key', { leaf: other({ key: newKey('RSA-1024') }) }],
    ['longer than allowed', 'attestation.chain_invalid', { maxCertificates: 2 }],
    [
      'of full length under a root that is not configured',
      'attestation.untrusted',
      { maxCertificates: 3, roots: new Set([impostor.fingerprint]) },
    ],
  ]
  for (const [what, code, change] of rows) test(`${what} is refused`, () => refused(code, change))

  test('a path length is kept', () => {
    const below = makeCertificate({ subject: 'Below', issuer: ca, extensions: caExtensions() })
    const last = makeCertificate({ subject: 'leaf', issuer: below })
    refused('attestation.chain_invalid', { leaf: parsed(last), candidates: [parsed(root), parsed(ca), parsed(below)] })
  })

  test('a certificate signed with SHA-1 is refused', () => {
    const weak = makeRoot('Weak CA', { key: newKey('RSA-2048') })
    const signed = makeCertificate({ subject: 'leaf', issuer: weak, scheme: 'rsa-sha1' })
    refused('attestation.weak_key', {
      leaf: parsed(signed),
      candidates: [parsed(weak)],
      roots: new Set([weak.fingerprint]),
    })
  })

  test('RSASSA-PSS with SHA-384 is verified, and only its own bytes', () => {
    const pss = makeRoot('PSS CA', { key: newKey('RSA-2048'), scheme: 'rsa-pss-sha384' })
    const made = makeCertificate({ subject: 'leaf', issuer: pss, scheme: 'rsa-pss-sha384' })
    const request = { candidates: [parsed(pss)], roots: new Set([pss.fingerprint]) }
    validateVendorChain(under({ ...request, leaf: parsed(made) }))
    const flipped = Buffer.from(made.der)
    flipped[flipped.length - 1] = (flipped.at(-1) as number) ^ 1
    refused('attestation.invalid_signature', { ...request, leaf: parseVendorCertificate(flipped) })
  })

  test('a cross-signed loop ends', () => {
    const a = makeRoot('A')
    const b = makeCertificate({ subject: 'B', issuer: a, extensions: caExtensions() })
    const a2 = makeCertificate({ subject: 'A', key: a.key, issuer: b, extensions: caExtensions() })
    refused('attestation.untrusted', {
      leaf: other({ issuer: b }),
      candidates: [parsed(a2), parsed(b), parsed(a)],
    })
  })
})

describe('a certificate of a vendor', () => {
  test('is read from PEM with a NUL at the end, as DCAP quotes hold it', () => {
    const bytes = Buffer.from(`${leaf.pem}${ca.pem}\0rest`)
    assert.equal(parseVendorCertificates(bytes).length, 2)
  })

  const tbsOf = (der: Buffer) => der.subarray(4)
  for (const [what, der] of [
    ['cut short', leaf.der.subarray(0, -1)],
    ['with something after it', Buffer.concat([leaf.der, Buffer.of(0)])],
    ['that is only a part', tbsOf(leaf.der)],
    ['larger than 16 KiB', Buffer.alloc(20_000, 0x30)],
    ['of nothing', Buffer.alloc(0)],
  ] as const) {
    test(`${what} is refused`, () => {
      assert.throws(() => parseVendorCertificate(der), { code: 'attestation.malformed' })
    })
  }

  test('no flipped bit leaves a chain that holds', () => {
    for (let at = 0; at < leaf.der.length; at += 1) {
      const flipped = Buffer.from(leaf.der)
      flipped[at] = (flipped[at] as number) ^ (1 << (at % 8))
      assert.throws(
        () => validateVendorChain(under({ leaf: parseVendorCertificate(flipped) })),
        (error: { code: string }) => error.code.startsWith('attestation.'),
      )
    }
  })
})

describe('a revocation list', () => {
  const lists = (...ders: Buffer[]) => ders.map(parseRevocationList)
  const rootList = makeCrl({ issuer: root })
  const chain = validateVendorChain(under())

  test('that does not name the certificates of the chain lets them pass', () => {
    checkRevocation(chain, lists(rootList, makeCrl({ issuer: ca, serials: [1, 2] })), now)
  })

  const rows: readonly (readonly [string, string, readonly Buffer[]])[] = [
    ['that names the leaf', 'attestation.revoked', [rootList, makeCrl({ issuer: ca, serials: [5, 77] })]],
    ['that is not there', 'attestation.collateral_missing', [rootList]],
    [
      'of another key with the right name',
      'attestation.collateral_invalid',
      [rootList, makeCrl({ issuer: leaf, issuerName: ca.subject })],
    ],
    ['that has ended', 'attestation.collateral_expired', [rootList, makeCrl({ issuer: ca, nextUpdate: now - 1 })]],
    ['of the future', 'attestation.collateral_expired', [rootList, makeCrl({ issuer: ca, thisUpdate: now + 1 })]],
  ]
  for (const [what, code, ders] of rows) {
    test(`${what} is refused as ${code}`, () => {
      assert.throws(() => checkRevocation(chain, lists(...ders), now), { code })
    })
  }

  test('no flipped bit of a list is accepted (N39)', () => {
    const good = makeCrl({ issuer: ca, serials: [5] })
    for (let at = 0; at < good.length; at += 1) {
      const flipped = Buffer.from(good)
      flipped[at] = (flipped[at] as number) ^ (1 << (at % 8))
      assert.throws(
        () => checkRevocation(chain, lists(rootList, flipped), now),
        (error: { code: string }) => error.code.startsWith('attestation.'),
      )
    }
  })

  test('a list of the root that names the CA refuses the chain', () => {
    const serial = parsed(ca).serial
    assert.throws(
      () => checkRevocation(chain, lists(makeCrl({ issuer: root, serials: [serial] }), makeCrl({ issuer: ca })), now),
      {
        code: 'attestation.revoked',
      },
    )
  })

  test('bytes that are no list are refused', () => {
    for (const bytes of [Buffer.alloc(0), seq(int(1)), leaf.der]) {
      assert.throws(() => parseRevocationList(bytes), { code: 'attestation.collateral_malformed' })
    }
  })
})
