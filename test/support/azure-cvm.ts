// Confidential VMs of Azure as their paravisor shows them: HCL reports around reports of SEV-SNP and quotes of TDX, and
// quotes of their vTPM.
import { createHash, sign } from 'node:crypto'
import type { DcapTrust } from '../../packages/aims/src/attestation/dcap/authenticate.ts'
import type { SnpTrust } from '../../packages/aims/src/attestation/sev-snp/authenticate.ts'
import { DCAP_NOW, type DcapPki, makeCollateral, makeDcapPki, makeQuote } from './dcap-pki.ts'
import { authorities, makeReport, makeVek, type ReportOptions, SNP_TEST_ROOTS } from './snp-pki.ts'
import { quoteInfo, type SoftPcrs, statement } from './soft-tpm.ts'
import { newKey, type PkiCertificate, type PkiKey } from './vendor-pki.ts'

export const AZURE_CVM_NOW: number = DCAP_NOW
export const VM_ID = '26F8BC30-774E-4290-8E7A-535F3B672AEE'
/** What evidence is bound to unless told otherwise. */
export const NONCE: Buffer = Buffer.from('challenge')
export const PCRS: SoftPcrs = { 'sha256:0': Buffer.alloc(32, 0xa0), 'sha256:7': Buffer.alloc(32, 0xa7) }

const dcap: DcapPki = makeDcapPki()
const ak: PkiKey = newKey('RSA-2048')
const ek: PkiKey = newKey('RSA-2048')
const vek: PkiCertificate = makeVek()
const { ark, ask } = authorities.Milan

/** Trust in the roots of both tests PKIs; the VCEK comes with the evidence. */
export const AZURE_CVM_TRUST: { readonly snp: SnpTrust; readonly tdx: DcapTrust } = {
  snp: {
    roots: SNP_TEST_ROOTS,
    collateral: {
      get: (name: string) => (name === 'amd/milan/cert_chain' ? Buffer.from(`${ask.pem}${ark.pem}`) : undefined),
    },
  },
  tdx: { roots: new Set([dcap.root.fingerprint]), collateral: makeCollateral('tdx', dcap) },
}

type Json = { readonly [member: string]: unknown }

export const jwkOf = (key: PkiKey, kid: string, use: string): Json => {
  const { n, e } = key.publicKey.export({ format: 'jwk' })
  return { kid, key_ops: [use], kty: 'RSA', e, n }
}

export function runtimeData(change: Json = {}): Json {
  return {
    keys: [jwkOf(ak, 'HCLAkPub', 'sign'), jwkOf(ek, 'HCLEkPub', 'encrypt')],
    'vm-configuration': { 'console-enabled': true, 'secure-boot': true, 'tpm-enabled': true, vmUniqueId: VM_ID },
    'user-data': '00'.repeat(64),
    ...change,
  }
}

export interface AzureCvmOptions {
  readonly tee?: 'sev-snp' | 'tdx'
  readonly runtime?: Json | string
  /** 1 SHA-256, 2 SHA-384, 3 SHA-512. */
  readonly hash?: 1 | 2 | 3
  readonly report?: ReportOptions
  /** What the hardware vouches for in place of the runtime data. */
  readonly reportData?: Uint8Array
  /** Writes 32-bit numbers into the HCL report. */
  readonly patch?: readonly (readonly [at: number, value: number])[]
  readonly tail?: Uint8Array
  readonly indices?: readonly number[]
  readonly bank?: 'sha1' | 'sha256'
  readonly extraData?: Uint8Array
  readonly quoteType?: number
  readonly signer?: PkiKey
  readonly signHash?: string
  /** Changes members of the evidence; `undefined` takes one away. */
  readonly change?: (evidence: Evidence) => Json
}

export interface Evidence {
  readonly version: number
  readonly tpm_quote: { readonly message: string; readonly signature: string; readonly pcrs: readonly string[] }
  readonly hcl_report: string
  readonly vcek?: string
  readonly td_quote?: string
}

const HASHES = { 1: 'sha256', 2: 'sha384', 3: 'sha512' } as const

export function hclReport(options: AzureCvmOptions = {}): { readonly hcl: Buffer; readonly tdQuote: Buffer } {
  const { tee = 'sev-snp', hash = 1, runtime = runtimeData() } = options
  const data = Buffer.from(typeof runtime === 'string' ? runtime : JSON.stringify(runtime))
  const reportData = Buffer.alloc(64)
  reportData.set(options.reportData ?? createHash(HASHES[hash]).update(data).digest())
  const tdQuote = makeQuote('v4', dcap, { body: { 520: reportData, 123: 0 } })
  const hardware = tee === 'tdx' ? Buffer.alloc(1184, 0x81) : makeReport(vek, { reportData, ...options.report })
  const header = Buffer.alloc(32)
  header.write('HCLA')
  const end = 32 + 1184 + 20 + data.length
  for (const [at, value] of [
    [4, tee === 'tdx' ? 2 : 1],
    [8, end],
    [12, 2],
  ] as const) {
    header.writeUInt32LE(value, at)
  }
  const dataHeader = Buffer.alloc(20)
  for (const [at, value] of [20 + data.length, 1, tee === 'tdx' ? 4 : 2, hash, data.length].entries()) {
    dataHeader.writeUInt32LE(value, at * 4)
  }
  const tail = options.tail ?? Buffer.alloc(Math.max(0, 2600 - end))
  const hcl = Buffer.concat([header, hardware, dataHeader, data, tail])
  for (const [at, value] of options.patch ?? []) hcl.writeUInt32LE(value, at)
  return { hcl, tdQuote }
}

/** Evidence of version 1. */
export function azureCvmEvidence(options: AzureCvmOptions = {}): Buffer {
  const { tee = 'sev-snp', extraData = NONCE, bank = 'sha256', signer = ak } = options
  const indices = options.indices ?? Array.from({ length: 24 }, (_, index) => index)
  const { hcl, tdQuote } = hclReport(options)
  const type = options.quoteType === undefined ? {} : { type: options.quoteType }
  const message = statement({ extraData, ...type }, quoteInfo([{ bank, indices }], PCRS))
  const zero = Buffer.alloc(bank === 'sha1' ? 20 : 32)
  const evidence: Evidence = {
    version: 1,
    tpm_quote: {
      message: message.toString('hex'),
      signature: sign(options.signHash ?? 'sha256', message, signer.privateKey).toString('hex'),
      pcrs: indices.map((index) => Buffer.from(PCRS[`${bank}:${index}`] ?? zero).toString('hex')),
    },
    hcl_report: hcl.toString('base64url'),
    ...(tee === 'tdx' ? { td_quote: tdQuote.toString('base64url') } : { vcek: vek.der.toString('base64url') }),
  }
  return Buffer.from(JSON.stringify(options.change?.(evidence) ?? evidence))
}

/** The same evidence in the form without a version. */
export function legacyEvidence(evidence: Evidence): Json {
  const hex = (text: string): number[] => [...Buffer.from(text, 'hex')]
  const base64 = (text: string): number[] => [...Buffer.from(text, 'base64url')]
  const { message, signature, pcrs } = evidence.tpm_quote
  const quote = { message: hex(message), signature: hex(signature), pcrs: pcrs.map(hex) }
  return evidence.td_quote === undefined
    ? { quote, report: base64(evidence.hcl_report), vcek: vek.pem }
    : { tpm_quote: quote, hcl_report: base64(evidence.hcl_report), td_quote: base64(evidence.td_quote) }
}
