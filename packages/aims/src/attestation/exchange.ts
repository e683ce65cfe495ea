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
