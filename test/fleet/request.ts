import type { IncomingMessage } from 'node:http'
import { type Agent, request as httpsRequest, type RequestOptions } from 'node:https'

/** An answer, read to its end. */
export interface Answer {
  readonly status: number
  readonly body: string
}

/** Whether a connection that was kept is to blame: the other side closed it before the request came. */
export class StaleConnectionError extends Error {}

/** Sends one request to a port of this machine and reads the answer. */
export function send(
  port: number,
  options: { readonly agent: Agent; readonly path: string; readonly headers: RequestOptions['headers'] },
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const sent = httpsRequest({ host: '127.0.0.1', port, timeout: 60_000, rejectUnauthorized: true, ...options })
    sent.on('timeout', () => sent.destroy(new Error('no answer within a minute')))
    sent.on('error', (error: NodeJS.ErrnoException) => {
      const isStale = sent.reusedSocket && (error.code === 'ECONNRESET' || error.code === 'EPIPE')
      reject(isStale ? new StaleConnectionError() : error)
    })
    sent.on('response', (response) => void read(response).then(resolve, reject))
    sent.end()
  })
}

async function read(response: IncomingMessage): Promise<Answer> {
  let body = ''
  for await (const chunk of response) body += chunk
  return { status: response.statusCode ?? 0, body }
}
