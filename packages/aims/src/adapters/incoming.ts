import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Http2ServerRequest, Http2ServerResponse } from 'node:http2'
import { TLSSocket } from 'node:tls'
import type { RawHeaders } from '../authentication/carriage.ts'
import { peerCertificatesOf } from '../authentication/mtls/material.ts'
import type { ProblemResponse } from '../authentication/problem.ts'
import type { IncomingRequest } from '../authentication/request.ts'
import type { RouteRequirements } from '../authentication/route.ts'
import { LOST_BODY } from '../authentication/wpt/body-digest.ts'
import { AimsError } from '../base/errors.ts'
import { type BodyRefusals, readMessage } from './read-message.ts'

/** What a route asks of its callers, and bounds for what an adapter reads before it knows them. */
export interface AdapterOptions extends RouteRequirements {
  /** Bytes of a body that a proof names, read to check its digest. Default 262,144. */
  readonly maxBody?: number
  /** Bytes of a response that a caller wants signed: it is kept until it is complete. Default 1,048,576. */
  readonly maxSignedBody?: number
}

/** A request of node:http, node:https or, in its compatible form, node:http2. */
export type NodeRequest = IncomingMessage | Http2ServerRequest
export type NodeResponse = ServerResponse | Http2ServerResponse

export const MAX_BODY = 262_144

/** A request of Node as `authenticate` takes it. The body is read on demand, and is there for the handler again. */
export function toIncomingRequest(request: NodeRequest, id: string, options: AdapterOptions): IncomingRequest {
  const { socket } = request
  return {
    id,
    method: request.method ?? '',
    // Express rewrites `url` below a mount path, and keeps the one on the wire here.
    target: ('originalUrl' in request ? String(request.originalUrl) : request.url) ?? '',
    headers: toRawHeaders(request.rawHeaders),
    body: () => readMessage(request, options.maxBody ?? MAX_BODY, REQUEST_REFUSALS),
    peerCertificates: socket instanceof TLSSocket ? peerCertificatesOf(socket) : undefined,
  }
}

/** Names and values in turn, as pairs. */
export function toRawHeaders(flat: readonly string[]): RawHeaders {
  const headers: [string, string][] = []
  for (let at = 0; at < flat.length; at += 2) {
    const name = flat[at] ?? ''
    // The pseudo fields of HTTP/2 are the request line, and no fields.
    if (!name.startsWith(':')) headers.push([name, flat[at + 1] ?? ''])
  }
  return headers
}

/** Answers with a problem document. */
export function sendProblem(response: NodeResponse, { status, headers, body }: ProblemResponse): void {
  if (response.headersSent) return void response.destroy()
  // Node would read the rest of the body to keep the connection; HTTP/2 only ends the stream.
  if (status === 413 && !('stream' in response)) response.setHeader('connection', 'close')
  response.statusCode = status
  for (const [name, value] of Object.entries(headers)) response.setHeader(name, value)
  response.end(body)
}

/** What to say when the body of a request does not come as it should. */
export const REQUEST_REFUSALS: BodyRefusals = {
  lost: () => new AimsError('proof.body_mismatch', 'the body did not arrive', { observed: LOST_BODY }),
  tooLarge: (limit) => new AimsError('authentication.body_too_large', `the body has more than ${limit} bytes`),
}
