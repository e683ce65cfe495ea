import type { Request, RequestHandler } from 'express'
import type { Authenticator } from '../authentication/authenticate.ts'
import { admit, type Caller, callerOf as callerOfRequest } from './admit.ts'
import type { AdapterOptions } from './incoming.ts'

export type { Caller } from './admit.ts'
export type { AdapterOptions } from './incoming.ts'

/**
 * Express middleware that authenticates every request: `callerOf(request)` says who calls. Refused requests are answered here
 * and go no further. Use it before body parsers: a proof may name the body as it came.
 */
export function authenticated(authenticator: Authenticator, options: AdapterOptions = {}): RequestHandler {
  return async (request, response, next) => {
    const caller = await admit(authenticator, [request, response], options)
    if (caller !== undefined) next()
  }
}

/** Who calls, in a handler behind `authenticated`. @throws TypeError where that was forgotten */
export function callerOf(request: Request): Caller {
  return callerOfRequest(request)
}
