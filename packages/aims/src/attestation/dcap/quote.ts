import { AimsError } from '../../base/errors.ts'
import { LittleEndianReader } from './reader.ts'
import { BODY_SIZES, readSgxReport, readTdReport, type SgxReport, type TdReport } from './report-body.ts'

/** A DCAP quote that has been read and NOT verified. */
export interface Quote<Report extends SgxReport | TdReport = SgxReport | TdReport> {
  readonly version: 3 | 4 | 5
  /** Header and body: what the attestation key signed. */
  readonly signed: Uint8Array
  readonly report: Report
  /** r and s, 64 bytes. */
  readonly signature: Uint8Array
  /** x and y on P-256, 64 bytes. */
  readonly attestationKey: Uint8Array
  /** REPORT of the quoting enclave, whose report data name the attestation key. */
  readonly qeReport: Uint8Array
  /** Made by the PCK, 64 bytes. */
  readonly qeReportSignature: Uint8Array
  readonly qeAuthData: Uint8Array
  /** Certification data of type 5: the chain of the PCK in PEM. */
  readonly pckChain: Uint8Array
}

/** Bytes. Quotes have about 5 kB. */
export const MAX_QUOTE = 32_768

const ECDSA_P256 = 2
const TEE_TYPES: { readonly [number: number]: 'sgx' | 'tdx' } = { 0: 'sgx', 129: 'tdx' }
const INTEL_QE_VENDOR = '939a7233f79c4ca9940a0db3957f0607'
const PCK_CHAIN = 5
const QE_REPORT = 6
const BODY_KINDS: { readonly [number: number]: 'sgx' | 'td10' | 'td15' } = { 1: 'sgx', 2: 'td10', 3: 'td15' }

/**
 * Reads a quote of version 3 (SGX), 4 or 5 (SGX, TDX). Every length inside the signature data must be used up exactly;
 * the certification data must be the chain of the PCK. What follows the signature data is padding of the guest driver,
 * signed by nobody, and is not looked at.
 *
 * @throws {@link AimsError} `attestation.malformed`, `.unsupported`, `.too_large`
 * @see Intel SGX ECDSA QuoteLibReference and TDX DCAP Quoting Library API, appendix "Quote Format"
 */
export function parseQuote(bytes: Uint8Array): Quote {
  if (bytes.length > MAX_QUOTE) throw new AimsError('attestation.too_large', `a quote has at most ${MAX_QUOTE} bytes`)
  const input = new LittleEndianReader(bytes)
  const version = input.u16()
  if (version !== 3 && version !== 4 && version !== 5) throw unsupported('this version of a quote')
  if (input.u16() !== ECDSA_P256) throw unsupported('this kind of attestation key')
  const tee = TEE_TYPES[input.u32()]
  if (tee === undefined || (version === 3 && tee !== 'sgx')) throw unsupported('this type of TEE')
  input.take(4)
  if (input.take(16).toString('hex') !== INTEL_QE_VENDOR) throw unsupported("a quoting enclave that is not Intel's")
  input.take(20)
  const report = readBody(input, version, tee)
  const signed = bytes.subarray(0, input.position)
  const signatureData = new LittleEndianReader(input.take(input.u32()))
  const signature = signatureData.take(64)
  const attestationKey = signatureData.take(64)
  const certification = version === 3 ? signatureData : certificationData(signatureData, QE_REPORT)
  const qeReport = certification.take(BODY_SIZES.sgx)
  const qeReportSignature = certification.take(64)
  const qeAuthData = certification.take(certification.u16())
  const pckChain = certificationData(certification, PCK_CHAIN).rest()
  return { version, signed, report, signature, attestationKey, qeReport, qeReportSignature, qeAuthData, pckChain }
}

function readBody(input: LittleEndianReader, version: 3 | 4 | 5, tee: 'sgx' | 'tdx'): SgxReport | TdReport {
  const kind = version === 5 ? BODY_KINDS[input.u16()] : tee === 'sgx' ? 'sgx' : 'td10'
  if (kind === undefined || (kind === 'sgx') !== (tee === 'sgx')) throw unsupported('this type of body')
  if (version === 5 && input.u32() !== BODY_SIZES[kind]) {
    throw new AimsError('attestation.malformed', 'the body has not the size of its type')
  }
  const body = input.take(BODY_SIZES[kind])
  return kind === 'sgx' ? readSgxReport(body) : readTdReport(body, kind)
}

/** Type, length and data; nothing may follow them in what holds them. */
function certificationData(holder: LittleEndianReader, type: number): LittleEndianReader {
  if (holder.u16() !== type) throw unsupported('this type of certification data')
  const data = holder.take(holder.u32())
  holder.end()
  return new LittleEndianReader(data)
}

function unsupported(what: string): AimsError {
  return new AimsError('attestation.unsupported', `${what} is not accepted`)
}
