import { AimsError } from '../../base/errors.ts'
import { isJsonObject, type JsonObject } from '../../base/json.ts'
import { objectClaim, optionalTextClaim, textClaim } from '../token/claims.ts'

/** A pod, its service account, and its node where the cluster says so. */
export interface KubernetesIdentity {
  readonly namespace: string
  readonly serviceAccount: string
  readonly podName: string
  readonly podUid: string
  readonly nodeName?: string
  readonly nodeUid?: string
}

/** What evidence from a cluster says. */
export interface KubernetesClaims extends KubernetesIdentity {
  /** The name that the configuration gave to the cluster. */
  readonly cluster: string
  /** Whether the API server confirmed the token now, and pod and node were looked at. */
  readonly isReviewed: boolean
  /** Labels of the pod. Only when reviewed. */
  readonly podLabels: { readonly [key: string]: string }
  readonly nodeLabels: { readonly [key: string]: string }
  readonly nodeIp?: string
}

const LEGACY = 'kubernetes.io/serviceaccount/namespace'

/**
 * Reads the claims of a token that is bound to a pod.
 *
 * @throws {@link AimsError} `attestation.unsupported` for tokens of the legacy kind and those of no pod, `.malformed`,
 *   `.inconsistent`
 * @see https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/
 */
export function kubernetesClaims(claims: JsonObject): KubernetesIdentity {
  refuseLegacy(claims)
  const own = objectClaim(claims['kubernetes.io'], 'kubernetes.io')
  const account = objectClaim(own.serviceaccount, 'kubernetes.io.serviceaccount')
  if (!isJsonObject(own.pod)) throw new AimsError('attestation.unsupported', 'the token is not bound to a pod')
  const node = own.node === undefined ? {} : objectClaim(own.node, 'kubernetes.io.node')
  const namespace = textClaim(own, 'namespace')
  const serviceAccount = textClaim(account, 'name')
  const subject = parseServiceAccount(textClaim(claims, 'sub'))
  if (subject.namespace !== namespace || subject.serviceAccount !== serviceAccount) {
    throw new AimsError('attestation.inconsistent', 'the token names two service accounts')
  }
  return {
    namespace,
    serviceAccount,
    podName: textClaim(own.pod, 'name'),
    podUid: textClaim(own.pod, 'uid'),
    ...nodeOf(optionalTextClaim(node, 'name'), optionalTextClaim(node, 'uid')),
  }
}

/** The tokens of secrets: no audience, no end, and good for every pod that can read the secret. */
export function refuseLegacy(claims: JsonObject): void {
  if (LEGACY in claims || !('kubernetes.io' in claims)) {
    throw new AimsError(
      'attestation.unsupported',
      'not a projected token of a service account, or one of the legacy kind',
    )
  }
}

/**
 * Reads `system:serviceaccount:NAMESPACE:NAME`: exactly four parts (N30).
 *
 * @throws {@link AimsError} `attestation.malformed`
 */
export function parseServiceAccount(user: string): { readonly namespace: string; readonly serviceAccount: string } {
  const [system, kind, namespace = '', serviceAccount = '', ...more] = user.split(':')
  const isAccount = system === 'system' && kind === 'serviceaccount' && more.length === 0
  if (!isAccount || namespace === '' || serviceAccount === '') {
    throw new AimsError('attestation.malformed', 'the user is not a service account')
  }
  return { namespace, serviceAccount }
}

/** Node members for what is known. */
export function nodeOf(
  nodeName: string | undefined,
  nodeUid: string | undefined,
): Pick<KubernetesIdentity, 'nodeName' | 'nodeUid'> {
  return {
    ...(nodeName === undefined ? {} : { nodeName }),
    ...(nodeUid === undefined ? {} : { nodeUid }),
  }
}
