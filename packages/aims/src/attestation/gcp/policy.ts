import type { JsonObject } from '../../base/json.ts'
import { requireAllowed } from '../appraisal/allowed.ts'
import { formList, readPolicyFields, textList } from '../appraisal/policy-fields.ts'
import type { Authenticated } from '../evidence.ts'
import type { GcpClaims } from './claims.ts'

/** Which instances are accepted. `{}`: any instance of Google, with a warning. */
export interface GcpPolicy {
  /** Project ids. Absent: any project, so anybody who pays for an instance. */
  readonly projects: readonly string[] | undefined
  /** E.g. `europe-west3-a`. Absent: any. */
  readonly zones: readonly string[] | undefined
  /** Numbers of instances. Absent: any. */
  readonly instances: readonly string[] | undefined
  /** Addresses. Absent: any. */
  readonly serviceAccounts: readonly string[] | undefined
}

/** @throws {@link AimsError} `attestation.policy_malformed` */
export function readGcpPolicy(document: JsonObject): GcpPolicy {
  return readPolicyFields<GcpPolicy>(document, {
    projects: textList,
    zones: textList,
    instances: formList(/^[0-9]{1,32}$/, 'numbers of instances'),
    serviceAccounts: textList,
  })
}

/** @throws {@link AimsError} `attestation.not_allowed` */
export function appraiseGcp({ claims }: Authenticated<GcpClaims>, policy: GcpPolicy): readonly string[] {
  requireAllowed([
    [policy.projects, claims.projectId, 'project'],
    [policy.zones, claims.zone, 'zone'],
    [policy.instances, claims.instanceId, 'instance'],
    [policy.serviceAccounts, claims.serviceAccount, 'service account'],
  ])
  return policy.projects === undefined ? ['the policy names no project: any project of Google Cloud passes'] : []
}
