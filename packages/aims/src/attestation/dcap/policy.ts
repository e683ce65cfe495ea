import { AimsError } from '../../base/errors.ts'
import { flag, hexList, integer, type PolicyFields, textList, wordsOf } from '../appraisal/policy-fields.ts'
import type { DcapTcb } from './authenticate.ts'
import type { DcapPlatform } from './pck.ts'
import { hex } from './signature.ts'
import { TCB_STATUSES, type TcbStatus } from './tcb-status.ts'

/** What policies of SGX and TDX have in common. `{}` accepts platforms that Intel rates `UpToDate`, without debug. */
export interface DcapPolicy {
  /** Default `["UpToDate"]`. `Revoked` is never accepted. */
  readonly acceptedTcbStatuses: readonly TcbStatus[]
  /** A status other than `UpToDate` is accepted only when each of its advisories is listed here. */
  readonly acceptedAdvisories?: readonly string[] | undefined
  /** Days after the date of a level for which `OutOfDate` is accepted, with a warning. Default none. */
  readonly outOfDateGraceDays?: number | undefined
  /** Lowest number of Intel's evaluation data. */
  readonly minTcbEvaluationNumber?: number | undefined
  /** PPIDs and platform instance ids, hex, of machines whose keys are known to have leaked. */
  readonly deniedPlatforms?: readonly string[] | undefined
  readonly allowDebug: boolean
}

const ACCEPTABLE: readonly TcbStatus[] = TCB_STATUSES.filter((status) => status !== 'Revoked')

/** How the common members of a policy are read. */
export const dcapPolicyFields: PolicyFields<DcapPolicy> = {
  acceptedTcbStatuses: wordsOf(ACCEPTABLE, ['UpToDate']),
  acceptedAdvisories: textList,
  outOfDateGraceDays: integer(0, 3650),
  minTcbEvaluationNumber: integer(0, 0xffff_ffff),
  deniedPlatforms: hexList(16),
  allowDebug: flag(false),
}

/**
 * Compares platform and TCB with the common members of a policy. Returns warnings.
 *
 * @throws {@link AimsError} `attestation.revoked`, `.tcb_out_of_date`
 */
export function appraisePlatform(
  { platform, tcb }: { readonly platform: DcapPlatform; readonly tcb: DcapTcb },
  policy: DcapPolicy,
  now: number,
): readonly string[] {
  const { acceptedTcbStatuses, acceptedAdvisories = [], minTcbEvaluationNumber = 0, deniedPlatforms = [] } = policy
  const ids = [platform.ppid, platform.platformInstanceId]
  if (deniedPlatforms.some((denied) => ids.includes(denied))) {
    throw new AimsError('attestation.revoked', 'the policy denies this platform')
  }
  // Accepted, with a warning, by whoever made the verifier; it has no number either.
  if (tcb.status === 'unrated' && minTcbEvaluationNumber === 0) return []
  if ((tcb.evaluationNumber ?? 0) < minTcbEvaluationNumber) {
    throw outOfDate("Intel's evaluation of the platform is older than the policy asks for")
  }
  if (tcb.status === 'UpToDate' && acceptedTcbStatuses.includes('UpToDate')) return []
  if (isInGrace(tcb, policy, now)) return ['the TCB is out of date, within the grace of the policy']
  if (!(acceptedTcbStatuses as readonly string[]).includes(tcb.status)) {
    throw outOfDate(`the policy does not accept the status ${tcb.status}`)
  }
  if (!tcb.advisories.every((advisory) => acceptedAdvisories.includes(advisory))) {
    throw outOfDate('the platform is affected by an advisory that the policy does not accept')
  }
  return [`the status of the TCB is ${tcb.status}`]
}

/**
 * Refuses a measurement that is not among its reference values. No reference values: nothing is compared.
 *
 * @throws {@link AimsError} `attestation.measurement_mismatch`
 */
export function checkReference(name: string, value: Uint8Array, references: readonly string[] | undefined): void {
  if (references === undefined || references.includes(hex(value))) return
  throw new AimsError('attestation.measurement_mismatch', `${name} is not among the reference values of the policy`)
}

function isInGrace(tcb: DcapTcb, { outOfDateGraceDays = 0 }: DcapPolicy, now: number): boolean {
  return tcb.status === 'OutOfDate' && now < (tcb.tcbDate ?? 0) + outOfDateGraceDays * 86_400
}

function outOfDate(message: string): AimsError {
  return new AimsError('attestation.tcb_out_of_date', message)
}
