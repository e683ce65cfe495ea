import { AimsError } from '../../base/errors.ts'
import type { JsonObject } from '../../base/json.ts'
import { integer, type PolicyField, readPolicyFields, textList } from '../appraisal/policy-fields.ts'
import type { Authenticated } from '../evidence.ts'
import type { AzureClaims } from './document.ts'

/** Which machines are accepted. `{}`: any machine of Azure, with a warning. */
export interface AzurePolicy {
  /** Subscription ids. Absent: any, so anybody who pays for a machine. */
  readonly subscriptions: readonly string[] | undefined
  /** Ids of machines. Absent: any. */
  readonly vmIds: readonly string[] | undefined
  /** Seconds since the document was made. Absent: until it expires, six hours. */
  readonly maxAge: number | undefined
}

// UUIDs are compared in lower case.
const uuidList: PolicyField<readonly string[] | undefined> = (value, name) =>
  textList(value, name)?.map((one) => one.toLowerCase())

/** @throws {@link AimsError} `attestation.policy_malformed` */
export function readAzurePolicy(document: JsonObject): AzurePolicy {
  return readPolicyFields<AzurePolicy>(document, {
    subscriptions: uuidList,
    vmIds: uuidList,
    maxAge: integer(1, 86_400),
  })
}

/** @throws {@link AimsError} `attestation.not_allowed`, `attestation.stale` */
export function appraiseAzure({ claims, result }: Authenticated<AzureClaims>, policy: AzurePolicy): readonly string[] {
  if (policy.subscriptions?.includes(claims.subscriptionId) === false) {
    throw new AimsError('attestation.not_allowed', 'the subscription is not among those the policy allows')
  }
  if (policy.vmIds?.includes(claims.vmId) === false) {
    throw new AimsError('attestation.not_allowed', 'the machine is not among those the policy allows')
  }
  if (policy.maxAge !== undefined && result.verifiedAt - claims.createdOn > policy.maxAge) {
    throw new AimsError('attestation.stale', 'the attested document is older than the policy allows')
  }
  return policy.subscriptions === undefined ? ['the policy names no subscription: any subscription passes'] : []
}
