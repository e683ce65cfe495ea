import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import {
  authorities,
  CSP_ID,
  certificateTable,
  chipOf,
  fullTable,
  GUID,
  makeArk,
  makeAsk,
  makeReport,
  makeVek,
  type Product,
  type ReportOptions,
  SNP_TEST_ROOTS,
  snpJson,
  TCB,
  type VekOptions,
} from '../../../../../test/support/snp-pki.ts'
import { assertNoFlipAccepted, assertRefused } from '../../../../../test/support/tampering.ts'
import {
  int,
  makeCertificate,
  makeCrl,
  NOT_AFTER,
  newKey,
  octets,
  type PkiCertificate,
} from '../../../../../test/support/vendor-pki.ts'
import { bindingDigest, type ExpectedBinding } from '../binding.ts'
import { type CollateralFile, collateralOf } from '../collateral.ts'
import { attestEvidence } from '../evidence.ts'
import type { SnpTrust } from './authenticate.ts'
import { snpCollateral } from './files.ts'
import { snpVerifier } from './sev-snp.ts'

const now = 1_780_000_000
const unchecked: ExpectedBinding = { kind: 'unchecked' }
const vek = makeVek()
const trust: SnpTrust = { roots: SNP_TEST_ROOTS }
const report = makeReport(vek)
const table = fullTable(vek)
const extended = Buffer.concat([report, table])
const entriesOf = (key: PkiCertificate) =>
  [
    [GUID.VCEK, key.der],
    [GUID.ASK, authorities.Milan.ask.der],
    [GUID.ARK, authorities.Milan.ark.der],
  ] as const

interface Options {
  readonly now?: number
  readonly expected?: ExpectedBinding
  readonly trust?: SnpTrust
  readonly policy?: { readonly [member: string]: boolean | number }
}
const attest = (evidence: Uint8Array, options: Options = {}) => {
  const verifier = snpVerifier({ ...trust, ...options.trust })
  const context = { now: options.now ?? now, expected: options.expected ?? unchecked }
  return attestEvidence(verifier, evidence, context, verifier.readPolicy(options.policy ?? {}))
}
const refuses = (code: string, evidence: Uint8Array, options: Options = {}) =>
  assert.rejects(attest(evidence, options), { code: `attestation.${code}` })
/** A report of its own product and key, with everything beside it. */
const whole = (options: ReportOptions = {}, key: VekOptions = {}): Buffer => {
  const { product = 'Milan', kind = 'VCEK' } = options
  const own = makeVek({ product, kind, ...key })
  return Buffer.concat([makeReport(own, options), fullTable(own, product, kind)])
}
const files = (...list: readonly (Uint8Array | string)[]): readonly CollateralFile[] =>
  list.map((bytes, at) => ({ name: `file-${at}`, bytes: Buffer.from(bytes as string) }))

describe('a report of SEV-SNP', () => {
  test('says which guest runs on which chip', async () => {
    const result = await attest(extended)
    const hex = (byte: string, size: number) => byte.repeat(size)
    assert.deepEqual(result.selectors, [
      'sev-snp:product:milan',
      `sev-snp:measurement:${hex('4d', 48)}`,
      `sev-snp:chip-id:${hex('c1', 64)}`,
      'sev-snp:vmpl:0',
      'sev-snp:guest-svn:7',
      'sev-snp:policy:debug=false',
      'sev-snp:policy:smt=true',
      'sev-snp:policy:migrate-ma=false',
    ])
    assert.deepEqual([result.binding, result.freshness, result.debug, result.tcb], ['none', 'none', false, undefined])
    assert.equal(result.hardwareRoot, authorities.Milan.ark.fingerprint)
    assert.equal(result.evidenceNotAfter, NOT_AFTER)
    assert.deepEqual(
      [result.attributes['reported-tcb'], result.attributes.firmware, result.attributes['signing-key']],
      ['bl04-tee01-snp24-ucode219', '1.55.29', 'vcek'],
    )
    assert.ok(result.warnings.includes('no revocation list of AMD is at hand: revocation is not known'))
  })

  test('of version 3, 4 and 5 of Milan, Genoa and Turin is read in the layout of its product', async () => {
    for (const product of ['Milan', 'Genoa', 'Turin'] as const) {
      for (const version of [3, 4, 5]) {
        const result = await attest(whole({ product, version }))
        const { fmc, bootloader = 0, tee = 0, snp = 0, microcode = 0 } = TCB[product]
        const pad = (value: number) => String(value).padStart(2, '0')
        assert.equal(
          result.attributes['reported-tcb'],
          `${fmc === undefined ? '' : `fmc${pad(fmc)}-`}bl${pad(bootloader)}-tee${pad(tee)}-snp${pad(snp)}-ucode${pad(microcode)}`,
        )
        assert.equal(result.attributes['chip-id'], chipOf(product).toString('hex'))
        assert.equal(result.hardwareRoot, authorities[product].ark.fingerprint)
      }
    }
  })

  test('of version 2 is accepted only where the policy allows it, for it does not name its product', async () => {
    for (const product of ['Milan', 'Genoa', 'Turin'] as const) {
      await attest(whole({ product, version: 2 }), { policy: { allowVersion2: true } })
    }
    await refuses('not_allowed', whole({ version: 2 }))
  })

  test('signed by a VLEK names the cloud provider in place of the chip', async () => {
    const { selectors, warnings } = await attest(whole({ kind: 'VLEK' }))
    assert.ok(selectors.includes(`sev-snp:csp-id:${CSP_ID}`))
    assert.ok(!selectors.some((one) => one.startsWith('sev-snp:chip-id')))
    assert.ok(warnings.includes('the policy names no cloud provider: any VLEK passes'))
    await attest(whole({ kind: 'VLEK', product: 'Turin' }))
  })

  test('is bound to a challenge by REPORT_DATA, to the last bit (N8)', async () => {
    const challenge = { nonce: Buffer.alloc(32, 5), publicKey: newKey().spki }
    const expected: ExpectedBinding = { kind: 'challenge', challenge, trustDomain: 'example.com' }
    const reportData = bindingDigest('sev-snp', challenge, 'sha512')
    const bound = await attest(whole({ reportData }), { expected })
    assert.deepEqual([bound.binding, bound.freshness], ['full', 'nonce'])
    reportData[63] = (reportData[63] as number) ^ 1
    await refuses('binding_mismatch', whole({ reportData }), { expected })
    await refuses('binding_missing', extended, { expected: { kind: 'data', data: Buffer.alloc(0) } })
  })

  const { Milan, Genoa } = authorities
  const packed: readonly (readonly [string, Uint8Array, SnpTrust?])[] = [
    ['in hex with line ends', Buffer.from(`${extended.toString('hex').replace(/.{64}/g, '$&\n')}\n`)],
    ['in base64', Buffer.from(extended.toString('base64'))],
    ['in base64url', Buffer.from(extended.toString('base64url'))],
    ['as JSON with the table', snpJson(report, table)],
    ['as JSON with PEM', snpJson(report, `${Milan.ark.pem}${vek.pem}${Milan.ask.pem}`)],
    ['as JSON with DER certificates', snpJson(report, Buffer.concat([vek.der, Milan.ask.der, Milan.ark.der]))],
    [
      'with PEM in the table',
      Buffer.concat([
        report,
        certificateTable([
          [GUID.VCEK, Buffer.from(vek.pem)],
          [GUID.ASK, Milan.ask.der],
          [GUID.ARK, Milan.ark.der],
        ]),
      ]),
    ],
    [
      'beside entries of other vendors',
      Buffer.concat([
        report,
        certificateTable([
          ['11'.repeat(16), Buffer.from('x')],
          [GUID.VCEK, vek.der],
          [GUID.ASK, Milan.ask.der],
          [GUID.ARK, Milan.ark.der],
        ]),
      ]),
    ],
    [
      'with its chain from collateral',
      Buffer.concat([report, certificateTable([[GUID.VCEK, vek.der]])]),
      { collateral: snpCollateral(files(`${Milan.ask.pem}${Milan.ark.pem}`)) },
    ],
    [
      'with all from one file of collateral',
      report,
      { collateral: snpCollateral(files(`${vek.pem}${Milan.ask.pem}${Milan.ark.pem}`)) },
    ],
    [
      'with all from files in DER, and foreign ones',
      report,
      {
        collateral: snpCollateral(
          files(
            '?',
            Buffer.concat([Milan.ark.der, Milan.ask.der]),
            vek.der.toString('hex'),
            Genoa.ark.der,
            Buffer.of(0x30, 0xff),
          ),
        ),
      },
    ],
    ['with the chip id wrapped in the certificate', whole({}, { wrapHwid: true })],
  ]
  for (const [what, evidence, more = {}] of packed) {
    test(`${what} is accepted`, async () => {
      await attest(evidence, { trust: more })
    })
  }

  test('signed by a VLEK finds key and chain in loose files', async () => {
    const own = makeVek({ kind: 'VLEK', product: 'Genoa' })
    const evidence = makeReport(own, { kind: 'VLEK', product: 'Genoa' })
    const collateral = snpCollateral(files(Genoa.ark.pem, Genoa.asvk.pem, own.der))
    await attest(evidence, { trust: { collateral } })
    await refuses('collateral_missing', evidence)
  })

  test('of version 2 finds its key under every product it may be of', async () => {
    const own = makeVek({ product: 'Genoa' })
    const collateral = snpCollateral(files(own.pem, Genoa.ask.pem, Genoa.ark.pem))
    await attest(makeReport(own, { product: 'Genoa', version: 2 }), {
      trust: { collateral },
      policy: { allowVersion2: true },
    })
  })

  const write = (at: number, ...bytes: readonly number[]): ReportOptions => ({ write: [[at, Buffer.from(bytes)]] })
  const overwrite = (at: number): ReportOptions => ({ overwrite: [[at, Buffer.of(1)]] })
  const level = (change: object) => ({ ...TCB.Milan, ...change })
  const forms: readonly (readonly [string, string, ReportOptions, VekOptions?])[] = [
    ['of version 1', 'unsupported', { version: 1 }],
    ['of version 6', 'unsupported', { version: 6 }],
    ['with another signature algorithm', 'unsupported', write(0x34, 2)],
    ['signed by no key', 'unsupported', write(0x48, 7 << 2)],
    ['signed by a key of another kind', 'unsupported', write(0x48, 2 << 2)],
    ['of an unknown processor', 'unsupported', write(0x189, 0x20)],
    ['of a processor after Turin', 'unsupported', write(0x188, 0x1a, 0x50)],
    ['of an older processor', 'unsupported', write(0x188, 0x17, 0x31)],
    ['with reserved bits beside the key', 'malformed', write(0x48, 0x20)],
    ['with a reserved bit of its policy', 'malformed', { policy: 0x3001fn | (1n << 26n) }],
    ['without the bit of its policy that is always one', 'malformed', { policy: 0x1001fn }],
    ['with reserved bit 6 of the platform', 'malformed', { platform: 0x40n }],
    ['with an unknown bit of the platform', 'malformed', { platform: 0x100n }],
    ['with VMPL 4', 'malformed', { vmpl: 4 }],
    ['with bytes before REPORT_DATA', 'malformed', write(0x4c, 1)],
    ['with bytes after the stepping', 'malformed', write(0x18b, 1)],
    ['of version 2 with a family', 'malformed', { version: 2, ...write(0x188, 1) }],
    ['with a byte between versions', 'malformed', write(0x1eb, 1)],
    ['with a byte after the versions', 'malformed', write(0x1ef, 1)],
    ['of version 4 with mitigation vectors', 'malformed', { version: 4, ...write(0x1f8, 1) }],
    ['of version 5 with bytes after them', 'malformed', { version: 5, ...write(0x208, 1) }],
    ['with the upper bytes of r (N37)', 'malformed', overwrite(0x2d0)],
    ['with the last upper byte of r (N37)', 'malformed', overwrite(0x2e7)],
    ['with the upper bytes of s (N37)', 'malformed', overwrite(0x318)],
    ['with the last upper byte of s (N37)', 'malformed', overwrite(0x32f)],
    ['with bytes after the signature (N37)', 'malformed', overwrite(0x330)],
    ['with a last byte (N37)', 'malformed', overwrite(0x49f)],
    ['with a reserved byte in a TCB', 'malformed', write(0x3a, 1)],
    [
      'of Turin in the layout of Genoa (N9)',
      'malformed',
      { product: 'Turin', write: [[0x180, Buffer.of(3, 2, 0, 0, 0, 0, 5, 70)]] },
    ],
    ['of Turin with a chip id of 64 bytes (N9)', 'malformed', { product: 'Turin', chipId: Buffer.alloc(64, 1) }],
    ['whose key is of another TCB (N8)', 'inconsistent', { reportedTcb: level({ snp: 23 }) }],
    ['whose key is of another chip (N8)', 'inconsistent', { chipId: Buffer.alloc(64, 0xc2) }],
    ['whose chip is masked, signed by a VCEK (N8)', 'inconsistent', { chipId: Buffer.alloc(64) }],
    ['whose FMC differs (N9)', 'inconsistent', { product: 'Turin', reportedTcb: { ...TCB.Turin, fmc: 0 } }],
    ['with a committed TCB above the current one', 'inconsistent', { committedTcb: level({ snp: 25 }) }],
    ['with a reported TCB above the committed one', 'inconsistent', { committedTcb: level({ microcode: 218 }) }],
    ['signed by another key', 'invalid_signature', { overwrite: [[0x2a0, makeReport(makeVek()).subarray(0x2a0)]] }],
    ['with a signature of zeros', 'invalid_signature', { overwrite: [[0x2a0, Buffer.alloc(512)]] }],
  ]
  for (const [what, code, options, key] of forms) {
    test(`${what} is refused`, () => refuses(code, whole(options, key)))
  }

  test('cut anywhere, or with anything after it, is refused', async () => {
    const { verifier, context } = { verifier: snpVerifier(trust), context: { now, expected: unchecked } }
    const verify = (bytes: Uint8Array) => verifier.authenticate(bytes, context)
    // What follows the last certificate is padding of the page.
    const end = 0x4a0 + certificateTable(entriesOf(vek), 1).length
    for (let length = 0; length < end; length += length < 1300 ? 1 : 97) {
      await assertRefused(verify, extended.subarray(0, length), `cut at ${length}`)
    }
    await assertRefused(verify, Buffer.concat([extended, Buffer.of(1)]), 'a byte more')
    await assertRefused(verify, Buffer.concat([extended, extended]), 'twice')
    await refuses('too_large', Buffer.alloc(131_073))
  })

  test('no flipped bit of the report or its certificates is accepted (section 3.1)', async () => {
    const verifier = snpVerifier(trust)
    const verify = (bytes: Uint8Array) => verifier.authenticate(bytes, { now, expected: unchecked })
    const after = (start: number, end = extended.length) => ({
      part: extended.subarray(start, end),
      run: (bytes: Uint8Array) => verify(Buffer.concat([extended.subarray(0, start), bytes, extended.subarray(end)])),
    })
    // Signed bytes, and r and s: one bit of each in turn. What is zero beside them: all.
    for (const [start, end, bits] of [
      [0, 0x2d0, 1],
      [0x2d0, 0x2e8, 8],
      [0x2e8, 0x318, 1],
      [0x318, 0x4a0, 8],
    ] as const) {
      const { part, run } = after(start, end)
      await assertNoFlipAccepted(run, part, bits)
    }
    // A table entry of an unknown GUID is not read, so a flip there leaves the certificate out: it is then missing.
    const { part, run } = after(0x4a0)
    for (let at = 0; at < part.length; at += 3) {
      const flipped = Buffer.from(part)
      flipped[at] = (flipped[at] as number) ^ (1 << (at % 8))
      await assertRefused(run, flipped, `bit ${at % 8} of byte ${at} of the table`)
    }
  })

  test('random bytes are refused with a code (property)', () =>
    fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 1400 }), fc.boolean(), (bytes, asReport) =>
        assertRefused(attest, asReport ? Buffer.concat([report.subarray(0, 9), bytes]) : bytes, 'random bytes'),
      ),
    ))
})

describe('the chain of an endorsement key', () => {
  const { ark, ask, asvk } = authorities.Milan
  const under = (...certificates: readonly PkiCertificate[]): Uint8Array =>
    snpJson(makeReport(certificates[0] as PkiCertificate), certificates.map(({ pem }) => pem).join(''))
  const impostor = makeArk('Milan', { key: newKey('RSA-2048') })
  const forgedAsk = makeAsk('SEV-Milan', impostor, { key: newKey('RSA-2048') })
  const resigned = makeArk('Milan', { serial: 9 })
  const smallAsk = makeAsk('SEV-Milan', ark, { key: newKey('RSA-2048') })
  const pkcs = makeAsk('SEV-Milan', ark, { scheme: 'rsa-sha256' })
  const genoa = authorities.Genoa
  const crossNamed = makeAsk('SEV-Genoa', ark)
  const middle = makeAsk('SEV-Milan', ark, { key: newKey('RSA-2048') })
  const deep = makeAsk('SEV-Milan', middle)
  const rows: readonly (readonly [string, string, Uint8Array, Options?])[] = [
    [
      'made by somebody with the names of AMD (N7)',
      'untrusted',
      under(makeVek({ issuer: forgedAsk }), forgedAsk, impostor),
    ],
    ['with an ARK of the right key and other bytes (N7)', 'untrusted', under(vek, ask, resigned)],
    ['with such an ARK beside the real one (N7)', 'untrusted', under(vek, ask, resigned, ark)],
    [
      'with the real root beside a forged one',
      'invalid_signature',
      under(makeVek({ issuer: forgedAsk }), forgedAsk, ark),
    ],
    ['of test roots under the roots of AMD', 'untrusted', extended, { trust: { roots: undefined as never } }],
    [
      'whose ASK is not a configured one',
      'untrusted',
      extended,
      { trust: { intermediates: new Set([asvk.fingerprint]) } },
    ],
    ['without a root', 'untrusted', under(vek, ask)],
    ['without its ASK', 'untrusted', under(vek, ark)],
    ['under the ASK of VLEKs', 'chain_invalid', under(makeVek({ issuer: asvk }), asvk, ark)],
    ['under the names of another product', 'chain_invalid', under(makeVek({ issuer: crossNamed }), crossNamed, ark)],
    ['signed by the root itself', 'chain_invalid', under(makeVek({ issuer: ark }), ark)],
    ['with one certificate too many', 'chain_invalid', under(makeVek({ issuer: deep }), deep, middle, ark)],
    ['with an ASK of 2048 bits', 'weak_key', under(makeVek({ issuer: smallAsk }), smallAsk, ark)],
    ['with an ASK signed by PKCS #1 v1.5', 'weak_key', under(makeVek({ issuer: pkcs }), pkcs, ark)],
    ['with a leaf signed by PKCS #1 v1.5', 'weak_key', under(makeVek({ scheme: 'rsa-sha256' }), ask, ark)],
    [
      'with a leaf on P-256',
      'weak_key',
      snpJson(report, `${makeVek({ key: newKey('P-256') }).pem}${ask.pem}${ark.pem}`),
    ],
    ['whose leaf has expired', 'expired', under(makeVek({ notAfter: now - 1 }), ask, ark)],
    ['whose leaf is not valid yet', 'not_yet_valid', under(makeVek({ notBefore: now + 1 }), ask, ark)],
    [
      'of another product than the report',
      'inconsistent',
      snpJson(
        makeReport(makeVek({ product: 'Genoa' })),
        `${makeVek({ product: 'Genoa' }).pem}${genoa.ask.pem}${genoa.ark.pem}`,
      ),
    ],
    [
      'with a VLEK in place of the VCEK',
      'collateral_missing',
      snpJson(report, `${makeVek({ kind: 'VLEK' }).pem}${asvk.pem}${ark.pem}`),
    ],
    ['with two VCEKs', 'malformed', under(vek, makeVek(), ask, ark)],
    ['with no VCEK', 'collateral_missing', snpJson(report, `${ask.pem}${ark.pem}`)],
    ['with nothing at all', 'collateral_missing', report],
    ['with nine certificates', 'malformed', snpJson(report, ask.pem.repeat(9))],
  ]
  for (const [what, code, evidence, options] of rows) {
    test(`${what} is refused`, () => refuses(code, evidence, options))
  }

  const extensions: readonly (readonly [string, Product, NonNullable<VekOptions['change']>])[] = [
    ['without a product', 'Milan', { '2': undefined }],
    ['of an unknown product', 'Milan', { '2': Buffer.from('160656656e696365', 'hex').subarray(0, 8) }],
    ['with a product that only begins like one', 'Milan', { '2': Buffer.from('16064d696c616e32', 'hex') }],
    ['whose product is no IA5String', 'Milan', { '2': Buffer.from('0c054d696c616e', 'hex') }],
    ['without a patch level', 'Milan', { '3.3': undefined }],
    ['with a patch level of 256', 'Milan', { '3.8': int(256) }],
    ['with a negative patch level', 'Milan', { '3.8': Buffer.from('0201ff', 'hex') }],
    ['with bytes after a patch level', 'Milan', { '3.1': Buffer.from('02010400', 'hex') }],
    ['with a reserved patch level', 'Milan', { '3.5': int(1) }],
    ['with the structure of Turin', 'Milan', { '1': int(1) }],
    ['with an FMC that Milan has not', 'Milan', { '3.9': int(0) }],
    ['of Turin without its FMC (N9)', 'Turin', { '3.9': undefined }],
    ['of Turin with the structure of Genoa (N9)', 'Turin', { '1': int(0) }],
    ['of Turin with an id of 64 bytes (N9)', 'Turin', { '4': Buffer.alloc(64, 1) }],
    ['of Milan with an id of 8 bytes (N9)', 'Milan', { '4': Buffer.alloc(8, 1) }],
    ['without a chip', 'Milan', { '4': undefined }],
    ['of a chip and a provider', 'Milan', { '5': Buffer.from('160141', 'hex') }],
    [
      'with bytes after a wrapped chip id',
      'Milan',
      { '4': Buffer.concat([octets(Buffer.alloc(64, 0xc1)), Buffer.of(0)]) },
    ],
  ]
  for (const [what, product, change] of extensions) {
    test(`a VCEK ${what} is refused`, () => refuses('malformed', whole({ product }, { change })))
  }

  test('a certificate of something else in place of the key is refused', async () => {
    const other = makeCertificate({ subject: 'SEV-OTHER', issuer: ask, scheme: 'rsa-pss-sha384', key: newKey('P-384') })
    const named = collateralOf({
      [`amd/milan/vcek/${'c1'.repeat(64)}/bl04-tee01-snp24-ucode219`]: other.der,
      'amd/milan/cert_chain': Buffer.from(`${ask.pem}${ark.pem}`),
    })
    await refuses('inconsistent', report, { trust: { collateral: named } })
    const broken = collateralOf({ [`amd/milan/vcek/${'c1'.repeat(64)}/bl04-tee01-snp24-ucode219`]: Buffer.from('0') })
    await refuses('collateral_malformed', report, { trust: { collateral: broken } })
  })
})

describe('the certificate table', () => {
  const { ark, ask } = authorities.Milan
  const list = makeCrl({ issuer: ark, scheme: 'rsa-pss-sha384', nextUpdate: now + 9 })
  const entries = entriesOf(vek)
  const withTable = (...more: readonly (readonly [string, Uint8Array])[]): Buffer =>
    Buffer.concat([report, certificateTable([...entries, ...more])])
  const patched = (at: number, bytes: readonly number[]): Buffer => {
    const evidence = withTable()
    evidence.set(bytes, 0x4a0 + at)
    return evidence
  }
  const rows: readonly (readonly [string, string, Uint8Array])[] = [
    ['with two of a kind', 'malformed', withTable([GUID.ASK, ask.der])],
    [
      'with the ASK in the place of the ARK',
      'malformed',
      Buffer.concat([
        report,
        certificateTable([
          [GUID.VCEK, vek.der],
          [GUID.ARK, ask.der],
        ]),
      ]),
    ],
    [
      'with a VLEK in the place of the VCEK',
      'malformed',
      Buffer.concat([report, certificateTable([[GUID.VCEK, makeVek({ kind: 'VLEK' }).der]])]),
    ],
    [
      'with two certificates in one entry',
      'malformed',
      Buffer.concat([report, certificateTable([[GUID.VCEK, Buffer.concat([vek.der, ask.der])]])]),
    ],
    ['with an empty entry', 'malformed', Buffer.concat([report, certificateTable([[GUID.VCEK, Buffer.alloc(0)]])])],
    ['with an entry beyond its end', 'malformed', patched(16, [0, 0xff, 0, 0])],
    ['with an entry of 4 GiB (N35)', 'malformed', patched(20, [0xff, 0xff, 0xff, 0xff])],
    ['with an entry inside its own head', 'malformed', patched(16, [0, 0, 0, 0])],
    ['with an entry without a GUID', 'malformed', patched(0, Array(16).fill(0))],
    ['with bytes that belong to nothing', 'malformed', patched(certificateTable(entries).length - 1, [1])],
    ['without an end', 'malformed', Buffer.concat([report, Buffer.alloc(1024, 0x11)])],
    [
      'with too many entries',
      'malformed',
      withTable(
        ...Array.from({ length: 20 }, (_, n) => ['22'.repeat(15) + (n + 16).toString(16), Buffer.of(1)] as const),
      ),
    ],
    ['with a list that is none', 'collateral_malformed', withTable([GUID.CRL, Buffer.of(1)])],
  ]
  for (const [what, code, evidence] of rows) test(`${what} is refused`, () => refuses(code, evidence))

  test('may hold the revocation list, which does not stand in for our own', async () => {
    const evidence = withTable([GUID.CRL, list])
    const result = await attest(evidence)
    assert.equal(result.evidenceNotAfter, now + 9)
    assert.ok(result.warnings.some((one) => one.includes('revocation')))
    await refuses('collateral_missing', evidence, { trust: { requireRevocationList: true } })
  })
})

describe('a revocation list of AMD', () => {
  const { ark, ask } = authorities.Milan
  const pss = { scheme: 'rsa-pss-sha384' } as const
  const named = (list: Uint8Array): Options => ({ trust: { collateral: snpCollateral(files(list)) } })
  const revoked = makeAsk('SEV-Milan', ark, { serial: 77 })
  const own = makeVek({ issuer: revoked })
  const underRevoked = snpJson(makeReport(own), `${own.pem}${revoked.pem}${ark.pem}`)
  const rows: readonly (readonly [string, string, Uint8Array, Uint8Array])[] = [
    ['that names the ASK', 'revoked', underRevoked, makeCrl({ issuer: ark, serials: [5, 77], ...pss })],
    [
      'signed by another key',
      'collateral_invalid',
      extended,
      makeCrl({ issuer: ask, issuerName: ark.subject, ...pss }),
    ],
    ['that has ended', 'collateral_expired', extended, makeCrl({ issuer: ark, nextUpdate: now - 1, ...pss })],
    ['of the future', 'collateral_expired', extended, makeCrl({ issuer: ark, thisUpdate: now + 1, ...pss })],
  ]
  for (const [what, code, evidence, list] of rows) {
    test(`${what} refuses the report`, () => refuses(code, evidence, named(list)))
  }

  test('that names others lets the report pass, also where a list is required', async () => {
    const trustWith = { ...named(makeCrl({ issuer: ark, serials: [5], ...pss })).trust, requireRevocationList: true }
    await attest(underRevoked, { trust: trustWith })
    await refuses('collateral_missing', extended, { trust: { requireRevocationList: true } })
  })

  test('no flipped bit of a list is accepted (N39)', async () => {
    const list = makeCrl({ issuer: ark, ...pss })
    const verify = (bytes: Uint8Array) =>
      attest(extended, { trust: { collateral: collateralOf({ 'amd/milan/crl': bytes }) } })
    await assertNoFlipAccepted(verify, list, 1)
  })
})
