// SGX and TDX quotes with their collateral, under a root of our own. Every field can be chosen, so that each refusal is
// one changed field.
import { createHash, sign } from 'node:crypto'
import { type CollateralSource, collateralOf } from '../../packages/aims/src/attestation/collateral.ts'
import { dcapCollateralNames } from '../../packages/aims/src/attestation/dcap/names.ts'
import {
  bool,
  type CertificateOptions,
  type CrlOptions,
  caExtensions,
  int,
  makeCertificate,
  makeCrl,
  makeRoot,
  newKey,
  octets,
  oid,
  type PkiCertificate,
  type PkiKey,
  seq,
  tlv,
} from './vendor-pki.ts'

/** Seconds since the epoch: everything made here is valid then. */
export const DCAP_NOW: number = Date.UTC(2025, 5, 25) / 1000

/** Certificates, and what the PCK says about its platform. */
export interface DcapPki {
  readonly root: PkiCertificate
  readonly ca: PkiCertificate
  readonly pck: PkiCertificate
  readonly tcbSigner: PkiCertificate
  readonly attestationKey: PkiKey
}

export interface PckFields {
  readonly fmspc: string
  readonly pceId: string
  readonly ppid: string
  readonly instanceId?: string
  readonly componentSvns: readonly number[]
  readonly pceSvn: number
}

const SGX = '1.2.840.113741.1.13.1'
export const PCK_FIELDS: PckFields = {
  fmspc: '00906ed50000',
  pceId: '0000',
  ppid: '11'.repeat(16),
  instanceId: '22'.repeat(16),
  componentSvns: [5, 5, 2, 2, 3, 1, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0],
  pceSvn: 11,
}

/** The SGX extension of a PCK certificate. */
export function pckExtension(fields: PckFields): Buffer {
  const member = (path: string, value: Uint8Array) => seq(oid(`${SGX}.${path}`), value)
  const bytes = (hex: string) => octets(Buffer.from(hex, 'hex'))
  const svns = fields.componentSvns.map((svn, at) => member(`2.${at + 1}`, int(svn)))
  return seq(
    member('1', bytes(fields.ppid)),
    member(
      '2',
      seq(...svns, member('2.17', int(fields.pceSvn)), member('2.18', octets(Buffer.from(fields.componentSvns)))),
    ),
    member('3', bytes(fields.pceId)),
    member('4', bytes(fields.fmspc)),
    member('5', tlv(0x0a, Uint8Array.of(1))),
    ...(fields.instanceId === undefined ? [] : [member('6', bytes(fields.instanceId))]),
    member('7', seq(member('7.1', bool(true)), member('7.2', bool(true)), member('7.3', bool(false)))),
  )
}

export interface PkiChanges {
  readonly root?: Partial<CertificateOptions>
  readonly ca?: Partial<CertificateOptions>
  readonly pck?: Partial<CertificateOptions>
  readonly tcbSigner?: Partial<CertificateOptions>
  readonly fields?: Partial<PckFields>
  /** Overrides the SGX extension; `null`: none. */
  readonly extension?: Uint8Array | null
  /** Takes this PKI and makes anew only what is changed below its root. */
  readonly under?: PkiCertificate
}

const CA_NAME = 'Intel SGX PCK Platform CA'

export function makeDcapPki(changes: PkiChanges = {}): DcapPki {
  const root = changes.under ?? makeRoot('Intel SGX Root CA', changes.root)
  const ca = makeCertificate({ subject: CA_NAME, issuer: root, extensions: caExtensions(0), ...changes.ca })
  const extension =
    changes.extension === undefined ? pckExtension({ ...PCK_FIELDS, ...changes.fields }) : changes.extension
  const pck = makeCertificate({
    subject: 'Intel SGX PCK Certificate',
    issuer: ca,
    extensions: extension === null ? [] : [{ oid: SGX, value: extension }],
    ...changes.pck,
  })
  const tcbSigner = makeCertificate({ subject: 'Intel SGX TCB Signing', issuer: root, ...changes.tcbSigner })
  return { root, ca, pck, tcbSigner, attestationKey: newKey() }
}

type Json = { readonly [name: string]: unknown }
const DATES = { issueDate: '2025-06-19T10:00:00Z', nextUpdate: '2025-07-19T10:00:00Z', tcbEvaluationDataNumber: 17 }
const GOOD = '2024-03-13T00:00:00Z'
const ZERO = (bytes: number) => '0'.repeat(bytes * 2)
export const MODULE: Json = { mrsigner: ZERO(48), attributes: ZERO(8), attributesMask: 'F'.repeat(16) }

/** One TCB level. */
export function tcbLevel(status: string, change: Json = {}, tcb: Json = {}): Json {
  const list = (svns: readonly number[]) => svns.map((svn) => ({ svn }))
  return {
    tcb: {
      sgxtcbcomponents: list(PCK_FIELDS.componentSvns),
      pcesvn: PCK_FIELDS.pceSvn,
      tdxtcbcomponents: list([5, 0, 5, ...new Array(13).fill(0)]),
      ...tcb,
    },
    tcbDate: GOOD,
    tcbStatus: status,
    ...change,
  }
}

/** Lower than any platform of the tests. */
export const LOWEST: Json = {
  sgxtcbcomponents: new Array(16).fill({ svn: 0 }),
  tdxtcbcomponents: new Array(16).fill({ svn: 0 }),
  pcesvn: 0,
}

export function tcbInfo(tee: 'sgx' | 'tdx', change: Json = {}): Json {
  const levels = [tcbLevel('UpToDate'), tcbLevel('OutOfDate', { advisoryIDs: ['INTEL-SA-00001'] }, LOWEST)]
  const withoutTdx = (level: Json) => {
    const { tdxtcbcomponents: _, ...tcb } = level.tcb as Json
    return { ...level, tcb }
  }
  return {
    id: tee === 'tdx' ? 'TDX' : 'SGX',
    version: 3,
    ...DATES,
    fmspc: PCK_FIELDS.fmspc.toUpperCase(),
    pceId: PCK_FIELDS.pceId,
    tcbType: 0,
    ...(tee === 'tdx'
      ? {
          tdxModule: MODULE,
          tdxModuleIdentities: [
            { id: 'TDX_03', ...MODULE, tcbLevels: [isvLevel(3)] },
            { id: 'TDX_01', ...MODULE, tcbLevels: [isvLevel(6), isvLevel(2, 'OutOfDate', ['INTEL-SA-00002'])] },
          ],
        }
      : {}),
    tcbLevels: tee === 'tdx' ? levels : levels.map(withoutTdx),
    ...change,
  }
}

/** A level of an enclave or module. */
export const isvLevel = (isvsvn: number, tcbStatus = 'UpToDate', advisoryIDs: readonly string[] = []): Json => ({
  tcb: { isvsvn },
  tcbDate: GOOD,
  tcbStatus,
  ...(advisoryIDs.length === 0 ? {} : { advisoryIDs }),
})

const QE_SIGNERS = {
  sgx: '8c4f5775d796503e96137f77c68a829a0056ac8ded70140b081b094490c57bff',
  tdx: 'dc9e2a7c6f948f17474e34a7fc43ed030f7c1563f1babddf6340c82e0e54a8c5',
} as const

function qeIdentity(tee: 'sgx' | 'tdx', change: Json = {}): Json {
  return {
    id: tee === 'tdx' ? 'TD_QE' : 'QE',
    version: 2,
    ...DATES,
    miscselect: ZERO(4),
    miscselectMask: 'F'.repeat(8),
    attributes: `11${ZERO(15)}`,
    attributesMask: `FB${'F'.repeat(14)}${ZERO(8)}`,
    mrsigner: QE_SIGNERS[tee].toUpperCase(),
    isvprodid: tee === 'tdx' ? 2 : 1,
    tcbLevels: [isvLevel(4), isvLevel(1, 'OutOfDate', ['INTEL-SA-00003'])],
    ...change,
  }
}

/** r and s, 64 bytes. */
export const rawSign = (key: PkiKey, data: Uint8Array): Buffer =>
  sign('sha256', data, { key: key.privateKey, dsaEncoding: 'ieee-p1363' })

/** An object and its signature as Intel's service answers. */
export function signedStatement(name: string, object: Json | string, key: PkiKey): Buffer {
  const text = typeof object === 'string' ? object : JSON.stringify(object)
  return Buffer.from(`{"${name}":${text},"signature":"${rawSign(key, Buffer.from(text)).toString('hex')}"}`)
}

export interface CollateralChanges {
  readonly tcbInfo?: Json | string
  readonly qeIdentity?: Json | string
  readonly rootCrl?: Partial<CrlOptions>
  readonly pckCrl?: Partial<CrlOptions>
  /** Overrides files by name; `null`: not at hand. */
  readonly files?: { readonly [name: string]: Uint8Array | null }
  /** Signs both statements. */
  readonly signer?: PkiCertificate
}

export type DcapFiles = Readonly<Record<string, Uint8Array>>

export function makeCollateralFiles(tee: 'sgx' | 'tdx', pki: DcapPki, changes: CollateralChanges = {}): DcapFiles {
  const signer = changes.signer ?? pki.tcbSigner
  const chain = Buffer.from(signer.pem + pki.root.pem)
  const window = { thisUpdate: DCAP_NOW - 86_400, nextUpdate: DCAP_NOW + 30 * 86_400, number: 3 }
  const info = changes.tcbInfo ?? {}
  const identity = changes.qeIdentity ?? {}
  const files: Record<string, Uint8Array | null> = {
    [dcapCollateralNames.tcbInfo(tee, PCK_FIELDS.fmspc)]: signedStatement(
      'tcbInfo',
      typeof info === 'string' ? info : tcbInfo(tee, info),
      signer.key,
    ),
    [dcapCollateralNames.tcbInfoChain(tee, PCK_FIELDS.fmspc)]: chain,
    [dcapCollateralNames.qeIdentity(tee)]: signedStatement(
      'enclaveIdentity',
      typeof identity === 'string' ? identity : qeIdentity(tee, identity),
      signer.key,
    ),
    [dcapCollateralNames.qeIdentityChain(tee)]: chain,
    [dcapCollateralNames.rootCrl]: makeCrl({ issuer: pki.root, ...window, ...changes.rootCrl }),
    [dcapCollateralNames.pckCrl('platform')]: makeCrl({ issuer: pki.ca, ...window, ...changes.pckCrl }),
    ...changes.files,
  }
  return Object.fromEntries(Object.entries(files).filter((entry): entry is [string, Uint8Array] => entry[1] !== null))
}

export function makeCollateral(tee: 'sgx' | 'tdx', pki: DcapPki, changes: CollateralChanges = {}): CollateralSource {
  return collateralOf(makeCollateralFiles(tee, pki, changes))
}

/** Fields of a report by offset, on top of zeros. */
type Patch = { readonly [offset: number]: Uint8Array | number }

function patched(size: number, ...patches: readonly Patch[]): Buffer {
  const bytes = Buffer.alloc(size)
  for (const patch of patches) {
    for (const [offset, value] of Object.entries(patch)) {
      bytes.set(typeof value === 'number' ? Uint8Array.of(value) : value, Number(offset))
    }
  }
  return bytes
}

export const REPORT_DATA: Buffer = createHash('sha512').update('report data').digest()
const fill = (byte: number, bytes: number) => Buffer.alloc(bytes, byte)

/** Default bodies: an enclave (INIT, 64-bit) and TDs (SEPT_VE_DISABLE) without debug. */
const SGX_BODY: Patch = { 48: 0x05, 64: fill(0xe1, 32), 128: fill(0xe2, 32), 256: 7, 258: 9, 320: REPORT_DATA }
export const TD_BODY: Patch = {
  0: Uint8Array.of(6, 1, 5),
  16: fill(0xd1, 48),
  123: 0x10,
  128: Uint8Array.of(0xe7, 0x02, 0x06),
  136: fill(0xd2, 48),
  184: fill(0xd3, 48),
  232: fill(0xd4, 48),
  280: fill(0xd5, 48),
  328: fill(0xa0, 48),
  376: fill(0xa1, 48),
  424: fill(0xa2, 48),
  472: fill(0xa3, 48),
  520: REPORT_DATA,
}
const TD15_BODY: Patch = { 584: Uint8Array.of(6, 1, 5) }

/** Versions of quotes and their bodies. */
export type QuoteForm = 'v3' | 'v4' | 'v4-sgx' | 'v5-sgx' | 'v5-td10' | 'v5-td15'
export const teeOf = (form: QuoteForm): 'sgx' | 'tdx' => (form === 'v3' || form.endsWith('sgx') ? 'sgx' : 'tdx')

export interface QuoteChanges {
  readonly header?: Patch
  readonly body?: Patch
  /** Replaces type and size of the body in version 5. */
  readonly descriptor?: Uint8Array
  readonly qeReport?: Patch
  readonly qeReportData?: Uint8Array
  readonly authData?: Uint8Array
  readonly pem?: Uint8Array
  readonly certType?: number
  readonly outerType?: number
  readonly signature?: Uint8Array
  readonly qeSignature?: Uint8Array
  /** Bytes that the signature data swallow, the inner certification data swallow, and that follow everything. */
  readonly swallowed?: Uint8Array
  readonly innerSwallowed?: Uint8Array
  readonly padding?: Uint8Array
}

export function makeQuote(form: QuoteForm, pki: DcapPki, changes: QuoteChanges = {}): Buffer {
  const { padding = Buffer.alloc(0), swallowed = Buffer.alloc(0), innerSwallowed = Buffer.alloc(0) } = changes
  const version = Number(form[1])
  const tee = teeOf(form)
  const header = patched(
    48,
    { 0: version, 2: 2, 4: tee === 'tdx' ? 0x81 : 0, 12: Buffer.from('939a7233f79c4ca9940a0db3957f0607', 'hex') },
    changes.header ?? {},
  )
  const [type, size] = tee === 'sgx' ? [1, 384] : form === 'v5-td15' ? [3, 648] : [2, 584]
  const bodies = tee === 'sgx' ? [SGX_BODY] : form === 'v5-td15' ? [TD_BODY, TD15_BODY] : [TD_BODY]
  const body = patched(size, ...bodies, changes.body ?? {})
  const descriptor = changes.descriptor ?? Buffer.concat([u16(type), u32(size)])
  const signed = Buffer.concat([header, ...(version === 5 ? [descriptor] : []), body])

  const point = pki.attestationKey.spki.subarray(-64)
  const { authData = fill(0x0a, 32) } = changes
  const qeData = createHash('sha256').update(point).update(authData).digest()
  const qeReport = patched(
    384,
    {
      48: 0x11,
      128: Buffer.from(QE_SIGNERS[tee], 'hex'),
      256: tee === 'tdx' ? 2 : 1,
      258: 4,
      320: changes.qeReportData ?? qeData,
    },
    changes.qeReport ?? {},
  )
  const pem = changes.pem ?? Buffer.from(`${pki.pck.pem}${pki.ca.pem}${pki.root.pem}\0`)
  const certification = Buffer.concat([
    qeReport,
    changes.qeSignature ?? rawSign(pki.pck.key, qeReport),
    u16(authData.length),
    authData,
    u16(changes.certType ?? 5),
    u32(pem.length),
    pem,
    innerSwallowed,
  ])
  const outer = version === 3 ? [] : [u16(changes.outerType ?? 6), u32(certification.length)]
  const signatureData = Buffer.concat([
    changes.signature ?? rawSign(pki.attestationKey, signed),
    point,
    ...outer,
    certification,
    swallowed,
  ])
  return Buffer.concat([signed, u32(signatureData.length), signatureData, padding])
}

export const u16 = (value: number): Buffer => Buffer.from([value & 0xff, value >> 8])
export function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value)
  return bytes
}
