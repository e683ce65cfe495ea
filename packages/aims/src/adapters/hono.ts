import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Http2ServerResponse } from 'node:http2'
import { TLSSocket } from 'node:tls'
import type { Context, MiddlewareHandler } from 'hono'
import type { Authenticator } from '../authentication/authenticate.ts'
import { peerCertificatesOf } from '../authentication/mtls/material.ts'
import type { IncomingRequest } from '../authentication/request.ts'
import { type Caller, callerOf as callerOfContext, rememberCaller } from './admit.ts'
import { endResponseWith } from './end-with.ts'
import { endEventsWith } from './event-stream.ts'
import { type AdapterOptions, toRawHeaders } from './incoming.ts'
import { admitWeb, signedWhereDemanded } from './web.ts'

export type { Caller } from './admit.ts'
export type { AdapterOptions } from './incoming.ts'

/**
 * Hono middleware that authenticates every request: `callerOf(c)` says who calls. Refused requests are answered here and go no
 * further.
 *
 * On `@hono/node-server` it looks at the raw request. Elsewhere it has the joined header fields only, in which a field
 * that was sent twice is no longer a token, and is refused as malformed; there is no mTLS there.
 */
export function authenticated(authenticator: Authenticator, options: AdapterOptions = {}): MiddlewareHandler {
  return async (c, next) => {
    const admitted = await admitWeb(authenticator, c.req.raw, options, () => wireOf(c))
    if (admitted instanceof Response) return admitted
    c.req.raw = admitted.request
    // By the context: other middleware may replace the request once more.
    const { caller } = admitted
    rememberCaller(c, caller)
    const outgoing: ServerResponse | Http2ServerResponse | undefined = c.env?.outgoing
    if (outgoing !== undefined) endResponseWith(outgoing, authenticator, caller)
    await next()
    const signed = await signedWhereDemanded(authenticator, admitted, c.res, options)
    const response = outgoing === undefined ? endEventsWith(signed, authenticator, caller) : signed
    if (response === c.res) return undefined
    // Hono would add the fields of the response that is replaced.
    c.res = undefined
    c.res = response
    return undefined
  }
}

/** Who calls, in a handler behind `authenticated`. @throws TypeError where that was forgotten */
export function callerOf(c: Context): Caller {
  return callerOfContext(c)
}

// What @hono/node-server knows of the wire, and a Request does not.
function wireOf(c: Context): Partial<IncomingRequest> {
  const incoming: IncomingMessage | undefined = c.env?.incoming
  if (incoming === undefined) return {}
  const { rawHeaders, socket, url = '' } = incoming
  const peerCertificates = socket instanceof TLSSocket ? peerCertificatesOf(socket) : undefined
  return { target: url, headers: toRawHeaders(rawHeaders), peerCertificates }
}
