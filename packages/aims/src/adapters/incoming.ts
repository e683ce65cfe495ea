import type { IncomingMessage, ServerResponse } from 'node:http'
import { TLSSocket } from 'node:tls'
import type { RawHeaders } from '../authentication/carriage.ts'
import { peerCertificatesOf } from '../authentication/mtls/material.ts'
import type { ProblemResponse } from '../authentication/problem.ts'
import type { IncomingRequest } from '../authentication/request.ts'
import type { RouteRequirements } from '../authentication/route.ts'
import { AimsError } from '../base/errors.ts'

/** What a route asks of its callers, and bounds for what an adapter reads before it knows them. */
export interface AdapterOptions extends RouteRequirements {
  /** Bytes of a body that a proof names, read to check its digest. Default 262,144. */
  readonly maxBody?: number
}

export const MAX_BODY = 262_144
// Node drops what is beyond its own limit without a word, so a request must stay far from it.
const MAX_FIELDS = 100

/** A request of node:http as `authenticate` takes it. The body is read on demand, and is there for the handler again. */
export function toIncomingRequest(request: IncomingMessage, id: string, options: AdapterOptions): IncomingRequest {
  const { socket } = request
  return {
    id,
    method: request.method ?? '',
    // Express rewrites `url` below a mount path, and keeps the one on the wire here.
    target: ('originalUrl' in request ? String(request.originalUrl) : request.url) ?? '',
    headers: toRawHeaders(request.rawHeaders),
    body: () => readBody(request, options.maxBody ?? MAX_BODY),
    peerCertificates: socket instanceof TLSSocket ? peerCertificatesOf(socket) : undefined,
  }
}

/** Names and values in turn, as pairs. @throws {@link AimsError} `authentication.malformed_field` for more than 100 fields */
export function toRawHeaders(flat: readonly string[]): RawHeaders {
  if (flat.length > 2 * MAX_FIELDS)
    throw new AimsError('authentication.malformed_field', 'the request has too many fields')
  const headers: [string, string][] = []
  for (let at = 0; at < flat.length; at += 2) headers.push([flat[at] ?? '', flat[at + 1] ?? ''])
  return headers
}

/** Answers with a problem document. */
export function sendProblem(response: ServerResponse, { status, headers, body }: ProblemResponse): void {
  if (response.headersSent) return void response.destroy()
  // Node would read the rest of the body to keep the connection.
  if (status === 413) response.setHeader('connection', 'close')
  response.writeHead(status, headers).end(body)
}

function readBody(request: IncomingMessage, limit: number): Promise<Uint8Array> {
  if (request.readableDidRead) throw new TypeError('the body was read before the caller was authenticated')
  const lost = (): AimsError => new AimsError('proof.body_mismatch', 'the body did not arrive')
  // It says so once, and that may have been before we listen.
  if (request.destroyed) return Promise.reject(lost())
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    let length = 0
    const settle = (finish: () => void): void => {
      request.off('readable', onReadable).off('close', onClose)
      finish()
    }
    const onReadable = (): void => {
      for (let chunk: Buffer | null = request.read(); chunk !== null; chunk = request.read()) {
        length += chunk.length
        chunks.push(chunk)
      }
      if (length > limit) {
        settle(() => reject(new AimsError('authentication.body_too_large', `the body has more than ${limit} bytes`)))
      } else if (request.complete) {
        const body = Buffer.concat(chunks)
        settle(() => resolve(body))
        // Before the stream says that it has ended: to whoever reads next, nothing was read yet.
        if (length > 0) request.unshift(body)
      }
    }
    const onClose = (): void => settle(() => reject(lost()))
    request.on('readable', onReadable).on('close', onClose)
  })
}
