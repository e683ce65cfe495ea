import type { Request, RequestHandler } from 'express'
import type { Authenticator } from '../authentication/authenticate.ts'
import type { Principal } from '../authentication/principal.ts'
import { admit } from './admit.ts'
import type { AdapterOptions } from './incoming.ts'

export type { AdapterOptions } from './incoming.ts'

declare module 'express-serve-static-core' {
  interface Request {
    /** Who calls; set by `authenticated`. */
    principal?: Principal
    /** Ties the records of this request together: pass it on to `authorize`. Set by `authenticated`. */
    correlationId?: string
  }
}

/**
 * Express middleware that authenticates every request and sets `req.principal` and `req.correlationId`. Refused requests are answered here and
 * go no further. Use it before body parsers: a proof may name the body as it came.
 */
export function authenticated(authenticator: Authenticator, options: AdapterOptions = {}): RequestHandler {
  return async (request, response, next) => {
    const caller = await admit(authenticator, [request, response], options)
    if (caller === undefined) return
    request.principal = caller.principal
    request.correlationId = caller.correlationId
    next()
  }
}

/** Who calls, in a handler behind `authenticated`. @throws TypeError where that was forgotten */
export function principalOf(request: Request): Principal {
  const { principal } = request
  if (principal === undefined) throw new TypeError('put authenticated() in front of this handler')
  return principal
}

/** What ties the records of a request together, for `authorize`. @throws TypeError where `authenticated` was forgotten */
export function correlationIdOf(request: Request): string {
  const { correlationId } = request
  if (correlationId === undefined) throw new TypeError('put authenticated() in front of this handler')
  return correlationId
}
