import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Http2ServerRequest, Http2ServerResponse } from 'node:http2'
import type { Authenticator } from '../authentication/authenticate.ts'
import { admit, type Caller } from './admit.ts'
import type { AdapterOptions } from './incoming.ts'

export type { Caller } from './admit.ts'
export { agentFetch } from './agent-fetch.ts'
export type { AdapterOptions } from './incoming.ts'
export { type ProvingRequestOptions, provingRequest } from './proving-request.ts'
export type { HttpSignatureOptions } from './signed-exchange.ts'

/** Handles a request whose caller is known. The request is as it came: its body was not read, or can be read again. */
export type AuthenticatedHandler<
  Incoming extends IncomingMessage | Http2ServerRequest = IncomingMessage,
  Outgoing extends ServerResponse | Http2ServerResponse = ServerResponse,
> = (request: Incoming, response: Outgoing, caller: Caller) => unknown

/**
 * Puts authentication in front of a handler of node:http, node:https or node:http2. Requests that are refused get a problem
 * document and never reach it. Does not ask whether the caller may do what it asks for.
 *
 * For mTLS the server needs `serverTlsOptions` and `rotatingServer`.
 */
export function protect<
  Incoming extends IncomingMessage | Http2ServerRequest = IncomingMessage,
  Outgoing extends ServerResponse | Http2ServerResponse = ServerResponse,
>(
  authenticator: Authenticator,
  handler: AuthenticatedHandler<Incoming, Outgoing>,
  options: AdapterOptions = {},
): (request: Incoming, response: Outgoing) => Promise<void> {
  return async (request, response) => {
    const caller = await admit(authenticator, [request, response], options)
    const handled = caller === undefined ? undefined : handler(request, response, caller)
    // Many handlers return the response: the engine takes long to find out that it is no promise.
    if (handled !== response) await handled
  }
}
