import { PROFILE_RULES } from '../authentication/profile-rules.ts'
import { type ProofRequest, proofHeaders } from '../authentication/wpt/create.ts'
import { type Clock, systemClock } from '../base/clock.ts'
import type { WitSource } from '../credentials/wit/source.ts'
import { requireSecure } from './plaintext.ts'
import { readStream } from './read-stream.ts'
import { type HttpSignatureOptions, RESPONSE_REFUSALS, type SignedExchange, signedExchange } from './signed-exchange.ts'

export { findRefusal } from './find-refusal.ts'
export { type HidingFetchOptions, hidingFetch } from './hiding-fetch.ts'
export type { HttpSignatureOptions } from './signed-exchange.ts'

/** Whom a proving `fetch` talks to, and how. */
export interface ProvingFetchOptions {
  /** The service's own name for itself, or how to find it for a URL, e.g. by a table. Not simply its host name. */
  readonly audience: string | ((url: URL) => string)
  /** Default: the global one. */
  readonly fetch?: typeof globalThis.fetch
  /** Seconds a proof is good for. Default 60. */
  readonly lifetime?: number
  /** Default: the machine's. */
  readonly clock?: Clock
  /** Header fields, lower-case, whose tokens the proof binds when they are sent. Default none; `txn-token` always is. */
  readonly contextTokens?: readonly string[]
  /** Sign each request, and check the response, in place of a proof token. Default: a proof token. */
  readonly httpSignature?: HttpSignatureOptions
  /** Send over http although others can read and change it on the way. Always allowed to this machine itself. */
  readonly acceptPlaintext?: true
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
  const { fetch = globalThis.fetch, clock = systemClock, contextTokens = [] } = options
  const lifetime = options.lifetime === undefined ? {} : { lifetime: options.lifetime }
  return async (input, init) => {
    const request = new Request(input, init)
    const url = new URL(request.url)
    requireSecure(url.protocol, url.hostname, options.acceptPlaintext)
    const wit = wits.wit()
    const body = request.body === null ? undefined : new Uint8Array(await request.arrayBuffer())
    const { method, signal } = request
    const target = `${url.pathname}${url.search}`
    const audience = typeof options.audience === 'string' ? options.audience : options.audience(url)
    const headers = new Headers(request.headers)
    const send = async (fields: { readonly [field: string]: string }): Promise<Response> => {
      for (const [name, value] of Object.entries(fields)) headers.set(name, value)
      const sent = { ...init, method, headers, signal, ...(body === undefined ? {} : { body }) }
      // Not by `error`, which Workers do not have.
      const response = await fetch(url, { ...sent, redirect: 'manual' })
      if (request.redirect !== 'manual' && isRedirect(response)) {
        await response.body?.cancel()
        throw new TypeError('the service redirects, and a proof is for one target')
      }
      return response
    }
    if (options.httpSignature !== undefined) {
      // What fetch decompresses, it can no longer compare.
      headers.set('accept-encoding', 'identity')
      const given = { method, target, audience, headers: [...headers], body }
      const exchange = signedExchange(wit, given, options.httpSignature, {
        clock,
        lifetime: options.lifetime,
        contextTokens,
      })
      return verified(await send(exchange.headers), exchange)
    }
    const bound = contextTokens.filter((field) => request.headers.has(field))
    const accessToken = PROFILE_RULES[wit.profile].bindsAccessToken ? bearerOf(request) : undefined
    if (accessToken === undefined && request.headers.has('authorization')) {
      throw new TypeError(`profile ${wit.profile} has no place for another Authorization`)
    }
    const proof: ProofRequest = {
      method,
      target,
      audience,
      body,
      accessToken,
      txnToken: request.headers.get('txn-token') ?? undefined,
      ...(bound.length === 0
        ? {}
        : { otherTokens: Object.fromEntries(bound.map((f) => [f, request.headers.get(f) ?? ''])) }),
    }
    return send(proofHeaders(wit, proof, { now: clock(), ...lifetime }))
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

function bearerOf(request: Request): string | undefined {
  return /^bearer +(.+)$/i.exec(request.headers.get('authorization') ?? '')?.[1]
}
