import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { CollateralChanges } from '../../../../../test/support/dcap-pki.ts'
import {
  DCAP_NOW,
  type DcapPki,
  LOWEST,
  MODULE,
  makeCollateral,
  makeDcapPki,
  makeQuote,
  PCK_FIELDS,
  type PkiChanges,
  pckExtension,
  type QuoteChanges,
  type QuoteForm,
  REPORT_DATA,
  rawSign,
  signedStatement,
  tcbInfo,
  tcbLevel,
  teeOf,
  u16,
  u32,
} from '../../../../../test/support/dcap-pki.ts'
import {
  bool,
  caExtensions,
  makeCertificate,
  makeCrl,
  makeRoot,
  newKey,
  type PkiCertificate,
} from '../../../../../test/support/vendor-pki.ts'
import type { JsonObject } from '../../base/json.ts'
import type { AttestationResult } from '../attestor.ts'
import { bindingDigest, type ExpectedBinding } from '../binding.ts'
import { collateralOf, createHighestSeen, type HighestSeen } from '../collateral.ts'
import { attestEvidence } from '../evidence.ts'
import type { DcapTrust } from './authenticate.ts'
import { dcapCollateralNames } from './names.ts'
import { sgxVerifier } from './sgx.ts'
import { tdxVerifier } from './tdx.ts'

const pki = makeDcapPki()
const FORMS: readonly QuoteForm[] = ['v3', 'v4', 'v4-sgx', 'v5-sgx', 'v5-td10', 'v5-td15']
const DATA: ExpectedBinding = { kind: 'data', data: REPORT_DATA }

interface Change {
  readonly pki?: DcapPki
  readonly quote?: QuoteChanges
  readonly collateral?: CollateralChanges
  readonly trust?: Partial<DcapTrust>
  readonly policy?: JsonObject
  readonly now?: number
  readonly expected?: ExpectedBinding
  /** Replaces the evidence. */
  readonly evidence?: Uint8Array
  readonly type?: 'sgx' | 'tdx'
}

async function attest(form: QuoteForm, change: Change = {}): Promise<AttestationResult> {
  const under = change.pki ?? pki
  const tee = teeOf(form)
  const trust: DcapTrust = {
    collateral: makeCollateral(tee, under, change.collateral),
    roots: new Set([pki.root.fingerprint]),
    ...change.trust,
  }
  const evidence = change.evidence ?? makeQuote(form, under, change.quote)
  const context = { now: change.now ?? DCAP_NOW, expected: change.expected ?? DATA }
  if ((change.type ?? tee) === 'sgx') {
    const verifier = sgxVerifier(trust)
    return attestEvidence(verifier, evidence, context, verifier.readPolicy(change.policy ?? {}))
  }
  const verifier = tdxVerifier(trust)
  return attestEvidence(verifier, evidence, context, verifier.readPolicy(change.policy ?? {}))
}

type Row = readonly [title: string, code: string, form: QuoteForm, change: Change]
const refuses = (rows: readonly Row[]) => {
  for (const [title, code, form, change] of rows) {
    test(`${title}: ${code}`, () => assert.rejects(attest(form, change), { code: `attestation.${code}` }))
  }
}
const under = (changes: PkiChanges): DcapPki => makeDcapPki({ under: pki.root, ...changes })

describe('a DCAP quote that holds', () => {
  for (const form of FORMS) {
    test(`${form} is accepted, and says all it may`, async () => {
      const result = await attest(form)
      const tee = teeOf(form)
      assert.equal(result.type, tee)
      assert.deepEqual(result.tcb, { status: 'UpToDate', advisories: [], evaluationNumber: 17, tcbDate: 1_710_288_000 })
      assert.equal(result.hardwareRoot, pki.root.fingerprint)
      assert.equal(result.binding, 'full')
      assert.equal(result.freshness, 'nonce')
      assert.equal(result.debug, false)
      assert.deepEqual(result.warnings, [])
      assert.equal(result.evidenceNotAfter, Date.UTC(2025, 6, 19, 10) / 1000)
      assert.equal(result.attributes.ppid, PCK_FIELDS.ppid)
      const [first] = result.selectors
      assert.equal(first, tee === 'sgx' ? `sgx:mrenclave:${'e1'.repeat(32)}` : `tdx:mrtd:${'d2'.repeat(48)}`)
      for (const one of ['tcb-status:UpToDate', `fmspc:${PCK_FIELDS.fmspc}`, 'debug:false']) {
        assert.ok(result.selectors.includes(`${tee}:${one}`))
      }
    })
  }

  test('the selectors of a guest are its measurements', async () => {
    const { selectors } = await attest('v5-td15')
    const wanted = [
      ...[0, 1, 2, 3].map((at) => `tdx:rtmr${at}:${`a${at}`.repeat(48)}`),
      `tdx:mrconfigid:${'d3'.repeat(48)}`,
      `tdx:mrowner:${'d4'.repeat(48)}`,
      `tdx:mrseam:${'d1'.repeat(48)}`,
    ]
    assert.deepEqual(selectors.slice(1, 8), wanted)
  })

  test('is bound to the nonce and the key of a challenge', async () => {
    const challenge = { nonce: Buffer.alloc(32, 7), publicKey: pki.pck.key.spki }
    const expected = { kind: 'challenge', challenge, trustDomain: 'example.com' } as const
    const body = { 520: bindingDigest('tdx', challenge, 'sha512') }
    assert.equal((await attest('v4', { expected, quote: { body } })).binding, 'full')
    await assert.rejects(attest('v4', { expected }), { code: 'attestation.binding_mismatch' })
  })

  test('that nobody compares with anything is bound to nothing', async () => {
    const result = await attest('v4', { expected: { kind: 'unchecked' } })
    assert.deepEqual([result.binding, result.freshness], ['none', 'none'])
  })

  for (const [name, pack] of [
    ['hex', (quote: Buffer) => Buffer.from(`${quote.toString('hex')}\n`)],
    ['base64 in lines', (quote: Buffer) => Buffer.from(quote.toString('base64').replace(/.{76}/g, '$&\n'))],
    ['JSON', (quote: Buffer) => Buffer.from(JSON.stringify({ quote: quote.toString('base64') }))],
  ] as const) {
    test(`may be packed as ${name}`, async () => {
      for (const form of ['v3', 'v4', 'v5-td15'] as const) {
        assert.equal((await attest(form, { evidence: pack(makeQuote(form, pki)) })).binding, 'full')
      }
    })
  }

  test('may be followed by padding of any kind, which is not looked at', async () => {
    await attest('v4', { quote: { padding: Buffer.alloc(3065) } })
    await attest('v4', { quote: { padding: Buffer.from('what the driver left') } })
  })

  test('may have authentication data of another size than 32 bytes', async () => {
    await attest('v3', { quote: { authData: Buffer.alloc(0) } })
    await attest('v4', { quote: { authData: Buffer.alloc(77, 3) } })
  })

  test('may hold its chain in DER, and in another order', async () => {
    await attest('v4', { quote: { pem: Buffer.concat([pki.root.der, pki.ca.der, pki.pck.der]) } })
    await attest('v4', { quote: { pem: Buffer.concat([pki.pck.der, pki.ca.der, pki.root.der]) } })
  })
})

describe('the form of a quote', () => {
  refuses([
    ['version 2', 'unsupported', 'v3', { quote: { header: { 0: 2 } } }],
    ['version 6', 'malformed', 'v4', { evidence: Buffer.from('06') }],
    ['an attestation key on P-384', 'unsupported', 'v4', { quote: { header: { 2: 3 } } }],
    ['an unknown TEE', 'unsupported', 'v4', { quote: { header: { 4: 1 } } }],
    ['version 3 that says TDX', 'unsupported', 'v3', { quote: { header: { 4: 0x81 } } }],
    ['another vendor of the quoting enclave (N12)', 'unsupported', 'v4', { quote: { header: { 12: 0x92 } } }],
    ['a TDX quote where SGX is expected', 'unsupported', 'v4', { type: 'sgx' }],
    ['an SGX quote where TDX is expected', 'unsupported', 'v3', { type: 'tdx' }],
    [
      'an SGX body under the TEE TDX',
      'unsupported',
      'v5-td10',
      { quote: { descriptor: Buffer.from([1, 0, 72, 2, 0, 0]) } },
    ],
    [
      'a TD body under the TEE SGX',
      'unsupported',
      'v5-sgx',
      { quote: { descriptor: Buffer.from([2, 0, 128, 1, 0, 0]) } },
    ],
    ['an unknown type of body', 'unsupported', 'v5-td10', { quote: { descriptor: Buffer.concat([u16(4), u32(584)]) } }],
    ['a body of another size', 'malformed', 'v5-td10', { quote: { descriptor: Buffer.concat([u16(2), u32(648)]) } }],
    ['certification data of type 1', 'unsupported', 'v3', { quote: { certType: 1 } }],
    ['inner certification data of type 6', 'unsupported', 'v4', { quote: { certType: 6 } }],
    ['a type whose high byte is changed (N38)', 'unsupported', 'v4', { quote: { certType: 0x105 } }],
    ['outer certification data of type 5 (N38)', 'unsupported', 'v4', { quote: { outerType: 5 } }],
    ['padding inside the signature data, v3 (N38)', 'malformed', 'v3', { quote: { swallowed: Buffer.alloc(1) } }],
    ['padding inside the signature data, v4 (N38)', 'malformed', 'v4', { quote: { swallowed: Buffer.alloc(8) } }],
    ['padding inside the certification data (N38)', 'malformed', 'v4', { quote: { innerSwallowed: Buffer.alloc(1) } }],
    ['more than 32 kB (N35)', 'too_large', 'v4', { quote: { padding: Buffer.alloc(32_768) } }],
    ['text', 'malformed', 'v4', { evidence: Buffer.from('no quote!') }],
    ['JSON with a member of another kind', 'malformed', 'v4', { evidence: Buffer.from('{"quote":"AAAA","more":1}') }],
  ])
})

const pem = (...certificates: readonly { readonly pem: string }[]) =>
  Buffer.from(certificates.map((one) => one.pem).join(''))
const impostor = makeDcapPki()

describe('the chain of the PCK', () => {
  refuses([
    ["a root of the same name, as Intel's samples have (N16)", 'untrusted', 'v3', { pki: impostor }],
    ['a chain without its root', 'untrusted', 'v3', { quote: { pem: pem(pki.pck, pki.ca) } }],
    ['a fourth certificate', 'malformed', 'v3', { quote: { pem: pem(pki.pck, pki.ca, pki.root, pki.root) } }],
    [
      'text between the certificates',
      'malformed',
      'v3',
      { quote: { pem: Buffer.from(`${pki.pck.pem}#\n${pki.ca.pem}${pki.root.pem}`) } },
    ],
    [
      'bytes behind the NUL',
      'malformed',
      'v3',
      { quote: { pem: Buffer.from(`${pki.pck.pem}${pki.ca.pem}${pki.root.pem}\0x`) } },
    ],
    ['no certificates', 'malformed', 'v3', { quote: { pem: Buffer.from('none') } }],
    [
      'a leaf that the root itself issued',
      'chain_invalid',
      'v3',
      { pki: { ...pki, pck: makeCertificate({ subject: 'Intel SGX PCK Certificate', issuer: pki.root }) } },
    ],
    ['a leaf that is not a PCK', 'chain_invalid', 'v3', { pki: under({ pck: { subject: 'Intel SGX TCB Signing' } }) }],
    [
      'a PCK that is a CA',
      'chain_invalid',
      'v3',
      {
        pki: under({
          pck: { extensions: [...caExtensions(), { oid: '1.2.840.113741.1.13.1', value: pckExtension(PCK_FIELDS) }] },
        }),
      },
    ],
    ['a CA that is not for PCKs', 'chain_invalid', 'v3', { pki: under({ ca: { subject: 'Intel SGX Other CA' } }) }],
    ['an expired PCK', 'expired', 'v3', { pki: under({ pck: { notAfter: DCAP_NOW - 1 } }) }],
    ['a PCK of the future', 'not_yet_valid', 'v3', { pki: under({ pck: { notBefore: DCAP_NOW + 1 } }) }],
    ['an expired CA', 'expired', 'v3', { pki: under({ ca: { notAfter: DCAP_NOW - 1 } }) }],
    ['a PCK without the SGX extension', 'malformed', 'v3', { pki: under({ extension: null }) }],
    [
      'an SGX extension with a repeated member',
      'malformed',
      'v3',
      { pki: under({ extension: Buffer.concat([Buffer.from([0x30, 0]), pckExtension(PCK_FIELDS)]) }) },
    ],
    [
      '15 components in the PCK',
      'malformed',
      'v3',
      { pki: under({ fields: { componentSvns: PCK_FIELDS.componentSvns.slice(1) } }) },
    ],
    ['a FMSPC of 5 bytes', 'malformed', 'v3', { pki: under({ fields: { fmspc: '0090ed0000' } }) }],
    [
      'a PCK that is revoked (N12)',
      'revoked',
      'v3',
      { pki: under({ pck: { serial: 77 } }), collateral: { pckCrl: { serials: [77] } } },
    ],
    [
      'a CA that is revoked',
      'revoked',
      'v4',
      { pki: under({ ca: { serial: 78 } }), collateral: { rootCrl: { serials: [78] } } },
    ],
    [
      'a signer of TCB info that is revoked',
      'revoked',
      'v4',
      { pki: under({ tcbSigner: { serial: 79 } }), collateral: { rootCrl: { serials: [79] } } },
    ],
  ])

  test('a root that revokes itself: revoked', async () => {
    const root = makeRoot('Intel SGX Root CA', { serial: 5 })
    const under = makeDcapPki({ under: root })
    const trust = { roots: new Set([root.fingerprint]) }
    await attest('v4', { pki: under, trust })
    await assert.rejects(attest('v4', { pki: under, trust, collateral: { rootCrl: { serials: [5] } } }), {
      code: 'attestation.revoked',
    })
  })
})

describe('the quoting enclave and the attestation key', () => {
  refuses([
    [
      'a QE report signed by another key',
      'invalid_signature',
      'v4',
      { quote: { qeSignature: rawSign(newKey(), Buffer.alloc(384)) } },
    ],
    ['a QE report for another attestation key', 'inconsistent', 'v4', { quote: { qeReportData: Buffer.alloc(32, 1) } }],
    ['QE report data that go on behind the hash', 'inconsistent', 'v4', { quote: { qeReport: { 383: 1 } } }],
    [
      'QE report data without the authentication data',
      'inconsistent',
      'v4',
      { quote: { authData: Buffer.alloc(32, 9), qeReportData: Buffer.alloc(32) } },
    ],
    ['a QE of another signer (N11)', 'chain_invalid', 'v4', { quote: { qeReport: { 128: 1 } } }],
    ['a QE of another product (N11)', 'chain_invalid', 'v4', { quote: { qeReport: { 256: 9 } } }],
    ['a QE with other attributes (N11)', 'chain_invalid', 'v4', { quote: { qeReport: { 48: 0x31 } } }],
    ['a QE with other MISCSELECT (N11)', 'chain_invalid', 'v4', { quote: { qeReport: { 16: 1 } } }],
    ['a QE in debug mode (N11)', 'debug', 'v4', { quote: { qeReport: { 48: 0x13 } } }],
    [
      'a QE in debug mode that the identity allows (N11)',
      'debug',
      'v4',
      {
        quote: { qeReport: { 48: 0x13 } },
        collateral: { qeIdentity: { attributes: `13${'0'.repeat(30)}`, attributesMask: 'F'.repeat(32) } },
      },
    ],
    [
      'the identity of the QE of SGX for TDX (N11)',
      'collateral_invalid',
      'v4',
      { collateral: { qeIdentity: { id: 'QE' } } },
    ],
    ['a QE below every level', 'tcb_unknown', 'v4', { quote: { qeReport: { 258: 0 } } }],
    [
      'a quote signed by another key',
      'invalid_signature',
      'v3',
      { quote: { signature: rawSign(newKey(), Buffer.alloc(432)) } },
    ],
    ['a quote with a signature of zeros', 'invalid_signature', 'v4', { quote: { signature: Buffer.alloc(64) } }],
  ])
})

const info = (change: Readonly<Record<string, unknown>>) => ({ collateral: { tcbInfo: change } })
const identity = (change: Readonly<Record<string, unknown>>) => ({ collateral: { qeIdentity: change } })
const at = (name: string, bytes: Uint8Array | null) => ({ collateral: { files: { [name]: bytes } } })
const names = dcapCollateralNames
const INFO = names.tcbInfo('tdx', PCK_FIELDS.fmspc)
const signedInfo = (text: string) => at(INFO, signedStatement('tcbInfo', text, pki.tcbSigner.key))
const TEXT = JSON.stringify(tcbInfo('tdx'))
const components = (count: number) => ({
  tcbLevels: [tcbLevel('UpToDate', {}, { sgxtcbcomponents: new Array(count).fill({ svn: 0 }) })],
})

describe('collateral', () => {
  for (const name of [
    INFO,
    names.tcbInfoChain('tdx', PCK_FIELDS.fmspc),
    names.qeIdentity('tdx'),
    names.qeIdentityChain('tdx'),
    names.pckCrl('platform'),
    names.rootCrl,
  ]) {
    test(`without ${name}: collateral_missing`, () =>
      assert.rejects(attest('v4', at(name, null)), { code: 'attestation.collateral_missing' }))
  }
  refuses([
    ['TCB info of another platform', 'collateral_invalid', 'v4', info({ fmspc: '00906ED50001' })],
    ['TCB info of another PCE', 'collateral_invalid', 'v4', info({ pceId: '0001' })],
    ['TCB info for SGX', 'collateral_invalid', 'v4', { collateral: { tcbInfo: JSON.stringify(tcbInfo('sgx')) } }],
    ['TCB info before its date (N17)', 'collateral_expired', 'v4', info({ issueDate: '2025-06-25T00:00:01Z' })],
    ['TCB info after its date (N17)', 'collateral_expired', 'v4', info({ nextUpdate: '2025-06-24T23:59:59Z' })],
    ['an identity before its date (N17)', 'collateral_expired', 'v4', identity({ issueDate: '2025-06-25T00:00:01Z' })],
    ['an identity after its date (N17)', 'collateral_expired', 'v4', identity({ nextUpdate: '2025-06-24T23:59:59Z' })],
    [
      'a PCK CRL after its date (N17)',
      'collateral_expired',
      'v4',
      { collateral: { pckCrl: { nextUpdate: DCAP_NOW - 1 } } },
    ],
    [
      'a root CRL before its date (N17)',
      'collateral_expired',
      'v4',
      { collateral: { rootCrl: { thisUpdate: DCAP_NOW + 1 } } },
    ],
    ['everything 40 days later', 'collateral_expired', 'v4', { now: DCAP_NOW + 40 * 86_400 }],
    ['a CRL that another key signed', 'collateral_invalid', 'v4', { collateral: { pckCrl: { issuer: impostor.ca } } }],
    [
      'a root CRL of a root of the same name (N16)',
      'collateral_invalid',
      'v4',
      { collateral: { rootCrl: { issuer: impostor.root } } },
    ],
    ['the CRL of the other CA', 'collateral_invalid', 'v4', { collateral: { pckCrl: { issuer: pki.root } } }],
    ['statements that a stranger signed', 'collateral_invalid', 'v4', { collateral: { signer: impostor.tcbSigner } }],
    ['statements that the PCK signed', 'collateral_invalid', 'v4', { collateral: { signer: pki.pck } }],
    [
      'a signer with an expired certificate',
      'collateral_expired',
      'v4',
      { pki: under({ tcbSigner: { notAfter: DCAP_NOW - 1 } }) },
    ],
    [
      'a signer that the PCK CA issued',
      'collateral_invalid',
      'v4',
      { collateral: { signer: makeCertificate({ subject: 'Intel SGX TCB Signing', issuer: pki.ca }) } },
    ],
    ['TCB info of version 4', 'collateral_malformed', 'v4', info({ version: 4 })],
    ['TCB info of version 2 for TDX', 'collateral_malformed', 'v4', info({ version: 2 })],
    ['an identity of version 1', 'collateral_malformed', 'v4', identity({ version: 1 })],
    ['a TCB type that is not known', 'collateral_malformed', 'v4', info({ tcbType: 1 })],
    ['an unknown status (N12)', 'collateral_malformed', 'v4', info({ tcbLevels: [tcbLevel('Fine')] })],
    [
      'a status of relaunch, which is never in collateral',
      'collateral_malformed',
      'v4',
      info({ tcbLevels: [tcbLevel('TDRelaunchAdvised')] }),
    ],
    ['8 components (N12)', 'collateral_malformed', 'v4', info(components(8))],
    ['20 components (N12)', 'collateral_malformed', 'v4', info(components(20))],
    [
      'no components of TDX (N12)',
      'collateral_malformed',
      'v4',
      info({ tcbLevels: [tcbLevel('UpToDate', {}, { tdxtcbcomponents: undefined })] }),
    ],
    ['no levels', 'collateral_malformed', 'v4', info({ tcbLevels: [] })],
    ['a level twice', 'collateral_malformed', 'v4', info({ tcbLevels: [tcbLevel('UpToDate'), tcbLevel('OutOfDate')] })],
    [
      'a negative version',
      'collateral_malformed',
      'v4',
      info({ tcbLevels: [tcbLevel('UpToDate', {}, { pcesvn: -1 })] }),
    ],
    ['a date that is none', 'collateral_malformed', 'v4', info({ issueDate: '2025-02-30T00:00:00Z' })],
    ['a date without zone', 'collateral_malformed', 'v4', info({ issueDate: '2025-06-19T00:00:00' })],
    [
      'TCB info that was written anew (N18)',
      'collateral_invalid',
      'v4',
      at(
        INFO,
        Buffer.from(
          signedStatement('tcbInfo', TEXT, pki.tcbSigner.key)
            .toString()
            .replace('"TDX"', '"TDX"')
            .replace('"tcbType":0', '"tcbType": 0'),
        ),
      ),
    ],
    [
      'data after the JSON (N18)',
      'collateral_malformed',
      'v4',
      at(INFO, Buffer.concat([signedStatement('tcbInfo', TEXT, pki.tcbSigner.key), Buffer.from('{}')])),
    ],
    ['signed data after the object (N18)', 'collateral_malformed', 'v4', signedInfo(`${TEXT} {}`)],
    [
      'a member twice in signed JSON (N18)',
      'collateral_malformed',
      'v4',
      signedInfo(TEXT.replace('{', '{"id":"TDX",')),
    ],
    [
      'another member before TCB info',
      'collateral_malformed',
      'v4',
      at(INFO, Buffer.from(`{"x":1,${signedStatement('tcbInfo', TEXT, pki.tcbSigner.key).toString().slice(1)}`)),
    ],
    ['TCB info larger than 256 kB', 'collateral_malformed', 'v4', signedInfo(`${TEXT}${' '.repeat(262_144)}`)],
    [
      'a CRL in which the outer algorithm differs (N39)',
      'collateral_malformed',
      'v4',
      at(names.rootCrl, flipOuterAlgorithm()),
    ],
  ])

  function flipOuterAlgorithm(): Buffer {
    const crl = Buffer.from(makeCollateral('tdx', pki).get(names.rootCrl) as Uint8Array)
    const oid = Buffer.from('2a8648ce3d040302', 'hex')
    crl[crl.lastIndexOf(oid) + oid.length - 1] = 3
    return crl
  }

  test('within their windows to the second, both ends included', async () => {
    const seconds = (text: string) => Date.parse(text) / 1000
    const from = { tcbInfo: { issueDate: '2025-06-25T00:00:00Z' } }
    await attest('v4', { collateral: from, now: seconds('2025-06-25T00:00:00Z') })
    const crls = { rootCrl: { nextUpdate: DCAP_NOW + 1e7 }, pckCrl: { nextUpdate: DCAP_NOW + 1e7 } }
    await attest('v4', { collateral: crls, now: seconds('2025-07-19T10:00:00Z') })
    await assert.rejects(attest('v4', { collateral: crls, now: seconds('2025-07-19T10:00:01Z') }), {
      code: 'attestation.collateral_expired',
    })
  })

  test('TCB info of version 2 with numbered components', async () => {
    const svns = Object.fromEntries(
      PCK_FIELDS.componentSvns.map((svn, index) => [`sgxtcbcomp${String(index + 1).padStart(2, '0')}svn`, svn]),
    )
    const levels = [{ tcb: { ...svns, pcesvn: 11 }, tcbDate: '2024-03-13T00:00:00Z', tcbStatus: 'UpToDate' }]
    const result = await attest('v3', info({ version: 2, id: undefined, tcbLevels: levels }))
    assert.equal(result.tcb?.status, 'UpToDate')
  })

  for (const [name, lower] of [
    ['TCB info', info({ tcbEvaluationDataNumber: 16 })],
    ['the identity', identity({ tcbEvaluationDataNumber: 16 })],
    ['the root CRL', { collateral: { rootCrl: { number: 2 } } }],
    ['the PCK CRL', { collateral: { pckCrl: { number: 2 } } }],
  ] as const) {
    test(`a lower number of ${name} after a higher one: collateral_rollback (N17)`, async () => {
      const seen: HighestSeen = createHighestSeen()
      await attest('v4', { ...lower, trust: { seen } })
      await attest('v4', { trust: { seen } })
      await attest('v4', { trust: { seen } })
      await assert.rejects(attest('v4', { ...lower, trust: { seen } }), { code: 'attestation.collateral_rollback' })
    })
  }

  test('numbers of collateral that does not hold are not remembered', async () => {
    const seen = createHighestSeen()
    const high = {
      collateral: { signer: impostor.tcbSigner, tcbInfo: { tcbEvaluationDataNumber: 99 } },
      trust: { seen },
    }
    await assert.rejects(attest('v4', high), { code: 'attestation.collateral_invalid' })
    await attest('v4', { trust: { seen } })
  })
})

describe('without collateral', () => {
  const none = { collateral: collateralOf({}), acceptUnratedTcb: true }
  const only = (name: string, issuer: PkiCertificate, serial: number) => ({
    collateral: collateralOf({ [name]: makeCrl({ issuer, serials: [serial] }) }),
    acceptUnratedTcb: true,
  })
  const revokedPck = under({ pck: { serial: 77 } })

  test('a quote is accepted only where that is asked for, as unrated and with a warning', async () => {
    await assert.rejects(attest('v4', { trust: { collateral: collateralOf({}) } }), {
      code: 'attestation.collateral_missing',
    })
    for (const form of FORMS) {
      const result = await attest(form, { trust: none })
      assert.equal(result.tcb?.status, 'unrated')
      assert.equal(result.warnings.length, 1)
      assert.ok(result.selectors.includes(`${teeOf(form)}:tcb-status:unrated`))
    }
  })

  refuses([
    ['a quoting enclave of another signer', 'chain_invalid', 'v4', { trust: none, quote: { qeReport: { 128: 1 } } }],
    ['the quoting enclave of another product', 'chain_invalid', 'v3', { trust: none, quote: { qeReport: { 256: 2 } } }],
    ['a quoting enclave in debug mode', 'debug', 'v3', { trust: none, quote: { qeReport: { 48: 0x13 } } }],
    ["a TDX module that is not Intel's", 'chain_invalid', 'v4', { trust: none, quote: { body: { 64: 1 } } }],
    [
      'collateral that is there and does not hold',
      'collateral_invalid',
      'v4',
      { trust: { acceptUnratedTcb: true }, ...info({ pceId: '0001' }) },
    ],
    [
      'a platform that the policy denies',
      'revoked',
      'v4',
      { trust: none, policy: { deniedPlatforms: PCK_FIELDS.ppid } },
    ],
    ['a debug enclave', 'debug', 'v3', { trust: none, quote: { body: { 48: 7 } } }],
    [
      'where the policy asks for an evaluation',
      'tcb_out_of_date',
      'v4',
      { trust: none, policy: { minTcbEvaluationNumber: 1 } },
    ],
    [
      'a CA that a list at hand revokes',
      'revoked',
      'v4',
      { pki: under({ ca: { serial: 78 } }), trust: only(dcapCollateralNames.rootCrl, pki.root, 78) },
    ],
    [
      'a PCK that a list at hand revokes',
      'revoked',
      'v4',
      { pki: revokedPck, trust: only(dcapCollateralNames.pckCrl('platform'), revokedPck.ca, 77) },
    ],
  ])
})

const levels = (...list: readonly unknown[]) => info({ tcbLevels: list })
const OUT = tcbLevel('OutOfDate', { advisoryIDs: ['INTEL-SA-00001'] }, LOWEST)

describe('the TCB of a platform', () => {
  refuses([
    ['below every level (N14)', 'tcb_unknown', 'v3', levels(tcbLevel('UpToDate', {}, { pcesvn: 12 }))],
    ['out of date', 'tcb_out_of_date', 'v3', levels(OUT)],
    [
      'Revoked, whatever the policy says (N12)',
      'revoked',
      'v3',
      { ...levels(tcbLevel('Revoked')), policy: { acceptedTcbStatuses: ['OutOfDate'] } },
    ],
    [
      'Revoked with a bad signature is refused for the signature (N13)',
      'invalid_signature',
      'v3',
      { ...levels(tcbLevel('Revoked')), quote: { signature: Buffer.alloc(64) } },
    ],
    [
      'a revoked quoting enclave (N13)',
      'revoked',
      'v3',
      identity({ tcbLevels: [{ tcb: { isvsvn: 1 }, tcbDate: '2024-03-13T00:00:00Z', tcbStatus: 'Revoked' }] }),
    ],
    ['a quoting enclave that is out of date', 'tcb_out_of_date', 'v3', { quote: { qeReport: { 258: 3 } } }],
    ['below the evaluation number of the policy', 'tcb_out_of_date', 'v3', { policy: { minTcbEvaluationNumber: 18 } }],
    ['a PPID that the policy denies (N36)', 'revoked', 'v4', { policy: { deniedPlatforms: [PCK_FIELDS.ppid] } }],
    [
      'a platform instance that the policy denies (N36)',
      'revoked',
      'v3',
      { policy: { deniedPlatforms: ['FF'.repeat(16), '22'.repeat(16)] } },
    ],
    [
      'an accepted status with an advisory that is not',
      'tcb_out_of_date',
      'v3',
      { ...levels(OUT), policy: { acceptedTcbStatuses: ['OutOfDate'], acceptedAdvisories: ['INTEL-SA-00002'] } },
    ],
    ['a grace that has ended', 'tcb_out_of_date', 'v3', { ...levels(OUT), policy: { outOfDateGraceDays: 468 } }],
    [
      'UpToDate where the policy does not list it',
      'tcb_out_of_date',
      'v3',
      { policy: { acceptedTcbStatuses: ['OutOfDate'] } },
    ],
  ])

  test('out of date is accepted by its advisory, or within its grace', async () => {
    const policy = { acceptedTcbStatuses: ['UpToDate', 'OutOfDate'], acceptedAdvisories: ['INTEL-SA-00001'] }
    const byAdvisory = await attest('v3', { ...levels(OUT), policy })
    assert.deepEqual(byAdvisory.tcb?.advisories, ['INTEL-SA-00001'])
    assert.equal(byAdvisory.warnings.length, 1)
    const inGrace = await attest('v3', { ...levels(OUT), policy: { outOfDateGraceDays: 470 } })
    assert.equal(inGrace.warnings.length, 1)
  })

  test('levels that come in another order are sorted (N12)', async () => {
    const better = tcbLevel('UpToDate')
    assert.equal((await attest('v3', levels(OUT, better))).tcb?.status, 'UpToDate')
  })

  test('MODULE is all zero, so the table above means what it says', () =>
    assert.equal(MODULE.attributes, '0'.repeat(16)))
})

describe('what runs', () => {
  refuses([
    ['a debug enclave (N15)', 'debug', 'v3', { quote: { body: { 48: 7 } } }],
    ['a debug guest (N15)', 'debug', 'v4', { quote: { body: { 120: 1 } } }],
    ['another enclave', 'measurement_mismatch', 'v3', { policy: { mrenclave: 'ee'.repeat(32) } }],
    [
      'an enclave of another signer',
      'measurement_mismatch',
      'v3',
      { policy: { mrsigner: 'ee'.repeat(32), isvprodid: 7 } },
    ],
    [
      'another product of the signer',
      'measurement_mismatch',
      'v3',
      { policy: { mrsigner: 'e2'.repeat(32), isvprodid: 8 } },
    ],
    [
      'an old version of the enclave',
      'tcb_out_of_date',
      'v3',
      { policy: { mrsigner: 'e2'.repeat(32), isvprodid: 7, minIsvsvn: 10 } },
    ],
    ['a signer without a product in the policy', 'policy_malformed', 'v3', { policy: { mrsigner: 'e2'.repeat(32) } }],
    ['an unknown member of the policy', 'policy_malformed', 'v3', { policy: { mrtd: 'e2'.repeat(48) } }],
    ['Revoked in the policy', 'policy_malformed', 'v3', { policy: { acceptedTcbStatuses: ['Revoked'] } }],
    ...[
      'mrtd',
      'rtmr0',
      'rtmr1',
      'rtmr2',
      'rtmr3',
      'mrconfigid',
      'mrowner',
      'mrownerconfig',
      'mrseam',
      'mrservicetd',
    ].map(
      (name): Row => [`another ${name}`, 'measurement_mismatch', 'v5-td15', { policy: { [name]: 'ee'.repeat(48) } }],
    ),
    ...[1, 2, 3, 4, 5, 6, 7].map(
      (number): Row => [
        `bit ${number} of the untrusted group`,
        'not_allowed',
        'v4',
        { quote: { body: { 120: 1 << number } } },
      ],
    ),
    ['a reserved attribute', 'not_allowed', 'v4', { quote: { body: { 124: 0x80 } } }],
    ['a guest that may be migrated', 'not_allowed', 'v4', { quote: { body: { 123: 0x30 } } }],
    ['a guest with Key Locker', 'not_allowed', 'v4', { quote: { body: { 123: 0x90 } } }],
    ['SEPT_VE_DISABLE clear', 'not_allowed', 'v4', { quote: { body: { 123: 0 } } }],
    ['XFAM without SSE', 'not_allowed', 'v4', { quote: { body: { 128: 0xe5 } } }],
    ['XFAM with a feature that is not there', 'not_allowed', 'v4', { quote: { body: { 129: 0x22 | 0x40 } } }],
    ['XFAM with a high bit', 'not_allowed', 'v4', { quote: { body: { 135: 0x80 } } }],
    ['a service TD that nobody allowed', 'not_allowed', 'v5-td15', { quote: { body: { 600: 1 } } }],
    [
      'report data one bit off (N8)',
      'binding_mismatch',
      'v4',
      { quote: { body: { 583: (REPORT_DATA[63] as number) ^ 1 } } },
    ],
    ['expected data that are empty', 'binding_missing', 'v4', { expected: { kind: 'data', data: Buffer.alloc(0) } }],
  ])

  test('every reference value of the policy fits', async () => {
    await attest('v3', {
      policy: { mrenclave: ['00'.repeat(32), 'E1'.repeat(32)], mrsigner: 'e2'.repeat(32), isvprodid: 7, minIsvsvn: 9 },
    })
    const policy = {
      mrtd: 'd2'.repeat(48),
      rtmr0: 'a0'.repeat(48),
      rtmr3: 'a3'.repeat(48),
      mrconfigid: 'd3'.repeat(48),
      mrowner: 'd4'.repeat(48),
      mrownerconfig: 'd5'.repeat(48),
      mrseam: 'd1'.repeat(48),
    }
    await attest('v4', { policy })
  })

  test('what the policy allows passes, with a warning where it weakens', async () => {
    const debug = await attest('v3', { quote: { body: { 48: 7 } }, policy: { allowDebug: true } })
    assert.deepEqual([debug.debug, debug.warnings.length], [true, 1])
    assert.ok(debug.selectors.includes('sgx:debug:true'))
    const guest = await attest('v4', { quote: { body: { 120: 1 } }, policy: { allowDebug: true } })
    assert.deepEqual([guest.debug, guest.warnings.length], [true, 1])
    await attest('v4', { quote: { body: { 123: 0 } }, policy: { requireSeptVeDisable: false } })
    await attest('v4', { quote: { body: { 123: 0x30 } }, policy: { allowMigratable: true } })
    await attest('v4', { quote: { body: { 123: 0x90 } }, policy: { allowKeyLocker: true } })
    // PKS and PERFMON take nothing away from the guest.
    await attest('v4', { quote: { body: { 123: 0x50, 127: 0x80 } } })
    const service = { mrservicetd: `01${'00'.repeat(47)}` }
    await attest('v5-td15', { quote: { body: { 600: 1 } }, policy: service })
  })
})

test('the extension of a PCK with a flag that is no DER BOOLEAN is refused', () => {
  const broken = pckExtension(PCK_FIELDS)
  broken[broken.lastIndexOf(bool(true)) + 2] = 1
  return assert.rejects(attest('v3', { pki: under({ extension: broken }) }), { code: 'attestation.malformed' })
})
