import type { WitSource } from '../credentials/wit/source.ts'
import { type ProvingOptions, prover } from './prover.ts'
import { readStream } from './read-stream.ts'
import { RESPONSE_REFUSALS, type SignedExchange } from './signed-exchange.ts'

export { findRefusal } from './find-refusal.ts'
export { type HidingFetchOptions, hidingFetch } from './hiding-fetch.ts'
export type { HttpSignatureOptions } from './signed-exchange.ts'

/** Whom a proving `fetch` talks to, and how. */
export interface ProvingFetchOptions extends Omit<ProvingOptions, 'audience'> {
  /** The service's own name for itself, or how to find it for a URL, e.g. by a table. Not simply its host name. */
  readonly audience: string | ((url: URL) => string)
  /** Default: the global one. */
  readonly fetch?: typeof globalThis.fetch
}

/**
 * A `fetch` that proves who sends each request, for its method, target and body, by a proof token or with
 * `httpSignature` by a signature. Bodies are read whole before they are sent. Redirects are an error unless `redirect` is `manual`: a proof is for one target.
 *
 * Throws TypeError without an audience, for plain http to another machine, and for an `Authorization` that the profile cannot carry.
 *
 * Convenient, and several times slower than `provingRequest`.
 */
export function provingFetch(wits: WitSource, options: ProvingFetchOptions): typeof globalThis.fetch {
  if (typeof options?.audience !== 'string' && typeof options?.audience !== 'function') {
    throw new TypeError("provingFetch needs { audience }: the service's own name, e.g. 'https://api.example.com'")
  }
  const { fetch = globalThis.fetch, audience } = options
  return async (input, init) => {
    const request = new Request(input, init)
    const url = new URL(request.url)
    const body = request.body === null ? undefined : new Uint8Array(await request.arrayBuffer())
    const { method, signal } = request
    const headers = new Headers(request.headers)
    // What fetch decompresses, it can no longer compare.
    if (options.httpSignature !== undefined) headers.set('accept-encoding', 'identity')
    const prove = prover(wits, { ...options, audience: typeof audience === 'string' ? audience : audience(url) })
    const { fields, exchange } = prove({ method, url, body, headers: [...headers] })
    for (const [name, value] of Object.entries(fields)) headers.set(name, value)
    // Not by `error`, which Workers do not have.
    const sent = {
      ...init,
      method,
      headers,
      signal,
      redirect: 'manual',
      ...(body === undefined ? {} : { body }),
    } as const
    const response = await fetch(url, sent)
    if (request.redirect !== 'manual' && isRedirect(response)) {
      await response.body?.cancel()
      throw new TypeError('the service redirects, and a proof is for one target')
    }
    return exchange === undefined ? response : verified(response, exchange)
  }
}

// What a browser makes of one that it does not follow has no status.
function isRedirect({ type, status }: Response): boolean {
  return type === 'opaqueredirect' || [301, 302, 303, 307, 308].includes(status)
}

// Read whole and judged before anybody sees any of it.
async function verified(response: Response, exchange: SignedExchange): Promise<Response> {
  const { status, statusText, headers } = response
  const body = await readStream(response.body, exchange.maxBody, RESPONSE_REFUSALS)
  exchange.verify({ status, headers: [...headers], body })
  return new Response(response.body === null ? null : body, { status, statusText, headers })
}
