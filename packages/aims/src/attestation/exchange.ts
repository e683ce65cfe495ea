import type { Outbound } from '../base/outbound.ts'

/** One HTTP request, complete. */
export interface ExchangeRequest {
  readonly method: 'GET' | 'POST' | 'PUT'
  readonly url: string
  readonly headers: { readonly [name: string]: string }
  readonly body?: string
}

/** The answer to it. */
export interface ExchangeResponse {
  readonly status: number
  /** Names in lower case. */
  readonly headers: { readonly [name: string]: string | undefined }
  readonly body: Uint8Array
}

/**
 * Sends a request and returns the answer, whatever its status. Given by whoever owns the network: it follows no
 * redirects, has a timeout and a limit on the answer, and throws when there is none.
 */
export type Exchange = (request: ExchangeRequest) => Promise<ExchangeResponse>

/**
 * An exchange through the vetted fetcher: only the hosts of this purpose are reached. Answers 400 and 403 come back as
 * answers; other failures throw.
 */
export function exchangeThrough<Purpose extends string>(outbound: Outbound<Purpose>, purpose: Purpose): Exchange {
  return async ({ method, url, headers, body }) => {
    const request = {
      method,
      headers,
      statuses: [400, 403],
      ...(body === undefined ? {} : { body: Buffer.from(body) }),
    }
    const answer = await outbound.fetch(purpose, url, request)
    return { status: answer.status, headers: Object.fromEntries(answer.headers), body: answer.body }
  }
}
