import { randomUUID } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import { TLSSocket } from 'node:tls'
import type { Context, MiddlewareHandler } from 'hono'
import type { Authenticator } from '../authentication/authenticate.ts'
import { peerCertificatesOf } from '../authentication/mtls/material.ts'
import type { Principal } from '../authentication/principal.ts'
import type { IncomingRequest } from '../authentication/request.ts'
import { AimsError } from '../base/errors.ts'
import { type AdapterOptions, MAX_BODY, toRawHeaders } from './incoming.ts'

export type { AdapterOptions } from './incoming.ts'

/** What the middleware adds to the context of a request. */
export interface AuthenticatedEnv {
  Variables: {
    principal: Principal
    /** Ties the records of this request together: pass it on to `authorize`. */
    correlationId: string
  }
}

/**
 * Hono middleware that authenticates every request: `c.get('principal')` says who calls. Refused requests are answered
 * here and go no further.
 *
 * On `@hono/node-server` it looks at the raw request. Elsewhere it has the joined header fields only, in which a field
 * that was sent twice is no longer a token, and is refused as malformed; there is no mTLS there.
 */
export function authenticated(
  authenticator: Authenticator,
  options: AdapterOptions = {},
): MiddlewareHandler<AuthenticatedEnv> {
  return async (c, next) => {
    const id = randomUUID()
    c.set('correlationId', id)
    try {
      c.set('principal', await authenticator.authenticate(toIncoming(c, id, options.maxBody ?? MAX_BODY), options))
    } catch (error) {
      const { status, headers, body } = authenticator.problem(error, id, options)
      return new Response(body, { status, headers })
    }
    return next()
  }
}

function toIncoming(c: Context, id: string, maxBody: number): IncomingRequest {
  const incoming: IncomingMessage | undefined = c.env?.incoming
  const { method, url, headers } = c.req.raw
  return {
    id,
    method,
    // Cut out, not parsed: a URL object would resolve dots.
    target: incoming?.url ?? url.slice(url.indexOf('/', url.indexOf('://') + 3)),
    headers: incoming === undefined ? [...headers] : toRawHeaders(incoming.rawHeaders),
    body: () => readBody(c, maxBody),
    peerCertificates: incoming?.socket instanceof TLSSocket ? peerCertificatesOf(incoming.socket) : undefined,
  }
}

async function readBody(c: Context, limit: number): Promise<Uint8Array> {
  const chunks: Uint8Array[] = []
  let length = 0
  for await (const chunk of c.req.raw.body ?? []) {
    length += chunk.length
    if (length > limit) throw new AimsError('authentication.body_too_large', `the body has more than ${limit} bytes`)
    chunks.push(chunk)
  }
  const body = Buffer.concat(chunks)
  // The handler reads it again from here.
  if (length > 0) c.req.raw = new Request(c.req.raw, { body })
  return body
}
