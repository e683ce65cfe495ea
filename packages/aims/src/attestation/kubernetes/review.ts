import { AimsError } from '../../base/errors.ts'
import { isJsonObject, type JsonObject, type JsonValue } from '../../base/json.ts'
import { type KubernetesClaims, type KubernetesIdentity, nodeOf, parseServiceAccount } from './claims.ts'

/** What the API server is asked about a token: the `spec` of a TokenReview. */
export interface TokenReviewRequest {
  readonly token: string
  readonly audiences: readonly string[]
}

/**
 * Asks the API server of one cluster, with a credential of the asker's own: the token under review is never used to ask.
 * Answers are the objects as the API server sent them; `undefined` when there is no such object. Throws an `AimsError`
 * `attestation.unconfirmed` when there is no answer.
 */
export interface KubernetesApi {
  /** Creates a TokenReview. */
  review(request: TokenReviewRequest): Promise<JsonValue | undefined>
  findPod(namespace: string, name: string): Promise<JsonValue | undefined>
  findNode(name: string): Promise<JsonValue | undefined>
}

type Reviewed = Omit<KubernetesClaims, 'cluster'>

/**
 * Has the API server confirm a token for one audience, and looks at its pod and node. The token's own claims must say the
 * same as the API server.
 *
 * @throws {@link AimsError} `attestation.unconfirmed`, `.binding_mismatch`, `.malformed`, `.inconsistent`, `.unsupported`
 * @see https://kubernetes.io/docs/reference/kubernetes-api/authentication-resources/token-review-v1/
 */
export async function reviewToken(
  api: KubernetesApi,
  { token, audience, claimed }: { token: string; audience: string; claimed: KubernetesIdentity },
): Promise<Reviewed> {
  const { user } = readReview(await api.review({ token, audiences: [audience] }), audience)
  const identity = readUser(user)
  requireSame(claimed, identity)
  const pod = readObject(await api.findPod(identity.namespace, identity.podName), 'Pod', identity.podUid)
  const nodeName = podNode(pod, identity)
  const node = readObject(await api.findNode(nodeName), 'Node', identity.nodeUid)
  return {
    ...identity,
    ...nodeOf(nodeName, textOf(metadata(node).uid)),
    ...nodeAddress(node),
    isReviewed: true,
    podLabels: labelsOf(pod),
    nodeLabels: labelsOf(node),
  }
}

function readReview(answer: JsonValue | undefined, audience: string): { readonly user: JsonObject } {
  if (!isJsonObject(answer) || answer.kind !== 'TokenReview' || answer.apiVersion !== 'authentication.k8s.io/v1') {
    throw unconfirmed('the answer is not a TokenReview')
  }
  const { status } = answer
  if (!isJsonObject(status)) throw unconfirmed('the TokenReview has no status')
  if (status.authenticated !== true || (status.error !== undefined && status.error !== '')) {
    throw unconfirmed('it does not accept the token, or not any more')
  }
  // An API server that knows nothing of audiences answers none, and then has not compared any (N30).
  if (!Array.isArray(status.audiences) || !status.audiences.includes(audience)) {
    throw new AimsError('attestation.binding_mismatch', 'the API server did not confirm the audience of the token')
  }
  if (!isJsonObject(status.user)) throw unconfirmed('the TokenReview names no user')
  return { user: status.user }
}

function readUser({ username, extra }: JsonObject): KubernetesIdentity {
  const { namespace, serviceAccount } = parseServiceAccount(textOf(username) ?? '')
  const more = isJsonObject(extra) ? extra : {}
  const podName = onlyValue(more, 'pod-name')
  const podUid = onlyValue(more, 'pod-uid')
  if (podName === undefined || podUid === undefined) {
    throw new AimsError('attestation.unsupported', 'the API server does not say to which pod the token belongs')
  }
  return {
    namespace,
    serviceAccount,
    podName,
    podUid,
    ...nodeOf(onlyValue(more, 'node-name'), onlyValue(more, 'node-uid')),
  }
}

function onlyValue(extra: JsonObject, name: string): string | undefined {
  const values = extra[`authentication.kubernetes.io/${name}`]
  if (values === undefined) return undefined
  const [value, second] = Array.isArray(values) ? values : []
  if (typeof value !== 'string' || value === '' || second !== undefined)
    throw unconfirmed('an extra of the user is not one text')
  return value
}

function requireSame(claimed: KubernetesIdentity, reviewed: KubernetesIdentity): void {
  const isSame = (['namespace', 'serviceAccount', 'podName', 'podUid', 'nodeName', 'nodeUid'] as const).every(
    (name) => claimed[name] === undefined || reviewed[name] === undefined || claimed[name] === reviewed[name],
  )
  if (!isSame) throw new AimsError('attestation.inconsistent', 'the API server says something else than the token')
}

// A pod that was made again under the same name has another uid (N30).
function readObject(answer: JsonValue | undefined, kind: 'Pod' | 'Node', uid: string | undefined): JsonObject {
  if (answer === undefined) throw unconfirmed(`the ${kind} of the token is gone`)
  if (!isJsonObject(answer) || (answer.kind !== undefined && answer.kind !== kind)) {
    throw unconfirmed(`the answer is not a ${kind}`)
  }
  const own = textOf(metadata(answer).uid)
  if (own === undefined) throw unconfirmed(`the ${kind} has no uid`)
  if (uid !== undefined && own !== uid) {
    throw new AimsError('attestation.inconsistent', `the ${kind} of the token was replaced by another of the same name`)
  }
  return answer
}

function podNode(pod: JsonObject, identity: KubernetesIdentity): string {
  const spec = isJsonObject(pod.spec) ? pod.spec : {}
  const status = isJsonObject(pod.status) ? pod.status : {}
  const nodeName = textOf(spec.nodeName)
  if (status.phase !== 'Running' || nodeName === undefined) {
    throw unconfirmed('the pod of the token does not run')
  }
  const isSame =
    textOf(spec.serviceAccountName) === identity.serviceAccount &&
    metadata(pod).name === identity.podName &&
    metadata(pod).namespace === identity.namespace &&
    (identity.nodeName ?? nodeName) === nodeName
  if (!isSame) throw new AimsError('attestation.inconsistent', 'the pod is another one than the token says')
  return nodeName
}

function nodeAddress(node: JsonObject): { readonly nodeIp?: string } {
  const status = isJsonObject(node.status) ? node.status : {}
  const addresses: readonly JsonValue[] = Array.isArray(status.addresses) ? status.addresses : []
  const internal = addresses.filter(isJsonObject).find(({ type }) => type === 'InternalIP')
  const nodeIp = textOf(internal?.address)
  return nodeIp === undefined ? {} : { nodeIp }
}

function labelsOf(object: JsonObject): { readonly [key: string]: string } {
  const { labels } = metadata(object)
  const pairs = Object.entries(isJsonObject(labels) ? labels : {})
  return Object.fromEntries(pairs.filter((pair): pair is [string, string] => textOf(pair[1]) !== undefined))
}

function metadata(object: JsonObject): JsonObject {
  return isJsonObject(object.metadata) ? object.metadata : {}
}

function textOf(value: JsonValue | undefined): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined
}

function unconfirmed(rule: string): AimsError {
  return new AimsError('attestation.unconfirmed', `the API server: ${rule}`)
}
