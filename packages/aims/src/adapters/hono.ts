import { randomUUID } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import { TLSSocket } from 'node:tls'
import type { Context, MiddlewareHandler } from 'hono'
import type { Authenticator } from '../authentication/authenticate.ts'
import type { ResponseSigner } from '../authentication/http-signature/responses.ts'
import { peerCertificatesOf } from '../authentication/mtls/material.ts'
import type { Principal } from '../authentication/principal.ts'
import type { IncomingRequest } from '../authentication/request.ts'
import { AimsError } from '../base/errors.ts'
import { type AdapterOptions, MAX_BODY, toRawHeaders } from './incoming.ts'
import { readStream } from './read-stream.ts'
import { MAX_SIGNED_BODY, SIGNATURE_FIELDS } from './signing-response.ts'

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
    const refuse = (error: unknown): Response => {
      const { status, headers, body } = authenticator.problem(error, id, options)
      return new Response(body, { status, headers })
    }
    let principal: Principal
    try {
      principal = await authenticator.authenticate(toIncoming(c, id, options.maxBody ?? MAX_BODY), options)
    } catch (error) {
      return refuse(error)
    }
    c.set('principal', principal)
    await next()
    const signer = authenticator.responseSigner(principal)
    if (signer === undefined) return undefined
    let signed: Response
    try {
      signed = await signedResponse(c, signer, options.maxSignedBody ?? MAX_SIGNED_BODY)
    } catch (error) {
      signed = refuse(error)
    }
    // Hono would add the fields of the response that is replaced.
    c.res = undefined
    c.res = signed
    return undefined
  }
}

async function signedResponse(c: Context, signer: ResponseSigner, limit: number): Promise<Response> {
  const { status, headers: sent, body: stream } = c.res
  const body = await readStream(stream, limit, () => {
    return new AimsError('signature.cannot_sign', `the response has more than ${limit} bytes`)
  })
  const headers = new Headers(sent)
  for (const name of SIGNATURE_FIELDS) headers.delete(name)
  const isEmpty = c.req.method === 'HEAD' || stream === null
  const fields = signer.sign({ status, headers: [...headers], body: isEmpty ? new Uint8Array() : body })
  for (const [name, value] of Object.entries(fields)) headers.set(name, value)
  return new Response(isEmpty ? null : body, { status, headers })
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
  const body = await readStream(c.req.raw.body, limit, () => {
    return new AimsError('authentication.body_too_large', `the body has more than ${limit} bytes`)
  })
  // The handler reads it again from here.
  if (c.req.raw.bodyUsed) c.req.raw = new Request(c.req.raw, { body })
  return body
}
