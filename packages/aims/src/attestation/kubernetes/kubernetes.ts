import { asBuffer } from '../../base/bytes.ts'
import { AimsError, refuseAs } from '../../base/errors.ts'
import { parseJsonObject } from '../../base/json.ts'
import { checkBoundAudience, type ExpectedBinding } from '../binding.ts'
import type { CollateralFile, CollateralSource } from '../collateral.ts'
import type { Authenticated, EvidenceContext, EvidenceVerifier } from '../evidence.ts'
import { jwksCollateral } from '../token/collateral.ts'
import { attributesOf, selectorsOf, tokenEvidence } from '../token/evidence.ts'
import { issuerKeys } from '../token/issuer-keys.ts'
import {
  believe,
  MAX_TOKEN,
  type PlatformToken,
  parsePlatformToken,
  requireIssuer,
  requireTimes,
  type TokenProfile,
  type UnverifiedPlatformToken,
  verifyPlatformToken,
} from '../token/platform-token.ts'
import { type KubernetesClaims, kubernetesClaims, refuseLegacy } from './claims.ts'
import { appraiseKubernetes, type KubernetesPolicy, readKubernetesPolicy } from './policy.ts'
import { type KubernetesApi, reviewToken } from './review.ts'

/** How tokens of one cluster are verified: by its API server, or offline by its keys. */
export interface KubernetesCluster {
  /**
   * Exactly what the API server writes into `iss` (`--service-account-issuer`). Absent: whatever the keys of the cluster
   * have signed, with a warning.
   */
  readonly issuer?: string
  /** Asks the API server. Absent: the keys in `kubernetes/<cluster>/jwks.json` are enough, and nobody notices deletions. */
  readonly api?: KubernetesApi
  /**
   * Accepts tokens with this audience beside those for a challenge: projected volumes have a fixed one. They bind to no
   * key, so the result says `binding: none`.
   */
  readonly acceptUnboundAudience?: string
  /** Seconds. Longer-lived tokens are refused. Default 86,400. */
  readonly maxTokenLifetime?: number
}

/** Which clusters are trusted. */
export interface KubernetesTrust {
  /** By a name of the operator's choice: small letters, digits, `-` and `.`. */
  readonly clusters: { readonly [name: string]: KubernetesCluster }
  /** Has `kubernetes/<cluster>/jwks.json`, what the API server publishes at `/openid/v1/jwks`, for clusters without `api`. */
  readonly collateral: CollateralSource
}

const ALGORITHMS: TokenProfile['algorithms'] = ['RS256', 'ES256', 'ES384', 'ES512']
const MAX_LIFETIME = 86_400
const CLUSTER = /^[a-z0-9](?:[a-z0-9.-]{0,62}[a-z0-9])?$/
const MAX_EVIDENCE = MAX_TOKEN + 256

/**
 * Verifies tokens of Kubernetes service accounts that are bound to a pod. Evidence: the token where one cluster is
 * configured, else JSON `{"cluster": "prod", "token": "eyJ..."}`. The name chooses among the configured clusters; what the
 * token says about its issuer chooses nothing.
 *
 * With `api` the API server confirms the token, and pod and node are looked at. Without, signature and times are all
 * there is: a pod that was deleted passes until its token ends.
 *
 * @throws TypeError when a cluster has an unusable name
 * @see https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/
 */
export function kubernetesVerifier(trust: KubernetesTrust): EvidenceVerifier<KubernetesClaims, KubernetesPolicy> {
  const names = Object.keys(trust.clusters)
  if (names.length === 0 || !names.every((name) => CLUSTER.test(name) && !name.includes('..'))) {
    throw new TypeError('clusters need names of small letters, digits, dots and hyphens')
  }
  return {
    type: 'kubernetes',
    maxSize: MAX_EVIDENCE,
    authenticate: (evidence, context) => authenticate(evidence, trust, context),
    readPolicy: readKubernetesPolicy,
    appraise: appraiseKubernetes,
  }
}

/** Makes a collateral source of loose files: JWK Sets and public keys in PEM, for any cluster. */
export function kubernetesCollateral(files: readonly CollateralFile[]): CollateralSource {
  return jwksCollateral(/^kubernetes\/[a-z0-9.-]+\/jwks\.json$/, files)
}

async function authenticate(
  evidence: Uint8Array,
  trust: KubernetesTrust,
  { now, expected }: EvidenceContext,
): Promise<Authenticated<KubernetesClaims>> {
  const { name, bytes } = readEvidence(evidence, trust)
  const cluster = trust.clusters[name] as KubernetesCluster
  const profile = { algorithms: ALGORITHMS, maxLifetime: cluster.maxTokenLifetime ?? MAX_LIFETIME }
  const unverified = parsePlatformToken(bytes, profile, refuseLegacy)
  const isFor = () => checkAudience(unverified.audience, cluster, expected)
  // A token for somebody else is not even shown to the API server.
  if (cluster.api !== undefined) isFor()
  const verified =
    cluster.api === undefined
      ? verifyOffline(unverified, name, trust, profile, now)
      : await verifyByReview(unverified, cluster, cluster.api, profile, now)
  const claims = { cluster: name, ...verified.claims }
  return tokenEvidence(verified.token, {
    type: 'kubernetes',
    claims,
    attested: `kubernetes:${name}:${claims.podUid}`,
    selectors: kubernetesSelectors(claims),
    attributes: attributesOf({
      cluster: name,
      namespace: claims.namespace,
      'service-account': claims.serviceAccount,
      'pod-name': claims.podName,
      'pod-uid': claims.podUid,
      'node-name': claims.nodeName,
    }),
    warnings: warningsOf(verified.token, cluster),
    isBound: isFor(),
    now,
  })
}

function warningsOf({ issuedAt, expiresAt }: PlatformToken, { issuer }: KubernetesCluster): readonly string[] {
  return [
    ...(issuer === undefined ? ['the issuer of the cluster is not configured'] : []),
    ...(expiresAt - issuedAt > MAX_LIFETIME ? ['the token lives longer than a day'] : []),
  ]
}

interface Verified {
  readonly token: PlatformToken
  readonly claims: Omit<KubernetesClaims, 'cluster'>
}

function verifyOffline(
  unverified: UnverifiedPlatformToken,
  name: string,
  { clusters, collateral }: KubernetesTrust,
  profile: TokenProfile,
  now: number,
): Verified {
  const keys = issuerKeys(collateral, `kubernetes/${name}/jwks.json`)
  const issuer = clusters[name]?.issuer ?? unverified.issuer
  const token = verifyPlatformToken(unverified, { issuer, keys, profile, now })
  return { token, claims: { ...kubernetesClaims(token.claims), isReviewed: false, podLabels: {}, nodeLabels: {} } }
}

async function verifyByReview(
  unverified: UnverifiedPlatformToken,
  { issuer }: KubernetesCluster,
  api: KubernetesApi,
  profile: TokenProfile,
  now: number,
): Promise<Verified> {
  if (issuer !== undefined) requireIssuer(unverified, issuer)
  requireTimes(unverified, profile, now)
  const { jws, audience } = unverified
  const claims = await reviewToken(api, { token: jws.token, audience, claimed: kubernetesClaims(jws.claims) })
  return { token: believe(unverified), claims }
}

function checkAudience(audience: string, cluster: KubernetesCluster, expected: ExpectedBinding): boolean {
  const { acceptUnboundAudience } = cluster
  const isForChallenge = expected.kind === 'challenge'
  if (isForChallenge && acceptUnboundAudience !== undefined && audience === acceptUnboundAudience) return false
  return checkBoundAudience('kubernetes', audience, expected)
}

function readEvidence(
  evidence: Uint8Array,
  { clusters }: KubernetesTrust,
): { readonly name: string; readonly bytes: Uint8Array } {
  const [only = '', ...others] = Object.keys(clusters)
  if (asBuffer(evidence).toString('latin1', 0, 1) !== '{') {
    if (others.length > 0) throw new AimsError('attestation.issuer_unknown', 'the evidence does not name its cluster')
    return { name: only, bytes: evidence }
  }
  const { cluster, token, ...rest } = refuseAs('attestation.malformed', 'the evidence is not strict JSON', () =>
    parseJsonObject(evidence),
  )
  const isWhole = typeof cluster === 'string' && typeof token === 'string' && Object.keys(rest).length === 0
  if (!isWhole) throw new AimsError('attestation.malformed', 'the evidence is cluster and token')
  if (!Object.hasOwn(clusters, cluster)) {
    throw new AimsError('attestation.issuer_unknown', 'the evidence is of a cluster that is not configured')
  }
  return { name: cluster, bytes: Buffer.from(token) }
}

function kubernetesSelectors(claims: KubernetesClaims): readonly string[] {
  const { cluster, namespace, serviceAccount, podName, podUid, nodeName, nodeUid, nodeIp } = claims
  return [
    ...selectorsOf('k8s_psat', {
      cluster,
      agent_ns: namespace,
      agent_sa: serviceAccount,
      agent_pod_name: podName,
      agent_pod_uid: podUid,
      agent_node_name: nodeName,
      agent_node_uid: nodeUid,
      agent_node_ip: nodeIp,
    }),
    ...selectorsOf('k8s', {
      cluster,
      ns: namespace,
      sa: serviceAccount,
      'pod-name': podName,
      'pod-uid': podUid,
      'node-name': nodeName,
    }),
    ...labelSelectors(['k8s_psat:agent_pod_label', 'k8s:pod-label'], claims.podLabels),
    ...labelSelectors(['k8s_psat:agent_node_label'], claims.nodeLabels),
  ]
}

function labelSelectors(prefixes: readonly string[], labels: KubernetesClaims['podLabels']): readonly string[] {
  return Object.entries(labels).flatMap(([key, value]) => prefixes.map((prefix) => `${prefix}:${key}:${value}`))
}
