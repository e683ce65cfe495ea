import { AimsError } from '../../base/errors.ts'
import { checkBoundData, type ExpectedBinding } from '../binding.ts'
import {
  authenticateQuote,
  type DcapTrust,
  type ResolvedTrust,
  type VerifiedQuote as VerifiedTdQuote,
} from '../dcap/authenticate.ts'
import { parseQuote } from '../dcap/quote.ts'
import type { TdReport } from '../dcap/report-body.ts'
import { authenticateSnpReport, type SnpTrust, type VerifiedSnpReport } from '../sev-snp/authenticate.ts'
import { TPM_ALG } from '../tpm/algorithms.ts'
import { parseTpmAttest } from '../tpm/attest.ts'
import { type PcrValues, selectedPcrs } from '../tpm/pcrs.ts'
import { type VerifiedQuote, verifyQuote } from '../tpm/statements.ts'
import { parseVendorCertificate } from '../x509/vendor-certificate.ts'
import type { AzureCvmDocument } from './document.ts'
import { checkRuntimeData, type HclReport, parseHclReport } from './hcl.ts'
import { parseRuntimeData, type RuntimeData } from './runtime-data.ts'

/** Whom a verifier of Azure confidential VMs trusts. Without one of the members evidence of that hardware is refused. */
export interface AzureCvmTrust {
  readonly snp?: SnpTrust
  readonly tdx?: DcapTrust
}

/** {@link AzureCvmTrust} with the defaults of Intel's part filled in, once: it remembers. */
export interface ResolvedAzureCvmTrust {
  readonly snp: SnpTrust | undefined
  readonly tdx: ResolvedTrust | undefined
}

/** What the hardware vouches for. */
export type AzureCvmHardware =
  | { readonly tee: 'sev-snp'; readonly verified: VerifiedSnpReport }
  | { readonly tee: 'tdx'; readonly verified: VerifiedTdQuote; readonly report: TdReport }

/** Evidence of which every link has been checked: hardware, runtime data, attestation key, quote, and binding. */
export interface VerifiedAzureCvm {
  readonly hardware: AzureCvmHardware
  readonly runtime: RuntimeData
  readonly quote: VerifiedQuote
  /** By `sha256:7`. */
  readonly pcrs: PcrValues
  readonly isBound: boolean
  /** Whether the user data of the runtime data were bound too. */
  readonly isUserDataBound: boolean
}

/**
 * Checks the links one after the other: the hardware signed its report; the report data are the hash of the runtime data;
 * the runtime data name the attestation key; that key signed the quote; the quote covers the PCR values and carries what
 * was asked for in `extraData`, and with version 2 the runtime data carry it in `user-data` too.
 *
 * @throws {@link AimsError} `attestation.*`
 */
export function authenticateAzureCvm(
  document: AzureCvmDocument,
  trust: ResolvedAzureCvmTrust,
  { now, expected }: { readonly now: number; readonly expected: ExpectedBinding },
): VerifiedAzureCvm {
  const hcl = parseHclReport(document.hclReport)
  const hardware = authenticateHardware(document, hcl, trust, now)
  const runtime = parseRuntimeData(hcl.runtimeData)
  const { message, signature, pcrs } = document.quote
  const values = labelled(message, pcrs)
  const scheme = { algorithm: TPM_ALG.rsassa, hash: 'sha256' } as const
  const quote = verifyQuote({ publicKey: runtime.attestationKey, scheme }, { attest: message, signature, values })
  const isBound = checkBoundData('azure-cvm', quote.extraData, expected)
  const isUserDataBound = document.bindsUserData && checkUserData(runtime, expected)
  return { hardware, runtime, quote, pcrs: values, isBound, isUserDataBound }
}

function authenticateHardware(
  { vcek, tdQuote }: AzureCvmDocument,
  hcl: HclReport,
  trust: ResolvedAzureCvmTrust,
  now: number,
): AzureCvmHardware {
  if ((hcl.tee === 'tdx') !== (tdQuote !== undefined) || (hcl.tee === 'tdx' && vcek !== undefined)) {
    throw inconsistent('the evidence goes with other hardware than its HCL report')
  }
  if (tdQuote !== undefined) return authenticateTd(tdQuote, hcl, trust.tdx, now)
  if (trust.snp === undefined) throw notTrusted()
  const certificates = vcek === undefined ? [] : [parseVendorCertificate(vcek)]
  const verified = authenticateSnpReport({ report: hcl.hardwareReport, certificates, lists: [] }, trust.snp, now)
  checkRuntimeData(hcl, Buffer.from(verified.report.reportData, 'hex'))
  return { tee: 'sev-snp', verified }
}

function authenticateTd(
  tdQuote: Uint8Array,
  hcl: HclReport,
  trust: ResolvedTrust | undefined,
  now: number,
): AzureCvmHardware {
  if (trust === undefined) throw notTrusted()
  const quote = parseQuote(tdQuote)
  const { report } = quote
  if (report.kind === 'sgx') throw new AimsError('attestation.unsupported', 'this is a quote of SGX, not of TDX')
  const verified = authenticateQuote(quote, 'tdx', trust, now)
  checkRuntimeData(hcl, report.reportData)
  return { tee: 'tdx', verified, report }
}

// The evidence lists bare values. Which PCR a value is of is the quote's word, never the sender's (N20).
function labelled(message: Uint8Array, pcrs: readonly Uint8Array[]): PcrValues {
  const attest = parseTpmAttest(message)
  if (attest.type !== 'quote') throw new AimsError('attestation.malformed', 'the vTPM signed another kind of statement')
  const names = selectedPcrs(attest.selection)
  if (names.length !== pcrs.length) throw inconsistent('the evidence has other PCRs than were quoted')
  return new Map(names.map((name, at) => [name, pcrs[at] as Uint8Array]))
}

function checkUserData({ userData }: RuntimeData, expected: ExpectedBinding): boolean {
  if (userData === undefined) throw new AimsError('attestation.malformed', 'the runtime data have no user-data')
  return checkBoundData('azure-cvm', userData, expected)
}

function inconsistent(message: string): AimsError {
  return new AimsError('attestation.inconsistent', message)
}

function notTrusted(): AimsError {
  return new AimsError('attestation.untrusted', 'no root is configured for the hardware of this evidence')
}
