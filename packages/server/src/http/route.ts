import type { JsonValue } from 'aims/base'
import type { RegisteredAgent } from '../store/agent-store.ts'
import type { Schema } from './schema.ts'

/**
 * What a caller must be allowed to do. Whoever may administer may do all; an agent may report; a registrar changes the
 * entries that were delegated to it. Being a server below this one is a right apart: administrators do not have it.
 */
export type Access = 'public' | 'reporter' | 'registrar' | 'agent' | 'downstream' | 'admin'

/** Where a route can be reached: the Unix socket of this machine, or the HTTPS listener. */
export type Entrance = 'unix' | 'https'

/** Who sent a request, as the kernel or the TLS handshake proved it. Nothing here comes from the request itself. */
export interface Caller {
  /** For records: a SPIFFE ID, `unix:uid:1000`, or `anonymous`. */
  readonly name: string
  readonly method: 'mtls' | 'unix' | 'none'
  readonly access: ReadonlySet<Access>
  readonly credential?: { readonly type: string; readonly id: string }
  /** Of that credential, in seconds since the epoch. */
  readonly expiresAt?: number
  /** An agent on another host, as it was when the request came. It may do what the entries that name it say. */
  readonly agent?: RegisteredAgent
}

/** A request that is well formed, allowed, and has the shape the route asks for. */
export interface Call {
  /** Correlation id: in the records, in the answer, in the problem document. */
  readonly id: string
  readonly caller: Caller
  /** The caller as it is now, for routes that make it wait. @throws {@link AimsError} as if it came only now */
  again(): Promise<Caller>
  /** Values of `{name}` in the path. */
  readonly params: { readonly [name: string]: string }
  readonly query: { readonly [name: string]: string }
  /** Of the shape of the route's schema; `null` when the route takes none. */
  readonly body: JsonValue
  /** Aborted when the caller goes away or the server stops. */
  readonly signal: AbortSignal
}

/** An answer. Objects are sent as JSON. */
export interface Reply {
  readonly status: 200 | 201 | 204 | 503
  readonly body?: unknown
  /** Sends `text` as it is instead of JSON. */
  readonly text?: { readonly type: string; readonly content: string }
}

/** One line of the API. */
export interface Route {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE'
  /** E.g. `/v1/entries/{id}`. */
  readonly path: string
  /** False: GET alone, and no HEAD. Default true. */
  readonly head?: false
  readonly access: Access
  readonly entrances: readonly Entrance[]
  /** For the OpenAPI document. */
  readonly summary: string
  /** Query parameters that may be there, and what they mean. Others are refused. */
  readonly query?: { readonly [name: string]: string }
  readonly body?: Schema
  /** Bytes. Default 256 KiB. */
  readonly maxBody?: number
  handle(call: Call): Promise<Reply> | Reply
}
