import { createHash } from 'node:crypto'
import { asBuffer, equalConstantTime } from '../../base/bytes.ts'
import { AimsError } from '../../base/errors.ts'
import { REPORT_SIZE } from '../sev-snp/report.ts'

/** What the paravisor of an Azure confidential VM keeps in its vTPM. Read, and NOT verified. */
export interface HclReport {
  /** Which hardware vouches. */
  readonly tee: 'sev-snp' | 'tdx'
  /** SEV-SNP: the attestation report. TDX: a TD report, which only its own machine can check; the quote stands for it. */
  readonly hardwareReport: Uint8Array
  /** JSON, as it was hashed into the report data. */
  readonly runtimeData: Uint8Array
  /** The report data that the hardware must have signed: the hash, and zeros. */
  readonly reportData: Uint8Array
}

const MAGIC = Buffer.from('HCLA')
const HEADER = 32
const DATA = HEADER + REPORT_SIZE
const DATA_HEADER = 20
const MAX_HCL = 16_384
const ATTESTATION_REQUEST = 2
const TEES: { readonly [type: number]: HclReport['tee'] } = { 2: 'sev-snp', 4: 'tdx' }
const HASHES: { readonly [type: number]: string } = { 1: 'sha256', 2: 'sha384', 3: 'sha512' }

/**
 * Reads the report of the host compatibility layer: a header, 1184 bytes of hardware report, and the runtime data that
 * the hardware report is bound to. Lengths must agree, and everything that is reserved or left over be zero.
 *
 * @throws {@link AimsError} `attestation.malformed`, `attestation.unsupported`
 * @see Azure, "Confidential VM guest attestation design", HCL report; NV index 0x01400001
 */
export function parseHclReport(input: Uint8Array): HclReport {
  const bytes = Buffer.from(input)
  if (bytes.length < DATA + DATA_HEADER || bytes.length > MAX_HCL) throw malformed('the HCL report has no such length')
  const u32 = (at: number): number => bytes.readUInt32LE(at)
  const version = u32(4)
  if (!bytes.subarray(0, 4).equals(MAGIC)) throw malformed('this is no HCL report')
  if (version !== 1 && version !== 2) throw unsupported('the HCL report has another version than 1 or 2')
  if (u32(12) !== ATTESTATION_REQUEST || u32(16) !== 0) throw malformed('the HCL report is not of an attestation')
  const [dataSize, dataVersion, reportType, hashType, size] = [0, 4, 8, 12, 16].map((at) => u32(DATA + at)) as [
    number,
    number,
    number,
    number,
    number,
  ]
  const end = DATA + DATA_HEADER + size
  if (end > bytes.length || dataSize !== DATA_HEADER + size || u32(8) !== end) {
    throw malformed('the lengths in the HCL report do not agree')
  }
  const tee = TEES[reportType]
  const hash = HASHES[hashType]
  if (dataVersion !== 1 || tee === undefined || hash === undefined) {
    throw unsupported('the HCL report is of other hardware, or its runtime data have another form')
  }
  if ([...bytes.subarray(20, HEADER), ...bytes.subarray(end)].some((byte) => byte !== 0)) {
    throw malformed('a reserved part of the HCL report is not zero')
  }
  const runtimeData = bytes.subarray(DATA + DATA_HEADER, end)
  const reportData = Buffer.alloc(64)
  reportData.set(createHash(hash).update(runtimeData).digest())
  return { tee, hardwareReport: bytes.subarray(HEADER, DATA), runtimeData, reportData }
}

/**
 * Checks that the hardware vouches for the runtime data.
 *
 * @throws {@link AimsError} `attestation.inconsistent`
 */
export function checkRuntimeData({ reportData }: HclReport, signed: Uint8Array): void {
  if (!equalConstantTime(asBuffer(signed), reportData)) {
    throw new AimsError('attestation.inconsistent', 'the hardware report vouches for other runtime data')
  }
}

function malformed(message: string): AimsError {
  return new AimsError('attestation.malformed', message)
}

function unsupported(message: string): AimsError {
  return new AimsError('attestation.unsupported', message)
}
