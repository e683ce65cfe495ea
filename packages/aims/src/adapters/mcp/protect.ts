import type { IncomingMessage, ServerResponse } from 'node:http'
import { refusalOf } from '../../authentication/audit.ts'
import type { Authenticator } from '../../authentication/authenticate.ts'
import type { Principal } from '../../authentication/principal.ts'
import { createCorrelationId } from '../../base/correlation-id.ts'
import { AimsError } from '../../base/errors.ts'
import type { Observer } from '../../base/event.ts'
import type { Caller } from '../admit.ts'
import { endWith } from '../end-with.ts'
import { type AdapterOptions, sendProblem, toIncomingRequest } from '../incoming.ts'
import { signWhereDemanded } from '../signing-response.ts'
import { type McpAuthInfo, toAuthInfo } from './caller.ts'
import { type MetadataOptions, parseResource, resourceMetadata, withMetadata } from './metadata.ts'
import { createOwned } from './owned.ts'
import { mcpProblem } from './problem.ts'
import { type ReachableAs, requireReachable } from './rebinding.ts'
import { SESSION_FIELD, watchSession } from './sessions.ts'
import { findRefusal, type WithAimsOptions } from './with-aims.ts'

/** How callers know the server, and what is asked of them beyond a proof for method, target and body. */
export interface ProtectMcpOptions extends AdapterOptions, MetadataOptions, ReachableAs {
  /** Receives why requests were refused here. Who calls is recorded by the authenticator's own. */
  readonly observer: Observer
  /**
   * Decides about `subscriptions/listen`, which the SDK answers in front of a server and its {@link withAims}. Default: nobody
   * may listen.
   */
  readonly rules?: WithAimsOptions
  /** Sessions that one caller may have; its oldest is forgotten for another. Default 100. There are 10,000 at most of all callers. */
  readonly maxSessionsPerCaller?: number
  /** Told of a session that was forgotten for another and that nobody can use any more: close its transport, which would stay for ever. */
  readonly onSessionForgotten?: (session: string) => void
}

/** A request whose caller is known, as the SDK takes it. */
export type McpHttpRequest = IncomingMessage & { method?: string; url?: string; auth?: McpAuthInfo }

/** A handler of node:http for MCP requests, e.g. of `toNodeHandler` or `transport.handleRequest`. */
export type McpHttpHandler = (request: McpHttpRequest, response: ServerResponse) => unknown

/** A request listener of node:http; in Express for `app.all`, before body parsers. */
export type McpListener = (request: IncomingMessage, response: ServerResponse) => Promise<void>

/**
 * Puts authentication in front of an MCP server over Streamable HTTP, for all methods: messages by POST, the stream by
 * GET, the end of a session by DELETE. The proof covers method, target and body, so that no call can be swapped for another.
 *
 * - A session belongs to the identity that opened it; for everybody else it does not exist (404). A stream is resumed in
 *   its session only: give the transport of each session an event store of its own.
 * - `Host` and `Origin` are those of `resource`, or of `hosts` and `origins`: a web page that reaches a server on this
 *   machine by rebinding its name is refused (403).
 * - Answers the request for the metadata of the resource, which needs no proof, and points to it with 401.
 * - A stream ends when the credential of its caller expires or was revoked; the SDK opens another one, with a new proof.
 *
 * Who calls is `callerOf(context)` in handlers. Does not ask what a caller may do: that is {@link withAims}.
 *
 * @see MCP 2026-07-28, section "Streamable HTTP"; RFC 9728
 */
export function protectMcp(
  authenticator: Authenticator,
  handler: McpHttpHandler,
  options: ProtectMcpOptions,
): McpListener {
  const { observer } = options
  const resource = parseResource(options.resource)
  const metadata = resourceMetadata(options)
  const route: AdapterOptions = { ...options, requireBinding: { method: true, target: true, body: true } }
  const sessions = createOwned({
    perOwner: options.maxSessionsPerCaller,
    onForgotten: options.onSessionForgotten,
  })

  // What is refused here, and not by the authenticator, is recorded here.
  const judged = async (request: IncomingMessage, id: string, check: () => void): Promise<void> => {
    try {
      check()
    } catch (error) {
      if (AimsError.is(error)) await observer.record(refusalOf(toIncomingRequest(request, id, route), error, id))
      throw error
    }
  }

  // The SDK refuses a request whose body has another method than this field says.
  const requireListening = async (request: IncomingMessage, caller: Caller): Promise<void> => {
    const method = request.headers['mcp-method']
    if (method !== LISTEN) return
    if (options.rules === undefined) {
      await judged(request, caller.correlationId, () => {
        throw new AimsError('mcp.denied', 'nobody decides about who may listen')
      })
    } else {
      const refusal = await findRefusal({ method }, caller, options.rules)
      if (refusal !== undefined) throw new AimsError(refusal, 'the caller may not listen')
    }
  }

  const admit = async (request: IncomingMessage, response: ServerResponse, id: string): Promise<Principal> => {
    // A stream has no end that could be signed.
    const incoming = { ...toIncomingRequest(request, id, route), answersUnsigned: request.method === 'GET' }
    const principal = await authenticator.authenticate(incoming, route)
    await judged(request, id, () => {
      const session = request.headers[SESSION_FIELD]
      if (session !== undefined && sessions.ownerOf(String(session)) !== principal.id) {
        throw new AimsError('mcp.session_unknown', 'the caller has not opened this session')
      }
      // Whose stream it was that broke off, only the session says.
      if (session === undefined && request.headers['last-event-id'] !== undefined) {
        throw new AimsError('mcp.session_unknown', 'a stream is resumed in the session that it belongs to')
      }
    })
    await requireListening(request, { principal, correlationId: id })
    watchSession(request, response, {
      opened: (opened) => sessions.open(opened, principal.id),
      closed: (closed) => sessions.close(closed),
    })
    signWhereDemanded(response, authenticator, principal, id, route)
    return principal
  }

  return async (request, response) => {
    const id = createCorrelationId()
    let principal: Principal
    try {
      await judged(request, id, () => requireReachable(request, options))
      if (metadata.answers(request)) return metadata.answer(response)
      principal = await admit(request, response, id)
    } catch (error) {
      const problem = mcpProblem(error, id) ?? withMetadata(authenticator.problem(error, id, route), metadata.url)
      return sendProblem(response, problem)
    }
    endWith(response, authenticator, { principal, correlationId: id })
    const { method = '', url = '' } = request
    await handler(Object.assign(request, { method, url, auth: toAuthInfo(principal, id, resource) }), response)
  }
}

const LISTEN = 'subscriptions/listen'
