import type { OutgoingHttpHeader, OutgoingHttpHeaders, ServerResponse } from 'node:http'
import type { Authenticator } from '../authentication/authenticate.ts'
import type { RawHeaders } from '../authentication/carriage.ts'
import type { ResponseSigner } from '../authentication/http-signature/responses.ts'
import type { Principal } from '../authentication/principal.ts'
import type { ProblemResponse } from '../authentication/problem.ts'
import { AimsError } from '../base/errors.ts'
import type { AdapterOptions } from './incoming.ts'

/** Bytes of a response that are kept until it is complete, and can be signed. */
export const MAX_SIGNED_BODY = 1_048_576

/** Makes the response to this caller go out signed, where it demands that. For adapters of node:http. */
export function signWhereDemanded(
  response: ServerResponse,
  authenticator: Authenticator,
  principal: Principal,
  id: string,
  options: AdapterOptions,
): void {
  const signer = authenticator.responseSigner(principal)
  if (signer === undefined) return
  signResponseOf(response, signer, (error) => authenticator.problem(error, id, options), options.maxSignedBody)
}

/** What to answer in place of a response that could not be signed. */
type Failure = (error: unknown) => ProblemResponse

/**
 * Makes a response of node:http one that goes out signed, or not at all: status, fields and body are kept until it is
 * complete. What is not a whole response by then, or longer than `limit`, becomes a problem document.
 */
function signResponseOf(
  response: ServerResponse,
  signer: ResponseSigner,
  fail: Failure,
  limit: number = MAX_SIGNED_BODY,
): void {
  const original = {
    writeHead: response.writeHead,
    write: response.write,
    end: response.end,
    flushHeaders: response.flushHeaders,
  }
  const chunks: Buffer[] = []
  let length = 0
  let isDone = false

  const kept = (): ServerResponse => response
  const send = (body: string | Uint8Array): void => {
    Object.assign(response, original)
    response.end(body)
    // What a handler still writes must neither reach the caller nor, as a write after the end, bring the process down.
    Object.assign(response, { writeHead: kept, write: swallow, end: kept, flushHeaders: kept })
  }
  const sendProblem = (error: unknown): void => {
    isDone = true
    for (const name of response.getHeaderNames()) response.removeHeader(name)
    const { status, headers, body } = fail(error)
    response.statusCode = status
    response.statusMessage = ''
    for (const [name, value] of Object.entries(headers)) response.setHeader(name, value)
    send(body)
  }
  const keep = (chunk: unknown, encoding: unknown): void => {
    if (isDone || chunk === undefined || chunk === null) return
    const bytes =
      typeof chunk === 'string' ? Buffer.from(chunk, encodingOf(encoding)) : Buffer.from(chunk as Uint8Array)
    length += bytes.length
    if (length > limit) {
      sendProblem(new AimsError('signature.cannot_sign', `the response has more than ${limit} bytes`))
    } else chunks.push(bytes)
  }
  const finish = (): void => {
    if (isDone) return
    isDone = true
    const body = bodyOf(response, Buffer.concat(chunks))
    try {
      const fields = signer.sign({ status: response.statusCode, headers: headersOf(response), body })
      for (const name of SIGNATURE_FIELDS) response.removeHeader(name)
      for (const [name, value] of Object.entries(fields)) response.setHeader(name, value)
      response.removeHeader('trailer')
    } catch (error) {
      sendProblem(error)
      return
    }
    send(body)
  }

  Object.assign(response, {
    writeHead(status: number, ...rest: readonly unknown[]): ServerResponse {
      response.statusCode = status
      const [reason, given] = typeof rest[0] === 'string' ? rest : [undefined, rest[0]]
      if (typeof reason === 'string') response.statusMessage = reason
      setHeaders(response, given as OutgoingHttpHeaders | readonly OutgoingHttpHeader[] | undefined)
      return response
    },
    write(chunk: unknown, ...rest: readonly unknown[]): boolean {
      keep(chunk, rest[0])
      callLast(rest)
      return true
    },
    end(...given: readonly unknown[]): ServerResponse {
      const [chunk, encoding] = typeof given[0] === 'function' ? [] : given
      keep(chunk, encoding)
      const callback = given.at(-1)
      if (typeof callback === 'function') response.once('finish', callback as () => void)
      finish()
      return response
    },
    flushHeaders(): void {},
  })
}

/** What a signed response has one of, and the signer writes. */
export const SIGNATURE_FIELDS: readonly string[] = [
  'content-digest',
  'workload-identity-token',
  'signature',
  'signature-input',
]

function bodyOf(response: ServerResponse, body: Buffer): Buffer {
  // Node drops what these have, and nobody would see what was signed.
  const hasNone = response.req.method === 'HEAD' || response.statusCode === 204 || response.statusCode === 304
  return hasNone ? Buffer.alloc(0) : body
}

function headersOf(response: ServerResponse): RawHeaders {
  return Object.entries(response.getHeaders()).flatMap(([name, value]) =>
    (Array.isArray(value) ? value : [value]).map((one): [string, string] => [name, String(one)]),
  )
}

function setHeaders(
  response: ServerResponse,
  given: OutgoingHttpHeaders | readonly OutgoingHttpHeader[] | undefined,
): void {
  if (given === undefined) return
  const pairs = Array.isArray(given)
    ? given.flatMap((name, at) => (at % 2 === 0 ? [[String(name), given[at + 1]] as const] : []))
    : Object.entries(given)
  for (const [name, value] of pairs) if (value !== undefined) response.setHeader(name, value)
}

function swallow(...given: readonly unknown[]): true {
  callLast(given)
  return true
}

function encodingOf(encoding: unknown): BufferEncoding {
  return typeof encoding === 'string' && Buffer.isEncoding(encoding) ? encoding : 'utf8'
}

function callLast(given: readonly unknown[]): void {
  const callback = given.at(-1)
  if (typeof callback === 'function') queueMicrotask(() => callback())
}
