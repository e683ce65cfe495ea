// Roots, endorsement keys and reports as AMD makes them, under keys of our own. Everything can be chosen, and so be made
// wrong one thing at a time.
import { sign } from 'node:crypto'
import {
  type CertificateOptions,
  caExtensions,
  int,
  makeCertificate,
  makeRoot,
  newKey,
  octets,
  type PkiCertificate,
  type PkiExtension,
  tlv,
} from './vendor-pki.ts'

export type Product = 'Milan' | 'Genoa' | 'Turin'
/** Patch levels; a part that is absent is 0. */
export interface Tcb {
  readonly fmc?: number
  readonly bootloader?: number
  readonly tee?: number
  readonly snp?: number
  readonly microcode?: number
}

// RSA of 4096 bits takes its time: one key for all roots, one for all that they sign.
const rootKey = newKey('RSA-4096')
const signerKey = newKey('RSA-4096')
const PSS = { scheme: 'rsa-pss-sha384' } as const

export const makeArk = (product: string, options: Partial<CertificateOptions> = {}): PkiCertificate =>
  makeRoot(`ARK-${product}`, { key: rootKey, ...PSS, ...options })

export const makeAsk = (
  subject: string,
  ark: PkiCertificate,
  options: Partial<CertificateOptions> = {},
): PkiCertificate =>
  makeCertificate({ subject, issuer: ark, key: signerKey, extensions: caExtensions(0), ...PSS, ...options })

export interface SnpAuthorities {
  readonly ark: PkiCertificate
  readonly ask: PkiCertificate
  readonly asvk: PkiCertificate
}

const authoritiesOf = (product: Product): SnpAuthorities => {
  const ark = makeArk(product)
  return { ark, ask: makeAsk(`SEV-${product}`, ark), asvk: makeAsk(`SEV-VLEK-${product}`, ark) }
}
export const authorities: { readonly [product in Product]: SnpAuthorities } = {
  Milan: authoritiesOf('Milan'),
  Genoa: authoritiesOf('Genoa'),
  Turin: authoritiesOf('Turin'),
}
/** Fingerprints of the roots. */
export const SNP_TEST_ROOTS: ReadonlySet<string> = new Set(Object.values(authorities).map(({ ark }) => ark.fingerprint))

/** What everything here is made with unless told otherwise. */
export const TCB: { readonly [product in Product]: Tcb } = {
  Milan: { bootloader: 4, tee: 1, snp: 24, microcode: 219 },
  Genoa: { bootloader: 9, tee: 2, snp: 23, microcode: 84 },
  Turin: { fmc: 1, bootloader: 3, tee: 2, snp: 5, microcode: 70 },
}
export const chipOf = (product: Product): Buffer =>
  product === 'Turin' ? Buffer.from('1e550a8ee5cf9f4d', 'hex') : Buffer.alloc(64, 0xc1)
export const CSP_ID = 'CN=cc.cloud.test'

const AMD = '1.3.6.1.4.1.3704.1'
const ia5 = (text: string): Buffer => tlv(0x16, Buffer.from(text))

export interface VekOptions extends Partial<CertificateOptions> {
  readonly product?: Product
  readonly kind?: 'VCEK' | 'VLEK'
  readonly tcb?: Tcb
  readonly hwid?: Uint8Array
  /** Wraps the id of the chip into an OCTET STRING. */
  readonly wrapHwid?: boolean
  /** Replaces, adds, or with `undefined` takes away extensions by the end of their OID, e.g. `3.8`. */
  readonly change?: { readonly [oid: string]: Uint8Array | undefined }
}

export function makeVek(options: VekOptions = {}): PkiCertificate {
  const { product = 'Milan', kind = 'VCEK', tcb = TCB[product], hwid = chipOf(product), wrapHwid = false } = options
  const isTurin = product === 'Turin'
  const values: { readonly [oid: string]: Uint8Array | undefined } = {
    '1': int(isTurin ? 1 : 0),
    '2': ia5(isTurin ? product : `${product}-B0`),
    '3.1': int(tcb.bootloader ?? 0),
    '3.2': int(tcb.tee ?? 0),
    '3.3': int(tcb.snp ?? 0),
    '3.5': int(0),
    '3.6': int(0),
    '3.7': int(0),
    '3.8': int(tcb.microcode ?? 0),
    ...(isTurin ? { '3.9': int(tcb.fmc ?? 0) } : { '3.4': int(0) }),
    ...(kind === 'VCEK' ? { '4': wrapHwid ? octets(hwid) : hwid } : { '5': ia5(CSP_ID) }),
    ...options.change,
  }
  const extensions: PkiExtension[] = []
  for (const [oid, value] of Object.entries(values)) {
    if (value !== undefined) extensions.push({ oid: `${AMD}.${oid}`, value })
  }
  const { ask, asvk } = authorities[product]
  return makeCertificate({
    subject: `SEV-${kind}`,
    issuer: kind === 'VCEK' ? ask : asvk,
    key: newKey('P-384'),
    serial: 0,
    extensions,
    ...PSS,
    ...options,
  })
}

export interface ReportOptions {
  readonly product?: Product
  readonly version?: number
  readonly kind?: 'VCEK' | 'VLEK'
  readonly guestSvn?: number
  /** POLICY. Default ABI 0.31, SMT allowed. */
  readonly policy?: bigint
  readonly vmpl?: number
  /** PLATFORM_INFO. Default SMT and alias check. */
  readonly platform?: bigint
  readonly reportData?: Uint8Array
  readonly measurement?: Uint8Array
  readonly hostData?: Uint8Array
  readonly idKeyDigest?: Uint8Array
  readonly authorKeyDigest?: Uint8Array
  readonly currentTcb?: Tcb
  readonly reportedTcb?: Tcb
  readonly committedTcb?: Tcb
  readonly launchTcb?: Tcb
  readonly chipId?: Uint8Array
  readonly mitigations?: readonly [launch: bigint, current: bigint]
  /** Writes bytes before the report is signed. */
  readonly write?: readonly (readonly [at: number, bytes: Uint8Array])[]
  /** Writes bytes after the report is signed. */
  readonly overwrite?: readonly (readonly [at: number, bytes: Uint8Array])[]
}

const MODELS: { readonly [product in Product]: readonly number[] } = {
  Milan: [0x19, 0x01, 1],
  Genoa: [0x19, 0x11, 1],
  Turin: [0x1a, 0x02, 1],
}

function tcbBytes(product: Product, tcb: Tcb): Buffer {
  const { fmc = 0, bootloader = 0, tee = 0, snp = 0, microcode = 0 } = tcb
  return product === 'Turin'
    ? Buffer.of(fmc, bootloader, tee, snp, 0, 0, 0, microcode)
    : Buffer.of(bootloader, tee, 0, 0, 0, 0, snp, microcode)
}

/** A report, signed by the key of `vek`. */
export function makeReport(vek: PkiCertificate, options: ReportOptions = {}): Buffer {
  const { product = 'Milan', version = 3, kind = 'VCEK', vmpl = 0, guestSvn = 7 } = options
  const tcb = (own: Tcb | undefined): Buffer => tcbBytes(product, own ?? TCB[product])
  const bytes = Buffer.alloc(0x4a0)
  bytes.writeUInt32LE(version, 0)
  bytes.writeUInt32LE(guestSvn, 4)
  bytes.writeBigUInt64LE(options.policy ?? 0x3001fn, 8)
  bytes.writeUInt32LE(vmpl, 0x30)
  bytes.writeUInt32LE(1, 0x34)
  tcb(options.currentTcb).copy(bytes, 0x38)
  bytes.writeBigUInt64LE(options.platform ?? 0x21n, 0x40)
  bytes.writeUInt32LE((kind === 'VLEK' ? 4 : 0) | (options.authorKeyDigest === undefined ? 0 : 1), 0x48)
  bytes.set(options.reportData ?? Buffer.alloc(64, 0xda), 0x50)
  bytes.set(options.measurement ?? Buffer.alloc(48, 0x4d), 0x90)
  bytes.set(options.hostData ?? Buffer.alloc(32), 0xc0)
  bytes.set(options.idKeyDigest ?? Buffer.alloc(48), 0xe0)
  bytes.set(options.authorKeyDigest ?? Buffer.alloc(48), 0x110)
  bytes.fill(0x1d, 0x140, 0x160)
  bytes.fill(0xff, 0x160, 0x180)
  tcb(options.reportedTcb).copy(bytes, 0x180)
  if (version > 2) bytes.set(MODELS[product], 0x188)
  bytes.set(options.chipId ?? (kind === 'VLEK' ? Buffer.alloc(64) : chipOf(product)), 0x1a0)
  tcb(options.committedTcb).copy(bytes, 0x1e0)
  bytes.set([29, 55, 1, 0, 29, 55, 1, 0], 0x1e8)
  tcb(options.launchTcb).copy(bytes, 0x1f0)
  if (version > 4) {
    const [launch, current] = options.mitigations ?? [5n, 7n]
    bytes.writeBigUInt64LE(launch, 0x1f8)
    bytes.writeBigUInt64LE(current, 0x200)
  }
  for (const [at, value] of options.write ?? []) bytes.set(value, at)
  const signature = sign('sha384', bytes.subarray(0, 0x2a0), {
    key: vek.key.privateKey,
    dsaEncoding: 'ieee-p1363',
  })
  bytes.set(signature.subarray(0, 48).reverse(), 0x2a0)
  bytes.set(signature.subarray(48, 96).reverse(), 0x2e8)
  for (const [at, value] of options.overwrite ?? []) bytes.set(value, at)
  return bytes
}

export const GUID = {
  VCEK: '63da758de6644564adc5f4b93be8accd',
  VLEK: 'a8074bc2a25a483eaae639c045a0b8a1',
  ASK: '4ab7b379bbac4fe4a02f05aef327c782',
  ARK: 'c0b406a4a803495297433fb6014cd0ae',
  CRL: '92f81bc358114d3d97ffd19f88dc67ea',
} as const

/** The certificate table of an extended report, padded to whole pages as a host hands it out. */
export function certificateTable(
  entries: readonly (readonly [guid: string, bytes: Uint8Array])[],
  pageSize = 4096,
): Buffer {
  const heads: Buffer[] = []
  let offset = (entries.length + 1) * 24
  for (const [guid, bytes] of entries) {
    const head = Buffer.concat([Buffer.from(guid, 'hex'), Buffer.alloc(8)])
    head.writeUInt32LE(offset, 16)
    head.writeUInt32LE(bytes.length, 20)
    heads.push(head)
    offset += bytes.length
  }
  const table = Buffer.concat([...heads, Buffer.alloc(24), ...entries.map(([, bytes]) => bytes)])
  return Buffer.concat([table, Buffer.alloc((pageSize - (table.length % pageSize)) % pageSize)])
}

/** The table with everything an endorsement key needs. */
export function fullTable(vek: PkiCertificate, product: Product = 'Milan', kind: 'VCEK' | 'VLEK' = 'VCEK'): Buffer {
  const { ark, ask, asvk } = authorities[product]
  return certificateTable([
    [GUID[kind], vek.der],
    [GUID.ASK, kind === 'VCEK' ? ask.der : asvk.der],
    [GUID.ARK, ark.der],
  ])
}

/** JSON evidence. */
export function snpJson(report: Uint8Array, certificates: Uint8Array | string): Buffer {
  return Buffer.from(
    JSON.stringify({
      report: Buffer.from(report).toString('base64'),
      certificates: Buffer.from(certificates as string).toString('base64'),
    }),
  )
}
