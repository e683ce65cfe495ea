import { Agent, type ClientRequest, type IncomingMessage, request as requestHttp } from 'node:http'
import { type Agent as HttpsAgent, request as requestHttps } from 'node:https'
import { connectFailure, isForbidden } from './connect-failure.ts'
import { startDeadline } from './deadline.ts'
import { AimsError } from './errors.ts'
import { type JsonValue, parseJson } from './json.ts'
import { refusalIn } from './refusal-answer.ts'

/** A request to the API of an AIMS server. */
export interface ApiRequest {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE'
  /** With query, percent-encoded. */
  readonly path: string
  /** Sent as JSON. */
  readonly body?: unknown
  /** Milliseconds until the whole answer must be here. Default 10,000. */
  readonly timeout?: number
  /** Gives up early. */
  readonly signal?: AbortSignal
}

/** Sends requests to one server. */
export interface ApiClient {
  /**
   * @returns The JSON of a 2xx answer; `undefined` when it has no content.
   * @throws {@link AimsError} with the code of the server's problem document; `operation.server_unreachable`,
   *   `operation.server_timeout`, `operation.invalid_response`
   */
  send(request: ApiRequest): Promise<JsonValue | undefined>
  /** Closes idle connections. */
  close(): void
}

/** Where the server is: a Unix socket, or an HTTPS origin with an agent that authenticates both sides (mTLS). */
export type ApiAddress =
  | { readonly socketPath: string }
  | { readonly host: string; readonly port: number; readonly agent: HttpsAgent }

const MAX_RESPONSE = 16 * 1024 * 1024

/**
 * Makes a client for the API of an AIMS server. Redirects are never followed; answers above 16 MiB are refused.
 *
 * Over a Unix socket the server knows the caller from the kernel; over HTTPS from the agent's client certificate.
 */
export function apiClient(address: ApiAddress): ApiClient {
  const local = 'socketPath' in address
  const agent = local ? new Agent({ keepAlive: true, maxSockets: 64 }) : address.agent
  const where = local ? address.socketPath : `https://${address.host}:${address.port}`

  const open = (options: ApiRequest, headers: Record<string, string | number>): ClientRequest => {
    const { method, path, signal } = options
    const common = { method, path, headers, agent, ...(signal === undefined ? {} : { signal }) }
    return local
      ? requestHttp({ ...common, socketPath: address.socketPath, host: 'localhost' })
      : requestHttps({ ...common, host: address.host, port: address.port })
  }

  return {
    async send(options) {
      const body = options.body === undefined ? undefined : Buffer.from(JSON.stringify(options.body))
      const headers: Record<string, string | number> = { accept: 'application/json, application/problem+json' }
      if (body !== undefined) {
        headers['content-type'] = 'application/json'
        headers['content-length'] = body.length
      }
      using deadline = startDeadline(options.timeout ?? 10_000, options.signal)
      try {
        return await exchange(open({ ...options, signal: deadline.signal }, headers), body)
      } catch (cause) {
        if (AimsError.is(cause)) throw cause
        if (deadline.isOver()) throw new AimsError('operation.server_timeout', `${where}: no answer in time`, { cause })
        throw new AimsError('operation.server_unreachable', `${where}: ${reasonOf(cause)}`, { cause })
      }
    },
    close: () => agent.destroy(),
  }
}

function reasonOf(cause: unknown): string {
  const fix = ': run as the user of the server, or let this user in with api.socket and api.adminUids'
  return `${connectFailure(cause) ?? 'no answer'}${isForbidden(cause) ? fix : ''}`
}

function exchange(request: ClientRequest, body: Buffer | undefined): Promise<JsonValue | undefined> {
  return new Promise((resolve, reject) => {
    request.on('error', reject)
    request.on('response', (response) => {
      readBody(response)
        .then((bytes) => resolve(readAnswer(response, bytes)), reject)
        .catch(reject)
    })
    request.end(body)
  })
}

async function readBody(response: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of response) {
    size += chunk.length
    if (size > MAX_RESPONSE) throw new AimsError('operation.invalid_response', 'the answer is larger than 16 MiB')
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

function readAnswer(response: IncomingMessage, bytes: Buffer): JsonValue | undefined {
  const { statusCode = 0 } = response
  if (statusCode === 204) return undefined
  const type = response.headers['content-type']?.split(';', 1)[0]
  if (statusCode >= 400 && type === 'application/problem+json') throw problem(bytes)
  if (statusCode < 200 || statusCode > 299 || type !== 'application/json') {
    throw new AimsError('operation.invalid_response', `status ${statusCode} and no JSON`)
  }
  return readJson(bytes)
}

function problem(bytes: Buffer): AimsError {
  const refusal = refusalIn(readJson(bytes))
  return refusal ?? new AimsError('operation.invalid_response', 'a problem without a code that this version knows')
}

function readJson(bytes: Buffer): JsonValue {
  try {
    return parseJson(bytes, { maxLength: MAX_RESPONSE, maxDepth: 32, maxMembers: 1_000_000 })
  } catch (cause) {
    throw new AimsError('operation.invalid_response', 'the answer is not JSON', { cause })
  }
}
