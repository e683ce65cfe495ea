// An API server of Kubernetes on loopback, over TLS: TokenReview, TokenRequest, pods and nodes, with the checks that the
// real one makes on tokens.
import { randomUUID, verify } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer } from 'node:https'
import { encodePem } from '../../packages/aims/src/base/pem.ts'
import {
  basicConstraints,
  buildCa,
  buildCertificate,
  extendedKeyUsage,
  keyUsage,
  SERVER_AUTH,
  subjectAltName,
  testKey,
  tlv,
} from './certificates.ts'
import { answer, listen, type RunningService, readBody } from './platform-services.ts'
import { type Claims, platformKey } from './platform-tokens.ts'
import { forge } from './tokens.ts'

interface Metadata {
  readonly name: string
  readonly uid: string
  readonly namespace?: string
  readonly labels?: { readonly [key: string]: string }
}

export interface FakePod {
  readonly kind: 'Pod'
  readonly apiVersion: 'v1'
  readonly metadata: Metadata
  readonly spec: { readonly nodeName: string; readonly serviceAccountName: string }
  readonly status: { readonly phase: string }
}

export interface FakeNode {
  readonly kind: 'Node'
  readonly apiVersion: 'v1'
  readonly metadata: Metadata
  readonly status: { readonly addresses: readonly { readonly type: string; readonly address: string }[] }
}

/** The `status` of a TokenReview. */
export interface ReviewStatus {
  readonly authenticated?: boolean
  readonly error?: string
  readonly audiences?: readonly string[]
  readonly user?: unknown
}

interface TokenClaims {
  readonly aud: readonly string[]
  readonly exp: number
  readonly jti: string
  readonly sub: string
  readonly 'kubernetes.io': { readonly namespace: string; readonly pod: Metadata; readonly node: Metadata }
}

interface Request {
  readonly kind: string
  readonly spec: {
    readonly token: string
    readonly audiences: readonly string[]
    readonly expirationSeconds: number
    readonly boundObjectRef: { readonly name: string; readonly uid: string }
  }
}

export interface FakeCluster extends RunningService {
  /** PEM of its certificate authority. */
  readonly ca: string
  readonly issuer: string
  readonly pods: Map<string, FakePod>
  readonly nodes: Map<string, FakeNode>
  /** Answers of TokenReview pass through here: to make an API server that is wrong or old. */
  distort: (status: ReviewStatus) => ReviewStatus
  /** Makes a pod with one service account, and what its volume holds. */
  addPod(namespace: string, name: string, serviceAccount: string): { readonly uid: string; readonly token: string }
  /** Signs a token as the API server does. */
  sign(claims: Claims): string
}

const API_AUDIENCE = 'https://kubernetes.default.svc'
const EXTRA = 'authentication.kubernetes.io/'
const JSON_TYPE = { 'content-type': 'application/json' }

/** @param reviewer - The bearer token of whoever may review tokens and read pods and nodes. */
export async function startCluster(reviewer: string, now: () => number): Promise<FakeCluster> {
  const seconds = Math.floor(now())
  const dates = { notBefore: seconds - 3600, notAfter: seconds + 86_400 }
  const authority = buildCa({ subject: 'kubernetes', ...dates })
  const key = testKey()
  const certificate = buildCertificate({
    issuer: authority,
    key,
    subject: 'kube-apiserver',
    ...dates,
    extensions: {
      basicConstraints: basicConstraints(false),
      keyUsage: keyUsage(['digitalSignature']),
      extendedKeyUsage: extendedKeyUsage(SERVER_AUTH),
      subjectAltName: subjectAltName([tlv(0x87, Buffer.of(127, 0, 0, 1))], false),
    },
  })
  const pods = new Map<string, FakePod>()
  const nodes = new Map<string, FakeNode>()
  const sign = (claims: Claims): string => forge({ alg: 'RS256', kid: platformKey.kid }, claims, platformKey)
  const tokenFor = (
    namespace: string,
    serviceAccount: string,
    pod: FakePod,
    audiences: readonly string[],
    lifetime: number,
  ) => {
    const at = Math.floor(now())
    const node = nodes.get(pod.spec.nodeName)
    return sign({
      iss: API_AUDIENCE,
      aud: audiences,
      iat: at,
      nbf: at,
      exp: at + lifetime,
      jti: randomUUID(),
      sub: `system:serviceaccount:${namespace}:${serviceAccount}`,
      'kubernetes.io': {
        namespace,
        node: { name: node?.metadata.name, uid: node?.metadata.uid },
        pod: { name: pod.metadata.name, uid: pod.metadata.uid },
        serviceaccount: { name: serviceAccount, uid: randomUUID() },
      },
    })
  }

  // The user of a token, or undefined: what the API server itself finds out.
  const authenticate = (
    token: string,
  ):
    | {
        claims: TokenClaims
        user: { readonly username: string; readonly groups: readonly string[]; readonly extra: object }
      }
    | undefined => {
    const [header = '', payload = '', signature = ''] = token.split('.')
    const isSigned = verify(
      'sha256',
      Buffer.from(`${header}.${payload}`),
      platformKey.publicKey,
      Buffer.from(signature, 'base64url'),
    )
    if (!isSigned) return undefined
    const claims: TokenClaims = JSON.parse(Buffer.from(payload, 'base64url').toString())
    const { pod, node, namespace } = claims['kubernetes.io']
    const current = pods.get(`${namespace}/${pod.name}`)
    if (claims.exp <= now() || current?.metadata.uid !== pod.uid) return undefined
    const extra = {
      [`${EXTRA}credential-id`]: [`JTI=${claims.jti}`],
      [`${EXTRA}pod-name`]: [pod.name],
      [`${EXTRA}pod-uid`]: [pod.uid],
      [`${EXTRA}node-name`]: [node.name],
      [`${EXTRA}node-uid`]: [node.uid],
    }
    const groups = ['system:serviceaccounts', `system:serviceaccounts:${namespace}`, 'system:authenticated']
    return { claims, user: { username: claims.sub, groups, extra } }
  }

  const cluster: { distort: (status: ReviewStatus) => ReviewStatus } = { distort: (status) => status }
  const refuse = (response: ServerResponse, code: number): void =>
    answer(response, code, JSON.stringify({ kind: 'Status', apiVersion: 'v1', status: 'Failure', code }), JSON_TYPE)

  const handle = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const bearer = request.headers.authorization?.replace('Bearer ', '') ?? ''
    const isReviewer = bearer === reviewer
    const caller = isReviewer ? undefined : authenticate(bearer)
    if (!isReviewer && caller?.claims.aud.includes(API_AUDIENCE) !== true) return refuse(response, 401)
    const path = request.url ?? ''
    const body: Request | undefined = request.method === 'POST' ? JSON.parse(await readBody(request)) : undefined
    const send = (status: number, object: object): void => answer(response, status, JSON.stringify(object), JSON_TYPE)

    if (path === '/apis/authentication.k8s.io/v1/tokenreviews' && body?.kind === 'TokenReview') {
      if (!isReviewer) return refuse(response, 403)
      const { token, audiences } = body.spec
      const found = authenticate(token)
      const common = found?.claims.aud.filter((one) => audiences.includes(one)) ?? []
      const status =
        found === undefined || common.length === 0
          ? { user: {}, error: '[invalid bearer token]' }
          : { authenticated: true, user: found.user, audiences: common }
      return send(201, {
        kind: 'TokenReview',
        apiVersion: 'authentication.k8s.io/v1',
        metadata: {},
        status: cluster.distort(status),
      })
    }
    const [, tokenNamespace = '', account = ''] =
      /^\/api\/v1\/namespaces\/([^/]+)\/serviceaccounts\/([^/]+)\/token$/.exec(path) ?? []
    if (account !== '' && body?.kind === 'TokenRequest') {
      const isOwn = caller?.user.username === `system:serviceaccount:${tokenNamespace}:${account}`
      const { audiences, expirationSeconds, boundObjectRef } = body.spec
      const pod = pods.get(`${tokenNamespace}/${boundObjectRef.name}`)
      if (!isOwn) return refuse(response, 403)
      if (expirationSeconds < 600) return refuse(response, 422)
      if (pod === undefined || pod.metadata.uid !== boundObjectRef.uid) return refuse(response, 409)
      const token = tokenFor(tokenNamespace, account, pod, audiences, expirationSeconds)
      return send(201, {
        ...body,
        status: { token, expirationTimestamp: new Date((now() + expirationSeconds) * 1000) },
      })
    }
    const [, podNamespace, podName] = /^\/api\/v1\/namespaces\/([^/]+)\/pods\/([^/]+)$/.exec(path) ?? []
    const [, nodeName = ''] = /^\/api\/v1\/nodes\/([^/]+)$/.exec(path) ?? []
    if (!isReviewer) return refuse(response, 403)
    const object = nodeName === '' ? pods.get(`${podNamespace}/${podName}`) : nodes.get(nodeName)
    return object === undefined ? refuse(response, 404) : send(200, object)
  }

  const requests: string[] = []
  const server = createServer(
    { key: key.privateKey.export({ type: 'pkcs8', format: 'pem' }), cert: encodePem('CERTIFICATE', certificate.der) },
    (request, response) => {
      requests.push(`${request.method} ${request.url}`)
      handle(request, response).catch(() => refuse(response, 500))
    },
  )
  const running = await listen(server, 'https', requests)
  nodes.set('node-1', {
    kind: 'Node',
    apiVersion: 'v1',
    metadata: { name: 'node-1', uid: randomUUID(), labels: { 'topology.kubernetes.io/zone': 'a' } },
    status: {
      addresses: [
        { type: 'Hostname', address: 'node-1' },
        { type: 'InternalIP', address: '10.0.0.7' },
      ],
    },
  })
  return Object.assign(cluster, running, {
    ca: encodePem('CERTIFICATE', authority.der),
    issuer: API_AUDIENCE,
    pods,
    nodes,
    sign,
    addPod(namespace: string, name: string, serviceAccount: string) {
      const uid = randomUUID()
      const pod: FakePod = {
        kind: 'Pod',
        apiVersion: 'v1',
        metadata: { name, namespace, uid, labels: { app: name } },
        spec: { nodeName: 'node-1', serviceAccountName: serviceAccount },
        status: { phase: 'Running' },
      }
      pods.set(`${namespace}/${name}`, pod)
      return { uid, token: tokenFor(namespace, serviceAccount, pod, [API_AUDIENCE], 3607) }
    },
  })
}
