import type { FastifyRequest, onRequestAsyncHookHandler } from 'fastify'
import type { Authenticator } from '../authentication/authenticate.ts'
import { admit, type Caller, callerOf as callerOfRequest } from './admit.ts'
import type { AdapterOptions } from './incoming.ts'

export type { Caller } from './admit.ts'
export type { AdapterOptions } from './incoming.ts'

/**
 * A Fastify hook for `onRequest` that authenticates every request: `callerOf(request)` says who calls. Refused requests are
 * answered here and go no further. Of all hooks only `onRequest` comes before the body is parsed, which a proof may name.
 *
 * `rewriteUrl` comes before it, and makes the target another than the one on the wire: requests whose proof names it are refused.
 */
export function authenticated(authenticator: Authenticator, options: AdapterOptions = {}): onRequestAsyncHookHandler {
  return async (request, reply) => {
    const caller = await admit(authenticator, [request.raw, reply.raw], options)
    if (caller === undefined) reply.hijack()
  }
}

/** Who calls, in a handler behind `authenticated`. @throws TypeError where that was forgotten */
export function callerOf(request: Pick<FastifyRequest, 'raw'>): Caller {
  return callerOfRequest(request.raw)
}
