import assert from 'node:assert/strict'
import { createHash, generateKeyPairSync } from 'node:crypto'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import {
  AK_ATTRIBUTES,
  EK_ATTRIBUTES,
  gceExtension,
  KEY_ATTRIBUTES,
  maker,
  quoteInfo,
  type SoftTpm,
  softKey,
  softTpm,
  statement,
} from '../../../../../test/support/soft-tpm.ts'
import {
  b64,
  caName,
  certifyOf,
  challengeFor,
  digestFor,
  helloOf,
  json,
  knowing,
  quoteOf,
  SELECTION,
  trustIn,
} from '../../../../../test/support/tpm-evidence.ts'
import {
  caExtensions,
  extendedUsage,
  makeCertificate,
  makeCrl,
  makeRoot,
  NOT_AFTER,
} from '../../../../../test/support/vendor-pki.ts'
import type { JsonObject } from '../../base/json.ts'
import type { AttestationResult } from '../attestor.ts'
import type { Challenge, ExpectedBinding } from '../binding.ts'
import { attestEvidence, type EvidenceContext } from '../evidence.ts'
import type { TpmTrust } from './authenticate.ts'
import { ATTRIBUTE } from './public-area.ts'
import { tpmVerifier } from './tpm.ts'

const now = Date.UTC(2026, 0, 1) / 1000
const tpm = softTpm()
const trust = trustIn()
const spki = generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey.export({ type: 'spki', format: 'der' })
const challenge = challengeFor(spki)
const bound = digestFor(challenge)
const expected: ExpectedBinding = { kind: 'challenge', challenge, trustDomain: 'example.com' }

type Document = { readonly [member: string]: unknown }

/** The part of a document that shows where its attestation key lives. */
function activated(
  machine: SoftTpm = tpm,
  given: TpmTrust = trust,
  at = now,
): { readonly document: Document; readonly prepared: JsonObject } {
  const { offer, kept } = tpmVerifier(given).prepare(helloOf(machine), { now: at })
  const secret = machine.activate(Buffer.from(offer.credential as string, 'base64'))
  return {
    document: { ...helloOf(machine), secret: b64(secret) },
    prepared: kept,
  }
}

const { document: origin, prepared } = activated()
const good: Document = { ...origin, ...quoteOf(tpm, bound) }

function attest(
  document: Document | Uint8Array,
  change: { trust?: TpmTrust; policy?: object; context?: Partial<EvidenceContext> } = {},
): Promise<AttestationResult> {
  const verifier = tpmVerifier(change.trust ?? trust)
  const bytes = document instanceof Uint8Array ? document : json(document)
  const policy = verifier.readPolicy((change.policy ?? {}) as never)
  return attestEvidence(verifier, bytes, { now, expected, prepared, ...change.context }, policy)
}

const refused = (
  code: string,
  document: Document | Uint8Array,
  change: Parameters<typeof attest>[1] = {},
): Promise<void> => assert.rejects(async () => attest(document, change), { code: `attestation.${code}` })

/** Without challenge and certificates: an operator vouches for the key. */
const vouched = (
  machine: SoftTpm,
  quote: Document = quoteOf(machine, bound),
): [Document, Parameters<typeof attest>[1]] => [
  { akPublic: b64(machine.ak.area), ...quote },
  { trust: { ...trust, ...knowing(machine.ak) }, context: { prepared: undefined as never } },
]
const refusedVouched = (code: string, machine: SoftTpm, quote?: Document): Promise<void> =>
  refused(code, ...vouched(machine, quote))

describe('a TPM that answers its challenge', () => {
  test('is named by its endorsement key, its attestation key and its PCRs', async () => {
    const result = await attest(good)
    const ek = createHash('sha256')
      .update(tpm.ek.publicKey.export({ type: 'spki', format: 'der' }))
      .digest('hex')
    assert.equal(result.binding, 'full')
    assert.equal(result.freshness, 'nonce')
    assert.equal(result.hardwareRoot, maker.fingerprint)
    assert.equal(result.evidenceNotAfter, NOT_AFTER)
    assert.deepEqual(result.selectors.slice(0, 3), [
      `tpm:ek:${ek}`,
      `tpm:ak:${tpm.ak.name.toString('hex')}`,
      'tpm:manufacturer:id:414D5301',
    ])
    assert.ok(result.selectors.includes(`tpm:pcr:sha256:7:${'00'.repeat(32)}`))
    assert.equal(result.attributes['firmware-version'], '2019102300163636')
    assert.deepEqual(result.warnings, [])
  })

  test('may have RSA or elliptic keys, of 256 or 384 bits, and every scheme of a signing key', async () => {
    for (const options of [
      { ek: { kind: 'P-384' }, ak: { kind: 'P-384', schemeHash: 'sha384' } },
      { ak: { kind: 'RSA-2048', scheme: 'rsassa' } },
      { ak: { kind: 'RSA-2048', scheme: 'rsapss' } },
    ] as const) {
      const machine = softTpm(options)
      const { document, prepared: kept } = activated(machine)
      const quote = quoteOf(machine, bound)
      if (options.ak.kind === 'P-384') {
        const signed = statement({ extraData: bound }, quoteInfo(SELECTION, {}, 'sha384'))
        Object.assign(quote, { quote: b64(signed), signature: b64(machine.ak.sign(signed)) })
      }
      const result = await attest({ ...document, ...quote }, { context: { prepared: kept } })
      assert.equal(result.binding, 'full')
    }
  })

  test('may certify the very key that is to be certified, which then cannot leave it', async () => {
    const resident: Challenge = challengeFor(tpm.key.publicKey.export({ type: 'spki', format: 'der' }))
    const digest = digestFor(resident)
    const document = { ...origin, ...quoteOf(tpm, digest), ...certifyOf(tpm, digest) }
    const context = { expected: { kind: 'challenge', challenge: resident, trustDomain: 'example.com' } } as const
    const result = await attest(document, { context, policy: { requireResidentKey: true } })
    assert.ok(result.selectors.includes('tpm:resident-key:true'))
    await refused('not_enough', good, { policy: { requireResidentKey: true } })
    await refused('binding_mismatch', { ...document, ...certifyOf(tpm, bound) }, { context })
    await refused('binding_mismatch', { ...origin, ...quoteOf(tpm, bound), ...certifyOf(tpm, bound) })
    // A statement about the key alone says nothing about what was booted.
    const alone = { ...origin, ...certifyOf(tpm, digest) }
    await refused('not_enough', alone, { context })
    assert.equal((await attest(alone, { context, policy: { acceptWithoutQuote: true } })).binding, 'full')
    await refused('not_enough', alone, { context, policy: { acceptWithoutQuote: true, selection: 'sha256:0' } })
  })

  test('may be known from before, or vouched for by an operator', async () => {
    const [document, change] = vouched(tpm)
    const result = await attest(document, change)
    assert.equal(result.hardwareRoot, undefined)
    assert.deepEqual(result.selectors.slice(0, 1), [`tpm:ak:${tpm.ak.name.toString('hex')}`])
  })

  test('whose maker is known by an intermediate CA is found by the names of issuers', async () => {
    const ca = makeCertificate({ subject: 'Soft TPM CA 7', issuer: maker, extensions: caExtensions(0) })
    const machine = softTpm({ issuer: ca })
    const given = trustIn(maker, ca)
    const { document, prepared: kept } = activated(machine, given)
    const whole = { ...document, ...quoteOf(machine, bound) }
    await attest(whole, { trust: given, context: { prepared: kept } })
    await refused('untrusted', whole, { context: { prepared: kept } })
    await attest(
      { ...whole, ekCertificate: [b64(machine.ekCertificate.der), b64(ca.der)] },
      { context: { prepared: kept } },
    )
  })

  test('of Google Compute Engine shows a certified attestation key, in production only', async () => {
    const machine = softTpm()
    const certify = (isProduction: boolean) =>
      makeCertificate({
        subject: '218557372616137117',
        issuer: maker,
        key: { ...machine.ak, spki: machine.ak.publicKey.export({ type: 'spki', format: 'der' }) },
        extensions: [gceExtension(isProduction)],
      })
    const document = { akPublic: b64(machine.ak.area), ...quoteOf(machine, bound) }
    const context = { prepared: undefined as never }
    const result = await attest({ ...document, akCertificate: b64(certify(true).der) }, { context })
    assert.ok(result.selectors.includes('tpm:gce:project-id:example-project'))
    assert.equal(result.attributes['instance-id'], '218557372616137117')
    await refused('debug', { ...document, akCertificate: b64(certify(false).der) }, { context })
    const plain = makeCertificate({
      subject: 'not a TPM',
      issuer: maker,
      key: { ...machine.ak, spki: machine.ak.publicKey.export({ type: 'spki', format: 'der' }) },
    })
    await refused('chain_invalid', { ...document, akCertificate: b64(plain.der) }, { context })
    await refused(
      'not_allowed',
      { ...document, akCertificate: b64(certify(true).der) },
      {
        context,
        policy: { gceProjects: 'another-project' },
      },
    )
  })

  test('may have a bare RSA signature, as some clouds pass it on', async () => {
    const machine = softTpm({ ak: { kind: 'RSA-2048' } })
    const quote = quoteOf(machine, bound)
    const bare = Buffer.from(quote.signature as string, 'base64').subarray(6)
    await attest(...vouched(machine, { ...quote, signature: b64(bare) }))
    await refusedVouched('invalid_signature', machine, { ...quote, signature: b64(Buffer.alloc(256, 1)) })
  })
})

describe('a challenge is made only for', () => {
  const rows: readonly (readonly [string, string, SoftTpm])[] = [
    ['a certificate of a trusted maker', 'untrusted', softTpm({ issuer: makeRoot('Another Maker') })],
    [
      'a certificate of the maker and not of its namesake',
      'invalid_signature',
      softTpm({ issuer: makeRoot('Soft TPM Maker') }),
    ],
    ['a certificate whose purpose is an endorsement key', 'chain_invalid', softTpm({ extensions: [] })],
    [
      'a certificate with that purpose and no other',
      'chain_invalid',
      softTpm({ extensions: [extendedUsage('2.23.133.8.3')] }),
    ],
    [
      'a certificate that is not one of a CA',
      'chain_invalid',
      softTpm({ extensions: [...caExtensions(), extendedUsage('2.23.133.8.1')] }),
    ],
    ['a certificate in its time', 'expired', softTpm({ notAfter: now - 1 })],
    ['the key in the certificate (N23)', 'inconsistent', { ...tpm, ek: softTpm().ek }],
    [
      'an endorsement key under the policy of its template',
      'chain_invalid',
      softTpm({ ek: { policy: '00'.repeat(32) } }),
    ],
    ['an endorsement key that is restricted', 'chain_invalid', ekWith(EK_ATTRIBUTES & ~ATTRIBUTE.restricted)],
    ['an endorsement key that decrypts', 'chain_invalid', ekWith(EK_ATTRIBUTES & ~ATTRIBUTE.decrypt)],
    ['an endorsement key that stays in its TPM', 'chain_invalid', ekWith(EK_ATTRIBUTES & ~ATTRIBUTE.fixedTpm)],
    ['an endorsement key that signs nothing', 'chain_invalid', ekWith(EK_ATTRIBUTES | ATTRIBUTE.sign)],
    ['an endorsement key whose user needs its policy', 'chain_invalid', ekWith(EK_ATTRIBUTES | ATTRIBUTE.userWithAuth)],
    ['an endorsement key with storage', 'chain_invalid', softTpm({ ek: { symmetric: 0, scheme: 'none' } })],
    ['an attestation key that is restricted (N21)', 'chain_invalid', akWith(AK_ATTRIBUTES & ~ATTRIBUTE.restricted)],
    ['an attestation key that stays in its TPM (N21)', 'chain_invalid', akWith(AK_ATTRIBUTES & ~ATTRIBUTE.fixedTpm)],
    [
      'an attestation key that stays under its parent (N21)',
      'chain_invalid',
      akWith(AK_ATTRIBUTES & ~ATTRIBUTE.fixedParent),
    ],
    [
      'an attestation key that was made in its TPM (N21)',
      'chain_invalid',
      akWith(AK_ATTRIBUTES & ~ATTRIBUTE.sensitiveDataOrigin),
    ],
    ['an attestation key that decrypts nothing', 'chain_invalid', akWith(AK_ATTRIBUTES | ATTRIBUTE.decrypt)],
    ['an attestation key that signs', 'chain_invalid', akWith(AK_ATTRIBUTES & ~ATTRIBUTE.sign)],
    ['an attestation key with a scheme', 'chain_invalid', softTpm({ ak: { scheme: 'none' } })],
    ['an attestation key that signs with SHA-256 or better (N22)', 'weak_key', softTpm({ ak: { schemeHash: 'sha1' } })],
    ['an attestation key with a name of SHA-256 or better', 'weak_key', softTpm({ ak: { nameHash: 'sha1' } })],
    ['an attestation key of 2048 bits or more', 'weak_key', softTpm({ ak: { kind: 'RSA-1024' } })],
  ]
  for (const [what, code, machine] of rows) {
    test(what, () => {
      const prepare = () => tpmVerifier(trust).prepare(helloOf(machine), { now })
      assert.throws(prepare, { code: `attestation.${code}` })
    })
  }

  test('a hello that can be read', () => {
    const hello = helloOf(tpm)
    const { akPublic: _, ...less } = hello
    for (const wrong of [
      {},
      less,
      { ...hello, more: 1 },
      { ...hello, ekPublic: 'AA' },
      { ...hello, ekCertificate: [] },
    ]) {
      assert.throws(() => tpmVerifier(trust).prepare(wrong, { now }), { code: 'attestation.malformed' })
    }
  })

  test('a certificate that no list at hand revokes', async () => {
    const listName = caName(maker).replace('/ca/', '/crl/')
    const withList = (list: Buffer | undefined, requireRevocationLists = false): TpmTrust => ({
      ...trust,
      collateral: { get: (name) => (name === listName ? list : trust.collateral.get(name)) },
      requireRevocationLists,
    })
    const machine = softTpm()
    activated(machine, withList(makeCrl({ issuer: maker, serials: [1] }), true))
    const serial = BigInt(`0x${serialOf(machine.ekCertificate.der)}`)
    const rows = [
      ['revoked', withList(makeCrl({ issuer: maker, serials: [serial] }))],
      ['collateral_expired', withList(makeCrl({ issuer: maker, nextUpdate: now - 1 }))],
      ['collateral_malformed', withList(Buffer.from('no list'))],
      ['collateral_missing', withList(undefined, true)],
    ] as const
    for (const [code, given] of rows) {
      assert.throws(() => activated(machine, given), { code: `attestation.${code}` })
    }
  })
})

const serialOf = (der: Buffer): string => {
  // Certificate, TBSCertificate, [0] version, then the serial number.
  const at = der.indexOf(Buffer.from('a003020102', 'hex')) + 5
  return der.subarray(at + 2, at + 2 + (der[at + 1] as number)).toString('hex')
}

function ekWith(attributes: number): SoftTpm {
  return softTpm({ ek: { attributes } })
}

function akWith(attributes: number): SoftTpm {
  return softTpm({ ak: { attributes } })
}

describe('an attestation key is not believed to live in a TPM', () => {
  const none = { prepared: undefined as never }
  test('without a challenge, a certificate or an operator who vouches for it (N23)', async () => {
    await refused('key_unknown', good, { context: none })
  })

  test('when the secret is of another challenge (N23)', async () => {
    const again = activated()
    await refused('activation_failed', { ...good, secret: again.document.secret })
    await refused('activation_failed', good, { context: { prepared: again.prepared } })
  })

  test('when the secret is missing or wrong (N23)', async () => {
    const { secret: _, ...without } = good
    await refused('activation_failed', without)
    await refused('activation_failed', { ...good, secret: b64(Buffer.alloc(32)) })
  })

  test('when the TPM is another one than was challenged (N23)', async () => {
    const other = softTpm()
    await refused('activation_failed', {
      ...good,
      ...helloOf({ ...other, ak: tpm.ak }),
    })
    // Another attestation key, with a quote of its own, beside the right endorsement key.
    await refused('activation_failed', { ...good, akPublic: b64(other.ak.area), ...quoteOf(other, bound) })
    const { ekCertificate: _, ekPublic: __, ...without } = good
    await refused('activation_failed', without)
  })

  test('when it was first seen beside another endorsement key (N23)', async () => {
    const { secret: _, ...without } = good
    await refused('taken', without, { trust: { ...trust, ...knowing(tpm.ak, '00'.repeat(32)) }, context: none })
  })

  test('when what the server kept is not what it was given', async () => {
    await refused('activation_failed', good, { context: { prepared: {} } })
    await refused('activation_failed', good, { context: { prepared: { ...prepared, secret: 7 } } })
  })

  test('beside an endorsement key whose certificate is sent along, unless its statements say so (N23)', async () => {
    const { secret: _, ...beside } = good
    const change = { trust: { ...trust, ...knowing(tpm.ak) }, context: none }
    const { selectors } = await attest(beside, change)
    assert.match(selectors[0] as string, /^tpm:ek:/)
    const other = softTpm()
    await refused('inconsistent', { ...beside, ...helloOf({ ...other, ak: tpm.ak }) }, change)
    await refused('inconsistent', { ...beside, ...quoteOf({ ...tpm, ek: other.ek }, bound) }, change)
  })

  test('by the credential that another TPM, or another key of the same TPM, was given', () => {
    const { offer } = tpmVerifier(trust).prepare(helloOf(tpm), { now })
    const credential = Buffer.from(offer.credential as string, 'base64')
    assert.throws(() => softTpm().activate(credential))
    assert.throws(() => tpm.activate(credential, tpm.key.name), /INTEGRITY/)
  })
})

describe('a quote is refused', () => {
  const unrestricted = softTpm({ ak: { attributes: KEY_ATTRIBUTES } })
  const rows: readonly (readonly [string, string, Document])[] = [
    ['of another challenge', 'binding_mismatch', quoteOf(tpm, digestFor(challengeFor(spki)))],
    ['of the nonce alone', 'binding_mismatch', quoteOf(tpm, challenge.nonce)],
    ['of nothing', 'binding_mismatch', quoteOf(tpm, Buffer.alloc(0))],
    ['of the digest and something more', 'binding_mismatch', quoteOf(tpm, Buffer.concat([bound, Buffer.of(0)]))],
    ['signed by another key', 'invalid_signature', quoteOf(tpm, bound, { by: softTpm().ak })],
    ['signed by the key that stays in the TPM', 'invalid_signature', quoteOf(tpm, bound, { by: tpm.key })],
    ['over no PCR (N19)', 'not_enough', quoteOf(tpm, bound, { selection: [] })],
    ['over an empty bank (N19)', 'not_enough', quoteOf(tpm, bound, { selection: [{ bank: 'sha256', indices: [] }] })],
    [
      'over a bank that is not active (N19)',
      'not_enough',
      quoteOf(tpm, bound, { selection: [...SELECTION, { bank: 'sha1', indices: [] }] }),
    ],
    ['with other bytes in place of the magic (N22)', 'malformed', quoteOf(tpm, bound, { magic: 0xff544348 })],
    ['that is a statement of time (N22)', 'unsupported', quoteOf(tpm, bound, { type: 0x8019 })],
    ['that says it certifies a key (N22)', 'malformed', quoteOf(tpm, bound, { type: 0x8017 })],
    ['with a truth value of 2', 'malformed', quoteOf(tpm, bound, { safe: 2 })],
  ]
  for (const [what, code, quote] of rows) test(what, () => refused(code, { ...origin, ...quote }))

  test('that is a certified key (N22)', async () => {
    const { certify } = certifyOf(tpm, bound) as { certify: { attest: string; signature: string } }
    await refused('malformed', { ...origin, quote: certify.attest, signature: certify.signature })
  })

  test('that ends early or goes on (N22)', async () => {
    const whole = statement({ extraData: bound }, quoteInfo(SELECTION, {}))
    for (const bytes of [whole.subarray(0, -1), Buffer.concat([whole, Buffer.of(0)])]) {
      const document = { ...origin, quote: b64(bytes), signature: b64(tpm.ak.sign(bytes)) }
      await refused('malformed', document)
    }
  })

  test('that an unrestricted key made up (N21)', async () => {
    await refusedVouched('chain_invalid', unrestricted)
  })

  test('with values of PCRs that were not quoted, or of others than were (N19)', async () => {
    const quote = quoteOf(tpm, bound)
    const values = (quote.pcrs as { sha256: { [index: string]: string } }).sha256
    const { 7: _, ...fewer } = values
    for (const pcrs of [
      { sha256: { ...values, 8: '00'.repeat(32) } },
      { sha256: fewer },
      { sha1: {} },
      { sha384: values },
    ]) {
      const code = 'sha384' in pcrs ? 'malformed' : 'inconsistent'
      await refused(code, { ...origin, ...quote, pcrs })
    }
    await refused('inconsistent', { ...origin, ...quote, pcrs: { sha256: { ...values, 7: '01'.repeat(32) } } })
  })

  test('whose values keep their order and change their places (N20)', async () => {
    const pcrs = { 'sha256:1': Buffer.alloc(32, 1), 'sha256:2': Buffer.alloc(32, 2) }
    const quote = quoteOf(tpm, bound, { selection: [{ bank: 'sha256', indices: [1, 2] }], pcrs })
    await attest({ ...origin, ...quote })
    const moved = { sha256: { 4: '01'.repeat(32), 7: '02'.repeat(32) } }
    await refused('inconsistent', { ...origin, ...quote, pcrs: moved })
    const banks = [
      { bank: 'sha256', indices: [1] },
      { bank: 'sha384', indices: [1] },
    ] as const
    const two = quoteOf(tpm, bound, { selection: banks })
    await attest({ ...origin, ...two })
    await refused('inconsistent', { ...origin, ...two, pcrs: { sha256: { 1: '00'.repeat(32) } } })
  })

  test('whose digest is of the hash of its bank instead of its signature', async () => {
    const selection = [{ bank: 'sha384', indices: [0] }] as const
    const attested = statement({ extraData: bound }, quoteInfo(selection, {}, 'sha384'))
    const document = {
      quote: b64(attested),
      signature: b64(tpm.ak.sign(attested)),
      pcrs: { sha384: { 0: '00'.repeat(48) } },
    }
    await refused('inconsistent', { ...origin, ...document })
  })

  test('whose signature names another hash or scheme than its key (N22)', async () => {
    const machine = softTpm({ ak: { kind: 'RSA-2048' } })
    const other = softKey({ kind: 'RSA-2048', attributes: AK_ATTRIBUTES, scheme: 'rsapss', pair: machine.ak })
    const sha1 = softKey({ kind: 'RSA-2048', attributes: AK_ATTRIBUTES, schemeHash: 'sha1', pair: machine.ak })
    const sha512 = softKey({ kind: 'RSA-2048', attributes: AK_ATTRIBUTES, schemeHash: 'sha512', pair: machine.ak })
    for (const by of [other, sha1, sha512])
      await refusedVouched('invalid_signature', machine, quoteOf(machine, bound, { by }))
  })

  test('with a short r or s only when it is the same number (N22)', async () => {
    const attested = statement({ extraData: bound }, quoteInfo(SELECTION, {}))
    // Until r begins with a zero byte, which a TPM may leave out.
    for (;;) {
      const whole = tpm.ak.sign(attested)
      if (whole[6] !== 0) continue
      const short = Buffer.concat([whole.subarray(0, 4), Buffer.of(0, 31), whole.subarray(7)])
      await attest({ ...good, quote: b64(attested), signature: b64(short) })
      const shorter = Buffer.concat([whole.subarray(0, 4), Buffer.of(0, 30), whole.subarray(8)])
      await refused('invalid_signature', { ...good, quote: b64(attested), signature: b64(shorter) })
      const long = Buffer.concat([whole.subarray(0, 4), Buffer.of(0, 33), Buffer.of(0), whole.subarray(6)])
      await refused('malformed', { ...good, quote: b64(attested), signature: b64(long) })
      return
    }
  })
})

describe('a key that a TPM certifies is refused', () => {
  const resident = challengeFor(tpm.key.publicKey.export({ type: 'spki', format: 'der' }))
  const digest = digestFor(resident)
  const context = { expected: { kind: 'challenge', challenge: resident, trustDomain: 'example.com' } } as const
  const quote = quoteOf(tpm, digest)
  const keyWith = (attributes: number) => softKey({ attributes, pair: tpm.key })
  const rows: readonly (readonly [string, string, Document])[] = [
    [
      'when it may leave',
      'chain_invalid',
      certifyOf(tpm, digest, { key: keyWith(KEY_ATTRIBUTES & ~ATTRIBUTE.fixedTpm) }),
    ],
    [
      'when it came from outside',
      'chain_invalid',
      certifyOf(tpm, digest, { key: keyWith(KEY_ATTRIBUTES & ~ATTRIBUTE.sensitiveDataOrigin) }),
    ],
    ['when it signs statements', 'chain_invalid', certifyOf(tpm, digest, { key: keyWith(AK_ATTRIBUTES) })],
    ['when it decrypts', 'chain_invalid', certifyOf(tpm, digest, { key: keyWith(KEY_ATTRIBUTES | ATTRIBUTE.decrypt) })],
    ['when the TPM certified another', 'inconsistent', certifyOf(tpm, digest, { name: tpm.ak.name })],
    ['with a statement of another kind', 'malformed', certifyOf(tpm, digest, { type: 0x8018 })],
    ['with a statement for another challenge', 'binding_mismatch', certifyOf(tpm, Buffer.alloc(32, 1))],
  ]
  for (const [what, code, certify] of rows) {
    test(what, () => refused(code, { ...origin, ...quote, ...certify }, { context }))
  }
})

describe('a policy', () => {
  const value = createHash('sha256').update('booted').digest()
  const pcrs = { 'sha256:7': value }
  const document = { ...origin, ...quoteOf(tpm, bound, { pcrs }) }
  const pcrDigest = createHash('sha256')
    .update(Buffer.concat([Buffer.alloc(160), value]))
    .digest('hex')
  const endorsementKey = createHash('sha256')
    .update(tpm.ek.publicKey.export({ type: 'spki', format: 'der' }))
    .digest('hex')
  const rows: readonly (readonly [string, object, object])[] = [
    ['not_enough', { selection: 'sha256:0,1,2,3,4,7' }, { selection: 'sha256:0,1,2,3,4' }],
    [
      'measurement_mismatch',
      { pcrs: { 'sha256:7': [value.toString('hex')] } },
      { pcrs: { 'sha256:7': '00'.repeat(32) } },
    ],
    ['measurement_mismatch', { pcrs: { 'sha256:0': '00'.repeat(32) } }, { pcrs: { 'sha256:8': '00'.repeat(32) } }],
    ['measurement_mismatch', { pcrDigests: [pcrDigest.toUpperCase()] }, { pcrDigests: ['00'.repeat(32)] }],
    ['not_allowed', { endorsementKeys: endorsementKey }, { endorsementKeys: '00'.repeat(32) }],
    ['revoked', { deniedEndorsementKeys: '00'.repeat(32) }, { deniedEndorsementKeys: endorsementKey }],
    ['not_allowed', { manufacturers: ['id:414D5301'] }, { manufacturers: ['id:414D5302'] }],
    ['tcb_out_of_date', { minimumFirmware: '2019102300163636' }, { minimumFirmware: '2019102300163637' }],
    ['tcb_out_of_date', { deniedFirmware: '2019102300163637' }, { deniedFirmware: ['2019102300163636'] }],
    ['not_allowed', { requireSecureBoot: false }, { requireSecureBoot: true }],
  ]
  for (const [code, met, unmet] of rows) {
    test(`is met by ${JSON.stringify(Object.keys(met))} or refuses with ${code}`, async () => {
      await attest(document, { policy: met })
      await refused(code, document, { policy: unmet })
    })
  }

  test('says what a clock that may repeat values is worth', async () => {
    const unsafe = { ...origin, ...quoteOf(tpm, bound, { safe: 0 }) }
    assert.equal((await attest(unsafe)).warnings.length, 1)
    await refused('not_enough', unsafe, { policy: { requireSafeClock: true } })
  })

  test('refuses keys of the generator of CVE-2017-15361 unless told otherwise (N24)', async () => {
    const machine = softTpm({ ak: { kind: 'RSA-2048' } })
    // A modulus with the fingerprint; nobody can sign with it, so the claim is made of the public area alone.
    const { appraiseTpm, readTpmPolicy } = await import('./appraise.ts')
    const verifier = tpmVerifier({ ...trust, ...knowing(machine.ak) })
    const [vouchedFor] = vouched(machine)
    const { claims } = await verifier.authenticate(json(vouchedFor), { now, expected })
    assert.equal(claims.hasRocaKey, false)
    const weak = { ...claims, hasRocaKey: true }
    assert.throws(() => appraiseTpm(weak, readTpmPolicy({})), { code: 'attestation.weak_key' })
    assert.deepEqual(appraiseTpm(weak, readTpmPolicy({ acceptRocaKeys: true })), [])
  })

  test('with a member or value of the wrong form is refused', () => {
    for (const wrong of [
      { pcr: {} },
      { pcrs: {} },
      { pcrs: { 'sha256:7': 'aa' } },
      { pcrs: { 'sha256:7,8': '00'.repeat(32) } },
      { pcrs: { 'sha256:24': '00'.repeat(32) } },
      { selection: 'sha256:7,1' },
      { selection: 'sha256:1+sha256:2' },
      { selection: '' },
      { selection: 7 },
      { pcrDigests: ['aa'] },
      { minimumFirmware: ['00'.repeat(8), '01'.repeat(8)] },
      { minimumFirmware: 7 },
      { requireSecureBoot: 'yes' },
    ]) {
      assert.throws(() => tpmVerifier(trust).readPolicy(wrong as never), { code: 'attestation.policy_malformed' })
    }
  })
})

describe('evidence that is not what a TPM made', () => {
  const own = challengeFor(tpm.key.publicKey.export({ type: 'spki', format: 'der' }))
  const digest = digestFor(own)
  const document: Document = {
    ...origin,
    ...quoteOf(tpm, digest, { pcrs: { 'sha256:7': Buffer.alloc(32, 5) } }),
    ...certifyOf(tpm, digest),
  }
  const context = { expected: { kind: 'challenge', challenge: own, trustDomain: 'example.com' } } as const
  const isTyped = (error: { code?: unknown }): boolean => String(error.code).startsWith('attestation.')

  test('is never accepted with a bit flipped in any part', async () => {
    await attest(document, { context })
    const verifier = tpmVerifier(trust)
    const binary = ['ekCertificate', 'ekPublic', 'akPublic', 'secret', 'quote', 'signature'] as const
    const flips: Document[] = binary.flatMap((name) =>
      allFlips(document[name] as string).map((flipped) => ({ ...document, [name]: flipped })),
    )
    const certify = document.certify as { [name: string]: string }
    for (const [name, value] of Object.entries(certify)) {
      for (const flipped of allFlips(value)) flips.push({ ...document, certify: { ...certify, [name]: flipped } })
    }
    let accepted = 0
    for (const one of flips) {
      try {
        await verifier.authenticate(json(one), { now, prepared, ...context })
        accepted += 1
      } catch (error) {
        assert.ok(isTyped(error as { code?: unknown }), String(error))
      }
    }
    assert.equal(accepted, 0)
  })

  test('is refused at every length of every part, and with more', async () => {
    const verifier = tpmVerifier(trust)
    for (const name of ['ekCertificate', 'ekPublic', 'akPublic', 'secret', 'quote', 'signature'] as const) {
      const bytes = Buffer.from(document[name] as string, 'base64')
      const others = [...Array(bytes.length).keys()].map((length) => bytes.subarray(0, length))
      for (const other of [...others, Buffer.concat([bytes, Buffer.of(0)])]) {
        await assert.rejects(
          async () => verifier.authenticate(json({ ...document, [name]: b64(other) }), { now, prepared, ...context }),
          isTyped,
        )
      }
    }
  })

  test('is refused with a member too many, a wrong type, or a part too few', async () => {
    const { quote: _, certify: __, ...nothing } = document
    for (const wrong of [
      { ...document, more: '' },
      { ...document, quote: 7 },
      { ...document, quote: null },
      { ...document, quote: 'AA' },
      { ...document, quote: '' },
      { ...document, ekCertificate: [] },
      { ...document, pcrs: [] },
      { ...document, pcrs: { md5: {} } },
      { ...document, pcrs: { sha256: { '07': '00'.repeat(32) } } },
      { ...document, pcrs: { sha256: { 24: '00'.repeat(32) } } },
      { ...document, certify: 'AA==' },
      { ...document, certify: { ...(document.certify as object), more: 'AA==' } },
      nothing,
    ]) {
      await refused('malformed', wrong, { context })
    }
    const { pcrs: ___, signature: ____, ...bare } = nothing as Document
    await refused('malformed', bare, { context })
    const { ekPublic: _____, ...half } = document
    await refused('inconsistent', half, { context })
  })

  test('larger than allowed is not looked at', async () => {
    await refused('too_large', Buffer.alloc(400_001, 0x20))
  })

  test('of any bytes is refused with a code of this layer', () => {
    const verifier = tpmVerifier({ ...trust, ...knowing(tpm.ak) })
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 300 }),
        fc.constantFrom(...Object.keys(document).filter((name) => name !== 'secret')),
        (bytes, name) => {
          for (const evidence of [Buffer.from(bytes), json({ ...document, [name]: b64(bytes) })]) {
            assert.throws(() => verifier.authenticate(evidence, { now, ...context }), isTyped)
          }
        },
      ),
      { numRuns: 300 },
    )
  })
})

function allFlips(text: string): readonly string[] {
  const bytes = Buffer.from(text, 'base64')
  return [...Array(bytes.length * 8).keys()].map((at) => {
    const flipped = Buffer.from(bytes)
    flipped[at >> 3] = (flipped[at >> 3] as number) ^ (1 << (at & 7))
    return b64(flipped)
  })
}
