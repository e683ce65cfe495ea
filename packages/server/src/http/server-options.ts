import type { IncomingMessage, Server, ServerOptions, ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'
import { MAX_HEADER_BYTES } from './request-reader.ts'

/** How our HTTP servers parse: strictly, and with an end to everything (H1, H2). Milliseconds. */
export const HTTP_OPTIONS: ServerOptions = {
  insecureHTTPParser: false,
  maxHeaderSize: MAX_HEADER_BYTES,
  headersTimeout: 10_000,
  requestTimeout: 30_000,
  keepAliveTimeout: 5000,
  // Clients are told of five seconds. One that was busy for longer still finds its connection, and no reset for its request.
  keepAliveTimeoutBuffer: 20_000,
  connectionsCheckingInterval: 2000,
  // We look at Host ourselves: Node would answer, and then answer again for an error in the same message.
  requireHostHeader: false,
}

/** Connections at once: every agent on another host holds one. More are closed at once. */
const MAX_CONNECTIONS = 8192

// A TLS handshake that failed or never came: an answer would wait for its end for ever, and hold the connection.
const NO_ANSWER = /^(?:ECONNRESET|ERR_(?:TLS|SSL)_.*)$/

const STATUS: { readonly [code: string]: string } = {
  HPE_HEADER_OVERFLOW: '431 Request Header Fields Too Large',
  ERR_HTTP_REQUEST_TIMEOUT: '408 Request Timeout',
}

/**
 * Sets what is no option of the constructor: what cannot be parsed is answered once, or not at all when the request
 * it belongs to was answered already, and the connection is closed; nothing that arrived after it is looked at.
 */
export function harden(server: Server): void {
  server.maxConnections = MAX_CONNECTIONS
  // One more than is allowed, so that fields beyond the limit are noticed and not dropped silently.
  server.maxHeadersCount = 101
  const current = new WeakMap<Duplex, Exchange>()
  server.on('request', (request, response) => current.set(request.socket, { request, response }))
  server.on('clientError', (error: NodeJS.ErrnoException, socket: Duplex) => {
    if (!socket.writable || NO_ANSWER.test(error.code ?? '')) return socket.destroy()
    const last = current.get(socket)
    if (last === undefined || isOver(last) || isUnanswered(last)) {
      const status = STATUS[error.code ?? ''] ?? '400 Bad Request'
      const answer = `HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`
      return socket.end(answer, () => socket.destroy())
    }
    return last.response.writableFinished ? socket.destroy() : last.response.once('finish', () => socket.destroy())
  })
  // No tunnels and no other protocols.
  server.on('connect', (_, socket) => socket.destroy())
}

interface Exchange {
  readonly request: IncomingMessage
  readonly response: ServerResponse
}

// The error is in a message after this one.
function isOver({ request, response }: Exchange): boolean {
  return request.complete && response.writableFinished
}

// The error is in the body of this one, and its answer has not begun.
function isUnanswered({ request, response }: Exchange): boolean {
  return !request.complete && !response.headersSent
}
