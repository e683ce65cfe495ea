import type { IncomingMessage, ServerResponse } from 'node:http'
import type { RawHeaders } from '../../authentication/carriage.ts'
import { AimsError } from '../../base/errors.ts'
import { endToEnd, grouped } from './relay-fields.ts'
import type { Service } from './service.ts'

/**
 * Hands a request to the service and its response back. Bodies stream in both directions, at the pace of the slower side.
 *
 * @param headers - Of the request, as the service is to see them.
 * @returns When the response has gone out, or nobody waits for it any more.
 * @throws {@link AimsError} `operation.service_unreachable`, `operation.service_timeout`
 */
export function forward(
  request: IncomingMessage,
  response: ServerResponse,
  headers: RawHeaders,
  service: Service,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const passed = service.open(request.method ?? '', request.url ?? '', framed(request, headers))
    let isAnswered = false
    const fail = (error: AimsError): void => {
      passed.destroy()
      // The client sees a message that does not end, and not one that is short, or put together of two.
      if (isAnswered) response.destroy()
      else reject(error)
    }
    passed.on('timeout', () => fail(new AimsError('operation.service_timeout', 'the service does not answer')))
    passed.on('error', (cause) => fail(serviceLost(cause)))
    // Nobody would see the answer.
    response.on('close', () => {
      passed.destroy()
      resolve()
    })
    // Nobody has asked for another protocol.
    passed.on('upgrade', () => fail(serviceLost(undefined)))
    passed.on('response', (answer) => {
      answer.on('error', (cause) => fail(serviceLost(cause)))
      const { statusCode = 0 } = answer
      if (!isFinal(statusCode)) return fail(serviceLost(undefined))
      isAnswered = true
      response.statusCode = statusCode
      for (const [name, value] of Object.entries(grouped(endToEnd(toPairs(answer))))) {
        if (value !== undefined) response.setHeader(name, value)
      }
      answer.pipe(response)
    })
    request.on('aborted', () => passed.destroy())
    if (hasBody(request)) request.pipe(passed)
    else passed.end()
  })
}

/** Whether a status is one of HTTP that ends an exchange. Node throws for those that are none when they are sent on. */
export function isFinal(status: number): boolean {
  return status >= 200 && status <= 999
}

/** The fields of an answer of the service, which may have more of them than a request. */
export function toPairs({ rawHeaders }: IncomingMessage): RawHeaders {
  const pairs: [string, string][] = []
  for (let at = 0; at < rawHeaders.length; at += 2) pairs.push([rawHeaders[at] ?? '', rawHeaders[at + 1] ?? ''])
  return pairs
}

/** The refusal when the service went away. */
export function serviceLost(cause: unknown): AimsError {
  return new AimsError('operation.service_unreachable', 'the service does not take the request', { cause })
}

/** Whether the message says that a body follows. */
export function hasBody({ headers }: IncomingMessage): boolean {
  return headers['transfer-encoding'] !== undefined || headers['content-length'] !== undefined
}

// How long the body is, is said anew: as the parser has understood it.
function framed(request: IncomingMessage, headers: RawHeaders): RawHeaders {
  return request.headers['transfer-encoding'] === undefined
    ? headers
    : [...headers, ['transfer-encoding', 'chunked'] as const]
}
