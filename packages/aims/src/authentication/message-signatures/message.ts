import type { RawHeaders } from '../carriage.ts'

/** A request as its signature sees it: nothing joined, decoded or rewritten. */
export interface RequestMessage {
  /** As on the wire: `POST`, not `post`. */
  readonly method: string
  /** The request target as on the wire, e.g. `/path?query`. */
  readonly target: string
  readonly headers: RawHeaders
  readonly trailers?: RawHeaders
  /** `https` or `http`, as the service knows it. Default: not known, and what depends on it is refused. */
  readonly scheme?: 'https' | 'http'
  /** Host and port of the target URI. Default: of the target in absolute form, or the field `Host`. */
  readonly authority?: string
}

/** A response, and the request that it answers where its signature covers some of that (`;req`). */
export interface ResponseMessage {
  readonly status: number
  readonly headers: RawHeaders
  readonly trailers?: RawHeaders
  readonly request?: RequestMessage
}

/** What can be signed. */
export type Message = RequestMessage | ResponseMessage

export function isRequest(message: Message): message is RequestMessage {
  return 'method' in message
}
