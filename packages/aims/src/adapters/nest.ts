import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Authenticator } from '../authentication/authenticate.ts'
import { admit, type Caller, callerOf as callerOfRequest } from './admit.ts'
import type { AdapterOptions } from './incoming.ts'

export type { Caller } from './admit.ts'
export type { AdapterOptions } from './incoming.ts'

/** What the guard needs of `ExecutionContext` of NestJS. */
export interface GuardedContext {
  switchToHttp(): { getRequest(): GuardedRequest; getResponse(): GuardedResponse }
}

/** A request of the platform: of Express itself, of Fastify with the one of Node inside. */
export type GuardedRequest = IncomingMessage | { readonly raw: IncomingMessage }
/** A response of the platform, like the request. */
export type GuardedResponse = ServerResponse | { readonly raw: ServerResponse; hijack(): unknown }

/**
 * A guard for NestJS on Express or Fastify: `callerOf(request)` says who calls. Refused requests are answered here; NestJS sees a
 * `false` and finds that there is nothing left to answer.
 *
 * Guards run after body parsers. Where proofs name bodies, make the application with `bodyParser: false`, or use the
 * adapter of the platform, which comes before: `app.use(authenticated(authenticator))`.
 */
export function authenticatedGuard(
  authenticator: Authenticator,
  options: AdapterOptions = {},
): { canActivate(context: GuardedContext): Promise<boolean> } {
  return {
    async canActivate(context) {
      const http = context.switchToHttp()
      const response = http.getResponse()
      const both = [rawRequest(http.getRequest()), 'raw' in response ? response.raw : response] as const
      const caller = await admit(authenticator, both, options)
      if (caller === undefined && 'hijack' in response) response.hijack()
      return caller !== undefined
    },
  }
}

/** Who calls, in a controller behind the guard. @throws TypeError where that was forgotten */
export function callerOf(request: GuardedRequest): Caller {
  return callerOfRequest(rawRequest(request))
}

function rawRequest(request: GuardedRequest): IncomingMessage {
  return 'raw' in request ? request.raw : request
}
