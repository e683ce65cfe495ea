import { isIPv4 } from 'node:net'
import { AimsError } from '../../base/errors.ts'
import { isJsonObject, type JsonObject, type JsonValue } from '../../base/json.ts'
import { outbound } from '../../base/outbound.ts'
import { type Exchange, exchangeThrough } from '../exchange.ts'
import type { KubernetesApi } from '../kubernetes/review.ts'
import { askPlatform, type Platform, readJsonAnswer } from './ask-platform.ts'

/** Which API server, and as whom. */
export interface KubernetesApiOptions {
  /** E.g. `https://10.96.0.1:443`. */
  readonly server: string
  /** {@link kubernetesExchange} for this server and its certificate authority. */
  readonly exchange: Exchange
  /** The caller's own bearer token, read anew for each request: the cluster replaces the file. */
  token(): string
}

/** A token to be made for a service account, bound to one of its pods. */
export interface KubernetesTokenRequest {
  readonly namespace: string
  readonly serviceAccount: string
  readonly pod: { readonly name: string; readonly uid: string }
  readonly audience: string
  /** Seconds, 600 at least. Default 600. */
  readonly lifetime?: number
}

/** What AIMS asks of an API server. */
export interface KubernetesApiClient extends KubernetesApi {
  /** Needs the right to create `serviceaccounts/token`. @throws {@link AimsError} `attestation.collection_failed` */
  createToken(request: KubernetesTokenRequest): Promise<string>
}

const NAMED = 'the Kubernetes API server'
const REVIEWER: Platform = { name: NAMED, code: 'attestation.unconfirmed' }
const ISSUER: Platform = { name: NAMED, code: 'attestation.collection_failed' }
const NAME = /^[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?$/
const MAX_ANSWER = 4 * 1024 * 1024
const AUTHENTICATION = 'authentication.k8s.io/v1'

/**
 * Makes a client for the few requests that attestation makes: TokenReview, TokenRequest, one pod, one node. Redirects are
 * not followed.
 *
 * @throws TypeError when the address is not https
 * @see https://kubernetes.io/docs/reference/kubernetes-api/authentication-resources/
 */
export function kubernetesApiClient(options: KubernetesApiOptions): KubernetesApiClient {
  const { exchange, server, token } = options
  const { origin } = serverUrl(server)

  const ask = async (
    path: string,
    platform: Platform,
    statuses: readonly number[],
    body?: object,
  ): Promise<JsonObject | undefined> => {
    const headers = { authorization: `Bearer ${token().trim()}`, accept: 'application/json' }
    const request =
      body === undefined
        ? ({ method: 'GET', headers } as const)
        : ({
            method: 'POST',
            headers: { ...headers, 'content-type': 'application/json' },
            body: JSON.stringify(body),
          } as const)
    const url = `${origin}${path}`
    const answer = await askPlatform(exchange, { ...request, url }, platform, statuses)
    return answer.status === 404 ? undefined : readJsonAnswer(answer.body, platform)
  }
  const find = (path: string): Promise<JsonValue | undefined> => ask(path, REVIEWER, [200, 404])

  return {
    review: (spec) => {
      const body = { apiVersion: AUTHENTICATION, kind: 'TokenReview', spec }
      return ask(`/apis/${AUTHENTICATION}/tokenreviews`, REVIEWER, [200, 201], body)
    },
    findPod: async (namespace, name) => find(`/api/v1/namespaces/${segment(namespace)}/pods/${segment(name)}`),
    findNode: async (name) => find(`/api/v1/nodes/${segment(name)}`),
    async createToken({ namespace, serviceAccount, pod, audience, lifetime = 600 }) {
      const path = `/api/v1/namespaces/${segment(namespace)}/serviceaccounts/${segment(serviceAccount)}/token`
      const boundObjectRef = { apiVersion: 'v1', kind: 'Pod', ...pod }
      const spec = { audiences: [audience], expirationSeconds: lifetime, boundObjectRef }
      const body = { apiVersion: AUTHENTICATION, kind: 'TokenRequest', spec }
      const answer = await ask(path, ISSUER, [200, 201], body)
      const status = isJsonObject(answer?.status) ? answer.status : {}
      if (typeof status.token === 'string') return status.token
      throw new AimsError(ISSUER.code, `${ISSUER.name} does not answer with a token`)
    },
  }
}

/**
 * An exchange with one API server through the vetted fetcher: no other host is reached, and only this authority counts.
 *
 * @param networks - Where the server may be, e.g. `['10.0.0.0/8']`. Default: its own address, or the public internet when
 *   it has a name.
 * @throws TypeError when the address is not https
 */
export function kubernetesExchange(server: string, ca: string, networks?: readonly string[]): Exchange {
  const { hostname, host } = serverUrl(server)
  const own = isIPv4(hostname) ? [`${hostname}/32`] : []
  const purposes = { kubernetes: { hosts: [host], authorities: ca, networks: networks ?? own, maxBody: MAX_ANSWER } }
  return exchangeThrough(outbound({ purposes }), 'kubernetes')
}

function serverUrl(server: string): URL {
  const url = URL.canParse(server) ? new URL(server) : undefined
  if (url?.protocol !== 'https:') throw new TypeError('the server must be an https address')
  return url
}

// A name in a path: no dots alone, no slash, no percent sign.
function segment(name: string): string {
  if (!NAME.test(name)) throw new AimsError('attestation.malformed', 'not a name of Kubernetes')
  return name
}
