import { type ClientRequest, type IncomingMessage, type RequestOptions, request as requestHttp } from 'node:http'
import { request as requestHttps } from 'node:https'
import type { AxiosInstance, InternalAxiosRequestConfig } from 'axios'
import type { WitSource } from '../credentials/wit/source.ts'
import { holdResponse } from './held-response.ts'
import { fieldPairs, type OutgoingRequest } from './outgoing.ts'
import { type OutgoingProof, type ProvingOptions, prover } from './prover.ts'

export type { ProvingOptions } from './prover.ts'
export type { HttpSignatureOptions } from './signed-exchange.ts'

/**
 * Makes an instance of axios prove who sends each request, for its method, target and body: `prove(axios.create(), wits,
 * { audience })`. Redirects are not followed: a proof is for one target. With `httpSignature` a response is handed on when all
 * of it is there and was judged; then axios speaks HTTP/1.1 over node:http.
 *
 * @throws TypeError, at the request, for a body that is neither text nor bytes after it was transformed
 */
export function prove(instance: AxiosInstance, wits: WitSource, options: ProvingOptions): AxiosInstance {
  const proving = prover(wits, options)
  instance.interceptors.request.use((config) => {
    if (config.auth !== undefined) throw new TypeError('auth would take the place of the proof')
    const transforms = [config.transformRequest ?? []].flat().filter((transform) => transform !== attach)
    const proven = { ...config, maxRedirects: 0, transformRequest: [...transforms, attach] }
    if (options.httpSignature === undefined) return proven
    requireNodeHttp(config)
    return { ...proven, adapter: 'http', transport: new SigningTransport(proving) }
  })
  // The last to transform the body sees it as it will be sent.
  function attach(
    this: InternalAxiosRequestConfig,
    data: unknown,
    headers: InternalAxiosRequestConfig['headers'],
  ): unknown {
    const body = data instanceof ArrayBuffer ? new Uint8Array(data) : (data ?? undefined)
    if (body !== undefined && typeof body !== 'string' && !(body instanceof Uint8Array)) {
      throw new TypeError('a proof names the whole body: give it as text or bytes')
    }
    const method = (this.method ?? 'get').toUpperCase()
    const request = { method, url: new URL(instance.getUri(this)), body }
    if (this.transport instanceof SigningTransport) this.transport.expect(request)
    else headers.set(proving({ ...request, headers: fieldPairs(Object.entries(headers.toJSON())) }).fields)
    return data
  }
  return instance
}

// What does not come by our transport is not checked. A retry finds that of the attempt before.
function requireNodeHttp({ adapter, transport, httpVersion }: InternalAxiosRequestConfig): void {
  const hasNodeHttp = [adapter ?? 'http'].flat().includes('http')
  const isOurs = transport === undefined || transport instanceof SigningTransport
  if (!hasNodeHttp || !isOurs || Number(httpVersion ?? 1) !== 1) {
    throw new TypeError('signed responses need the adapter of axios for node:http, without a transport of its own')
  }
}

/** Signs when axios has set its last field, and holds the response back until it was judged. */
class SigningTransport {
  readonly #prove: (request: OutgoingRequest) => OutgoingProof
  #expected: Omit<OutgoingRequest, 'headers'> | undefined

  constructor(prove: (request: OutgoingRequest) => OutgoingProof) {
    this.#prove = prove
  }

  expect(request: Omit<OutgoingRequest, 'headers'>): void {
    this.#expected = request
  }

  request(options: RequestOptions, callback: (response: IncomingMessage) => void): ClientRequest {
    if (this.#expected === undefined) throw new TypeError('the body that is to be signed was not seen')
    const headers = { ...options.headers }
    const { fields, exchange } = this.#prove({ ...this.#expected, headers: fieldPairs(Object.entries(headers)) })
    const send = options.protocol === 'https:' ? requestHttps : requestHttp
    const request = send({ ...options, headers: { ...headers, ...fields } }, callback)
    return exchange === undefined ? request : holdResponse(request, exchange)
  }
}
