import type { Dispatcher } from 'undici'
import { type RawHeaders, requireFewFields } from '../authentication/carriage.ts'
import type { WitSource } from '../credentials/wit/source.ts'
import { toRawHeaders } from './incoming.ts'
import { fieldPairs } from './outgoing.ts'
import { type ProvingOptions, prover } from './prover.ts'
import { RESPONSE_REFUSALS, type SignedExchange } from './signed-exchange.ts'

export type { ProvingOptions } from './prover.ts'
export type { HttpSignatureOptions } from './signed-exchange.ts'

/**
 * An interceptor for a dispatcher of undici: `new Agent().compose(proving(wits, { audience }))`. Put the one that retries in front
 * of it, since each attempt needs a proof of its own, and none that follows redirects: a proof is for one target. With
 * `httpSignature` a response is handed on when all of it is there and was judged.
 *
 * @throws TypeError, at the request, for a body that is neither text nor bytes: a proof names the whole body
 */
export function proving(wits: WitSource, options: ProvingOptions): Dispatcher.DispatcherComposeInterceptor {
  const prove = prover(wits, options)
  return (dispatch) => (request, handler) => {
    const { origin = '', path, method, body } = request
    if (body !== undefined && body !== null && typeof body !== 'string' && !(body instanceof Uint8Array)) {
      throw new TypeError('a proof names the whole body: give it as text or bytes')
    }
    if (request.query !== undefined) throw new TypeError('a proof names the target: put the query into the path')
    const isUpgrade = method === 'CONNECT' || (request.upgrade ?? false) !== false
    if (isUpgrade && options.httpSignature !== undefined) throw new TypeError('an upgrade has no answer to be signed')
    const headers = pairsOf(request.headers)
    const url = new URL(path, String(origin))
    const { fields, exchange } = prove({ method, url, target: path, body: body ?? undefined, headers })
    const kept = headers.filter(([name]) => !Object.hasOwn(fields, name.toLowerCase()))
    const sent = { ...request, headers: [...kept, ...Object.entries(fields)].flat() }
    return dispatch(sent, exchange === undefined ? handler : new Held(handler, exchange))
  }
}

function pairsOf(headers: Dispatcher.DispatchOptions['headers']): RawHeaders {
  if (headers === undefined || headers === null) return []
  if (Array.isArray(headers)) return toRawHeaders(headers.map(String))
  return fieldPairs(Symbol.iterator in headers ? headers : Object.entries(headers))
}

type Handler = Dispatcher.DispatchHandler
type Controller = Dispatcher.DispatchController
type Head = Parameters<NonNullable<Handler['onResponseStart']>>

/** Keeps a response until all of it is there and was judged: the handler sees the whole, or an error. */
class Held implements Handler {
  readonly #handler: Handler
  readonly #exchange: SignedExchange
  readonly #chunks: Buffer[] = []
  #length = 0
  #head: { readonly status: number; readonly headers: RawHeaders; pass(): void } | undefined

  constructor(handler: Handler, exchange: SignedExchange) {
    this.#handler = handler
    this.#exchange = exchange
  }

  onRequestStart(controller: Controller, context: unknown): void {
    this.#handler.onRequestStart?.(controller, context)
  }

  onResponseStart(...head: Head): void {
    const [controller, status, headers] = head
    // Others come before the one that counts.
    if (status < 200) return
    const pass = (): void => this.#handler.onResponseStart?.(...head)
    this.#head = { status, headers: wireHeaders(controller, headers), pass }
  }

  onResponseData(controller: Controller, chunk: Buffer): void {
    const { maxBody } = this.#exchange
    this.#length += chunk.length
    if (this.#length > maxBody) controller.abort(RESPONSE_REFUSALS.tooLarge(maxBody))
    else this.#chunks.push(chunk)
  }

  onResponseEnd(controller: Controller, trailers: Head[2]): void {
    const body = Buffer.concat(this.#chunks)
    try {
      if (this.#head === undefined) throw RESPONSE_REFUSALS.lost()
      const { status, headers } = this.#head
      this.#exchange.verify({ status, headers: requireFewFields(headers), body })
    } catch (error) {
      this.#handler.onResponseError?.(controller, error instanceof Error ? error : RESPONSE_REFUSALS.lost())
      return
    }
    this.#head.pass()
    if (body.length > 0) this.#handler.onResponseData?.(controller, body)
    this.#handler.onResponseEnd?.(controller, trailers)
  }

  onResponseError(controller: Controller, error: Error): void {
    this.#handler.onResponseError?.(controller, error)
  }

  onResponseStarted(): void {
    this.#handler.onResponseStarted?.()
  }

  onBodySent(chunk: Buffer): void {
    this.#handler.onBodySent?.(chunk)
  }

  onRequestSent(): void {
    this.#handler.onRequestSent?.()
  }
}

// Before anybody takes apart what came.
function wireHeaders({ rawHeaders }: Controller, parsed: Head[2]): RawHeaders {
  if (!Array.isArray(rawHeaders)) return fieldPairs(Object.entries(rawHeaders ?? parsed))
  return toRawHeaders(rawHeaders.map((one) => (typeof one === 'string' ? one : one.toString('latin1'))))
}
