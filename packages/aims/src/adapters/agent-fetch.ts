import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'
import { type Agent, request as requestHttps } from 'node:https'
import { Readable } from 'node:stream'

/**
 * A `fetch` over the connections of an agent of node:https, e.g. `mtlsAgent`. For what only takes a `fetch`. Bodies are
 * text or bytes; responses come as they arrive. Redirects are handed on, not followed.
 *
 * @throws TypeError for an agent that does not verify servers, and for what is not https
 */
export function agentFetch(agent: Agent): typeof globalThis.fetch {
  if (agent.options.rejectUnauthorized === false) throw new TypeError('the agent does not verify servers')
  return async (input, init) => {
    const request = new Request(input, init)
    const { method, signal } = request
    const url = new URL(request.url)
    if (url.protocol !== 'https:') throw new TypeError('an agent for https sends nothing else')
    const body = request.body === null ? undefined : new Uint8Array(await request.arrayBuffer())
    const headers: Record<string, string> = Object.fromEntries(request.headers)
    if (body !== undefined) headers['content-length'] = String(body.length)
    return await new Promise((resolve, reject) => {
      // Not left to the environment.
      const sent = requestHttps(url, { agent, method, headers, signal, rejectUnauthorized: true }, (response) => {
        resolve(toResponse(response))
      })
      sent.on('error', reject)
      sent.end(body)
    })
  }
}

const WITHOUT_BODY = [204, 205, 304]

function toResponse(message: IncomingMessage): Response {
  const { statusCode: status = 0, statusMessage: statusText = '', headers } = message
  const isEmpty = WITHOUT_BODY.includes(status)
  if (isEmpty) message.resume()
  return new Response(isEmpty ? null : Readable.toWeb(message), { status, statusText, headers: toHeaders(headers) })
}

function toHeaders(fields: IncomingHttpHeaders): Headers {
  const headers = new Headers()
  for (const [name, value] of Object.entries(fields)) {
    for (const one of Array.isArray(value) ? value : [value]) if (one !== undefined) headers.append(name, one)
  }
  return headers
}
