import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { AimsError, refuseAs } from '../../base/errors.ts'
import { decodeUnverifiedJws } from '../../base/jose.ts'
import { kubernetesClaims } from '../kubernetes/claims.ts'
import { tokenBytes } from './ask-platform.ts'
import type { EvidenceCollector } from './collector.ts'
import { type KubernetesApiClient, kubernetesApiClient, kubernetesExchange } from './kubernetes-api.ts'

/** Where a pod finds its cluster. */
export interface InClusterOptions {
  /** Has KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT in every pod. */
  readonly env: { readonly [name: string]: string | undefined }
  /** With `token` and `ca.crt`. Default `/var/run/secrets/kubernetes.io/serviceaccount`. */
  readonly directory?: string
}

/** How a pod shows who it is. */
export interface KubernetesCollectorOptions extends InClusterOptions {
  /** The name under which the AIMS server knows the cluster. Absent: it knows one only. */
  readonly cluster?: string
  /**
   * File of a projected volume with an audience of its own, for service accounts that may not create tokens. It answers no
   * challenge, so the server must accept that audience.
   */
  readonly projectedToken?: string
}

const DIRECTORY = '/var/run/secrets/kubernetes.io/serviceaccount'
const MAX_TOKEN = 16_384
// Where clusters have their service network, when its address is IPv6 and so goes by the name of the service.
const SERVICE_NETWORKS = ['fc00::/7', '2000::/3']

/**
 * Makes a client for the API server of the cluster this pod runs in, as the pod's own service account. `undefined` outside
 * of a cluster.
 *
 * @throws {@link AimsError} `attestation.collection_failed`
 */
export function inClusterApi({ env, directory = DIRECTORY }: InClusterOptions): KubernetesApiClient | undefined {
  const { KUBERNETES_SERVICE_HOST: host = '', KUBERNETES_SERVICE_PORT: port = '443' } = env
  if (host === '') return undefined
  const isIpv6 = host.includes(':')
  const server = `https://${isIpv6 ? 'kubernetes.default.svc' : host}:${port}`
  const ca = readFile(join(directory, 'ca.crt'))
  const exchange = kubernetesExchange(server, ca, isIpv6 ? SERVICE_NETWORKS : undefined)
  return kubernetesApiClient({ server, exchange, token: () => readFile(join(directory, 'token')) })
}

/**
 * Makes the collector of `kubernetes`: it asks the API server for a token of this pod with the audience of the challenge.
 * Who this pod is comes from the token in its own directory; its service account needs the right to create
 * `serviceaccounts/token`. Outside of a cluster there is no evidence.
 */
export function kubernetesCollector(options: KubernetesCollectorOptions): EvidenceCollector {
  const { cluster, directory = DIRECTORY, projectedToken } = options
  const named = (token: string): Uint8Array =>
    Buffer.from(cluster === undefined ? token : JSON.stringify({ cluster, token }))
  return {
    type: 'kubernetes',
    async collect({ audience }) {
      if (projectedToken !== undefined) return named(readToken(projectedToken))
      const api = inClusterApi(options)
      if (api === undefined) return undefined
      const request = { ...podOf(readToken(join(directory, 'token'))), audience }
      const token = tokenBytes(await api.createToken(request), { name: 'the API server' })
      return named(Buffer.from(token).toString())
    },
  }
}

function podOf(token: string): { namespace: string; serviceAccount: string; pod: { name: string; uid: string } } {
  const { namespace, serviceAccount, podName, podUid } = refuseAs(
    'attestation.collection_failed',
    'the token of the pod does not say which pod it is',
    () => kubernetesClaims(decodeUnverifiedJws(token, { maxLength: MAX_TOKEN }).claims),
  )
  return { namespace, serviceAccount, pod: { name: podName, uid: podUid } }
}

function readToken(path: string): string {
  return Buffer.from(tokenBytes(readFile(path).trim(), { name: 'a file of the pod' })).toString()
}

function readFile(path: string): string {
  try {
    return readFileSync(path, 'latin1')
  } catch (cause) {
    throw new AimsError('attestation.collection_failed', 'a file of the service account cannot be read', { cause })
  }
}
