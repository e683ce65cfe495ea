import { request as requestHttp } from 'node:http'
import { request as requestHttps } from 'node:https'
import type { ExtendOptions, RequestFunction } from 'got'
import type { WitSource } from '../credentials/wit/source.ts'
import { holdResponse } from './held-response.ts'
import { fieldPairs } from './outgoing.ts'
import { type ProvingOptions, prover } from './prover.ts'
import type { SignedExchange } from './signed-exchange.ts'

export type { ProvingOptions } from './prover.ts'
export type { HttpSignatureOptions } from './signed-exchange.ts'

/**
 * Options for got that prove who sends each request, and each attempt anew: `got.extend(proving(wits, { audience }))`. Redirects
 * are not followed: a proof is for one target. With `httpSignature` a response is handed on when all of it is there and was
 * judged; then got speaks HTTP/1.1, over its own connections, and without a cache.
 *
 * @throws TypeError, at the request, for a body that is neither text nor bytes: a proof names the whole body
 */
export function proving(wits: WitSource, options: ProvingOptions): Pick<ExtendOptions, 'followRedirect' | 'hooks'> {
  const prove = prover(wits, options)
  const ours = new WeakSet<RequestFunction>()
  return {
    followRedirect: false,
    hooks: {
      beforeRequest: [
        (request) => {
          const { body, method, headers } = request
          if (body !== undefined && typeof body !== 'string' && !(body instanceof Uint8Array)) {
            throw new TypeError('a proof names the whole body: give it as text or bytes')
          }
          if (request.isStream && body === undefined && method !== 'GET' && method !== 'HEAD') {
            throw new TypeError('a proof names the whole body: give it as an option, not to the stream')
          }
          const url = new URL(String(request.url))
          const { fields, exchange } = prove({ method, url, body, headers: fieldPairs(Object.entries(headers)) })
          Object.assign(headers, fields)
          if (exchange === undefined) return
          // What does not come by our request is not checked. A retry finds that of the attempt before.
          if ((request.request !== undefined && !ours.has(request.request)) || request.cache !== undefined) {
            throw new TypeError('signed responses need a got without a request function and a cache of its own')
          }
          const send = checking(exchange)
          ours.add(send)
          request.request = send
        },
      ],
    },
  }
}

function checking(exchange: SignedExchange): RequestFunction {
  return (url, options) =>
    holdResponse((url.protocol === 'https:' ? requestHttps : requestHttp)(url, options), exchange)
}
