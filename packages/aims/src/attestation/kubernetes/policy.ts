import { AimsError } from '../../base/errors.ts'
import type { JsonObject } from '../../base/json.ts'
import { requireAllowed } from '../appraisal/allowed.ts'
import { flag, formList, readPolicyFields, textList } from '../appraisal/policy-fields.ts'
import type { Authenticated } from '../evidence.ts'
import type { KubernetesClaims } from './claims.ts'

/** Which pods are accepted. `{}`: any pod of the configured clusters. */
export interface KubernetesPolicy {
  /** Names of clusters, as configured. Absent: any that is. */
  readonly clusters: readonly string[] | undefined
  /** Absent: any. */
  readonly namespaces: readonly string[] | undefined
  /** `NAMESPACE/NAME`. Absent: any. */
  readonly serviceAccounts: readonly string[] | undefined
  /** Accepts only tokens that the API server confirmed now. Default false. */
  readonly requireReview: boolean
}

/** @throws {@link AimsError} `attestation.policy_malformed` */
export function readKubernetesPolicy(document: JsonObject): KubernetesPolicy {
  return readPolicyFields<KubernetesPolicy>(document, {
    clusters: textList,
    namespaces: textList,
    serviceAccounts: formList(/^[^/\s]+\/[^/\s]+$/, 'service accounts as NAMESPACE/NAME'),
    requireReview: flag(false),
  })
}

/** @throws {@link AimsError} `attestation.not_allowed` */
export function appraiseKubernetes(
  { claims }: Authenticated<KubernetesClaims>,
  policy: KubernetesPolicy,
): readonly string[] {
  requireAllowed([
    [policy.clusters, claims.cluster, 'cluster'],
    [policy.namespaces, claims.namespace, 'namespace'],
    [policy.serviceAccounts, `${claims.namespace}/${claims.serviceAccount}`, 'service account'],
  ])
  if (claims.isReviewed) return []
  if (policy.requireReview) throw new AimsError('attestation.not_allowed', 'the API server did not confirm the token')
  return ['the API server was not asked: the token of a pod that is gone passes until it ends']
}
