import { STATUS_CODES } from 'node:http'
import type { Duplex } from 'node:stream'
import type { ProblemResponse } from '../authentication/problem.ts'

/** Answers a request whose connection Node has handed over, for an upgrade that does not happen, and ends the connection. */
export function answerOnSocket(socket: Duplex, { status, headers, body }: ProblemResponse): void {
  const fields = { ...headers, 'content-length': `${Buffer.byteLength(body)}`, connection: 'close' }
  const lines = Object.entries(fields).map(([name, value]) => `${name}: ${value}\r\n`)
  socket.end(`HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}\r\n${lines.join('')}\r\n${body}`)
}
