import { asBuffer } from '../../base/bytes.ts'
import { AimsError } from '../../base/errors.ts'
import type { JsonObject } from '../../base/json.ts'
import type { SgxReport } from './report-body.ts'
import { member } from './signed-json.ts'
import { type IsvLevel, readIsvLevels, readWindow, type Window } from './tcb-info.ts'

/** What Intel says its quoting enclave is. */
export interface QeIdentity extends Window {
  readonly id: 'QE' | 'TD_QE'
  readonly miscSelect: number
  readonly miscSelectMask: number
  readonly attributes: Uint8Array
  readonly attributesMask: Uint8Array
  readonly mrSigner: Uint8Array
  readonly isvProdId: number
  readonly levels: readonly IsvLevel[]
}

/**
 * Reads the identity of a quoting enclave, version 2. Does not verify anything.
 *
 * @throws {@link AimsError} `attestation.collateral_malformed`
 * @see Intel PCS API, "Get Enclave Identity", version 4
 */
export function readQeIdentity(object: JsonObject): QeIdentity {
  if (member.integer(object, 'version') !== 2) {
    throw new AimsError('attestation.collateral_malformed', 'this version of an enclave identity is not known')
  }
  return {
    id: member.word(object, 'id', ['QE', 'TD_QE'] as const),
    ...readWindow(object),
    miscSelect: member.hex(object, 'miscselect', 4).readUInt32LE(),
    miscSelectMask: member.hex(object, 'miscselectMask', 4).readUInt32LE(),
    attributes: member.hex(object, 'attributes', 16),
    attributesMask: member.hex(object, 'attributesMask', 16),
    mrSigner: member.hex(object, 'mrsigner', 32),
    isvProdId: member.integer(object, 'isvprodid', 0xffff),
    levels: readIsvLevels(object),
  }
}

/**
 * Checks that a report is one of this enclave, not in debug mode, and returns its level.
 *
 * @throws {@link AimsError} `attestation.chain_invalid`, `.debug`, `.tcb_unknown`
 */
export function rateQuotingEnclave(report: SgxReport, identity: QeIdentity): IsvLevel {
  checkNotDebug(report)
  const same =
    asBuffer(report.mrSigner).equals(identity.mrSigner) &&
    report.isvProdId === identity.isvProdId &&
    (report.miscSelect & identity.miscSelectMask) >>> 0 === identity.miscSelect &&
    masked(report.attributes, identity.attributesMask).equals(identity.attributes)
  if (!same) throw notTheEnclave()
  const level = identity.levels.find(({ isvSvn }) => report.isvSvn >= isvSvn)
  if (level === undefined) throw new AimsError('attestation.tcb_unknown', 'no level fits the quoting enclave')
  return level
}

// Signers and product ids of Intel's quoting enclaves; they have never changed.
const KNOWN = {
  QE: { mrSigner: '8c4f5775d796503e96137f77c68a829a0056ac8ded70140b081b094490c57bff', isvProdId: 1 },
  TD_QE: { mrSigner: 'dc9e2a7c6f948f17474e34a7fc43ed030f7c1563f1babddf6340c82e0e54a8c5', isvProdId: 2 },
} as const

/**
 * The same without Intel's statement: signer, product and debug flag. Without it any enclave of a genuine machine could
 * speak as the quoting enclave.
 *
 * @throws {@link AimsError} `attestation.chain_invalid`, `.debug`
 */
export function checkKnownEnclave(report: SgxReport, id: 'QE' | 'TD_QE'): void {
  checkNotDebug(report)
  const { mrSigner, isvProdId } = KNOWN[id]
  if (asBuffer(report.mrSigner).toString('hex') !== mrSigner || report.isvProdId !== isvProdId) throw notTheEnclave()
}

/** Whether the owner of the machine may read the memory of an enclave. */
export function isDebugEnclave({ attributes }: SgxReport): boolean {
  return ((attributes[0] as number) & 0x02) !== 0
}

/** Bit by bit; both of one size. */
export function masked(bytes: Uint8Array, mask: Uint8Array): Buffer {
  return Buffer.from(bytes.map((byte, at) => byte & (mask[at] as number)))
}

function checkNotDebug(report: SgxReport): void {
  if (isDebugEnclave(report)) throw new AimsError('attestation.debug', 'the quoting enclave is in debug mode')
}

function notTheEnclave(): AimsError {
  return new AimsError('attestation.chain_invalid', "the quoting enclave is not the one of Intel's statement")
}
