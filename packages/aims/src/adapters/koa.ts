import type { Middleware, ParameterizedContext } from 'koa'
import type { Authenticator } from '../authentication/authenticate.ts'
import { admit, type Caller, callerOf as callerOfRequest } from './admit.ts'
import type { AdapterOptions } from './incoming.ts'

export type { Caller } from './admit.ts'
export type { AdapterOptions } from './incoming.ts'

/**
 * Koa middleware that authenticates every request: `callerOf(ctx)` says who calls. Refused requests are answered here and go no
 * further. Use it before body parsers: a proof may name the body as it came.
 */
export function authenticated(authenticator: Authenticator, options: AdapterOptions = {}): Middleware {
  return async (ctx, next) => {
    const caller = await admit(authenticator, [ctx.req, ctx.res], options)
    if (caller !== undefined) return next()
    // Koa would answer once more.
    ctx.respond = false
  }
}

/** Who calls, in middleware behind `authenticated`. @throws TypeError where that was forgotten */
export function callerOf(ctx: Pick<ParameterizedContext, 'req'>): Caller {
  return callerOfRequest(ctx.req)
}
