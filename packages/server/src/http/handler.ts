import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { AimsError, type AimsErrorCode, createCorrelationId } from 'aims/base'
import { RateLimited } from '../limits/rate-limited.ts'
import { problemFor } from './problem.ts'
import { readBody, readQuery, readTarget } from './request-reader.ts'
import type { Caller, Entrance, Reply, Route } from './route.ts'
import { createRouter, MethodNotAllowed } from './router.ts'

/** What a listener needs besides its socket. */
export interface HandlerOptions {
  readonly routes: readonly Route[]
  readonly entrance: Entrance
  /** Who is on the other end. Called for each request, and again when its body has come; it must not trust the request. */
  identify(socket: Socket, id: string): Promise<Caller> | Caller
  /** Names that `Host` may have; `undefined` on a Unix socket. */
  readonly allowedHosts: ReadonlySet<string> | undefined
  /**
   * Bounds how often somebody may ask. `undefined`: who proved nothing that holds.
   *
   * @throws {@link RateLimited}
   */
  limit(caller: Caller | undefined, socket: Socket): void
  /** Told about callers that were refused, before they are answered. */
  refused(caller: Caller, route: Route, refusal: { readonly id: string; readonly code: AimsErrorCode }): Promise<void>
  /** Told about every answer. */
  answered(route: string, status: number): void
  /** Told about errors that are our own fault. */
  failed(error: unknown, id: string): void
  /** Aborted when the server stops. */
  readonly stopping: AbortSignal
}

/**
 * Turns routes into a handler for node's servers: one request, one answer, and the connection closes after an error.
 * Callers on this machine get the reason in words; others a code and an id.
 */
export function createHandler(options: HandlerOptions): RequestListener {
  const { routes, entrance, stopping } = options
  const find = createRouter(routes, entrance)
  const showDetail = entrance === 'unix'

  const identify = async (socket: Socket, route: Route, id: string): Promise<Caller> => {
    const caller = await Promise.resolve(options.identify(socket, id)).catch((error: unknown) => {
      options.limit(undefined, socket)
      throw error
    })
    try {
      options.limit(caller, socket)
    } catch (error) {
      await options.refused(caller, route, { id, code: 'operation.rate_limited' })
      throw error
    }
    return caller
  }

  const admit = async (caller: Caller, route: Route, id: string): Promise<Caller> => {
    if (caller.access.has(route.access)) return caller
    const code = caller.method === 'none' ? 'operation.unauthenticated' : 'operation.not_permitted'
    await options.refused(caller, route, { id, code })
    throw new AimsError(code, `the route needs a caller with access ${route.access}`)
  }

  const answer = async (request: IncomingMessage, response: ServerResponse, id: string): Promise<string> => {
    const target = readTarget(request, options.allowedHosts)
    const { route, params } = find(request.method ?? '', target.path)
    const first = await admit(await identify(request.socket, route, id), route, id)
    const query = readQuery(target.query, route)
    const body = await readBody(request, route)
    // A body may take its time, in which callers are banned and revoked, and credentials end (X8).
    const again = async (): Promise<Caller> => admit(await options.identify(request.socket, id), route, id)
    const caller = route.body === undefined ? first : await again()
    let signal: AbortSignal | undefined
    const reply = await route.handle({
      id,
      caller,
      again,
      params,
      query,
      body,
      // Few routes wait for something; the others do not pay for a signal.
      get signal() {
        signal ??= goneOrStopping(response, stopping)
        return signal
      },
    })
    if (stopping.aborted) response.setHeader('connection', 'close')
    send(response, reply)
    return route.path
  }

  return (request, response) => {
    const id = createCorrelationId()
    response.setHeader('x-request-id', id)
    answer(request, response, id).then(
      (path) => options.answered(path, response.statusCode),
      (error: unknown) => {
        if (!AimsError.is(error)) options.failed(error, id)
        const problem = problemFor(error, id, { showDetail })
        options.answered('error', problem.status)
        if (response.headersSent) return response.destroy()
        if (error instanceof MethodNotAllowed) response.setHeader('allow', error.allow)
        if (error instanceof RateLimited) response.setHeader('retry-after', String(error.retryAfter))
        // What is left of the request is not read as the beginning of another one (H1).
        response.setHeader('connection', 'close')
        return end(response, problem.status, 'application/problem+json', JSON.stringify(problem))
      },
    )
  }
}

function goneOrStopping(response: ServerResponse, stopping: AbortSignal): AbortSignal {
  const gone = new AbortController()
  if (response.closed) gone.abort()
  else response.once('close', () => gone.abort())
  return AbortSignal.any([gone.signal, stopping])
}

function send(response: ServerResponse, { status, body, text }: Reply): void {
  if (text !== undefined) end(response, status, text.type, text.content)
  else if (body === undefined) response.writeHead(status).end()
  else end(response, status, 'application/json', JSON.stringify(body))
}

function end(response: ServerResponse, status: number, type: string, content: string): void {
  const headers = {
    'content-type': type,
    'content-length': Buffer.byteLength(content),
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
  }
  response.writeHead(status, headers).end(content)
}
