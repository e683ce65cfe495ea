import { AimsError } from '../../base/errors.ts'
import type { JsonObject } from '../../base/json.ts'
import { readPolicyFields, textList } from '../appraisal/policy-fields.ts'
import type { Authenticated } from '../evidence.ts'
import type { StsClaims } from './aws-sts.ts'

/** Which callers are accepted. `{}`: anybody with an AWS account, with a warning. */
export interface StsPolicy {
  /** Account numbers. Absent: any. */
  readonly accounts: readonly string[] | undefined
  /** Roles and users, `arn:aws:iam::123456789012:role/Role`, compared exactly. Absent: any. */
  readonly arns: readonly string[] | undefined
}

/** @throws {@link AimsError} `attestation.policy_malformed` */
export function readStsPolicy(document: JsonObject): StsPolicy {
  return readPolicyFields<StsPolicy>(document, { accounts: textList, arns: textList })
}

/** @throws {@link AimsError} `attestation.not_allowed` */
export function appraiseSts({ claims }: Authenticated<StsClaims>, { accounts, arns }: StsPolicy): readonly string[] {
  if (accounts?.includes(claims.account) === false) {
    throw new AimsError('attestation.not_allowed', 'the account is not among those the policy allows')
  }
  if (arns?.includes(claims.arn) === false) {
    throw new AimsError('attestation.not_allowed', 'the role or user is not among those the policy allows')
  }
  return (accounts ?? arns) ? [] : ['the policy names no account and no role: any caller of AWS passes']
}
