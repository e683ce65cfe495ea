import { randomUUID } from 'node:crypto'
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http'
import type { Authenticator } from '../authentication/authenticate.ts'
import type { Principal } from '../authentication/principal.ts'
import { type AdapterOptions, sendProblem, toIncomingRequest } from './incoming.ts'
import { signWhereDemanded } from './signing-response.ts'

export type { AdapterOptions } from './incoming.ts'
export { type ProvingRequestOptions, provingRequest } from './proving-request.ts'
export type { HttpSignatureOptions } from './signed-exchange.ts'

/**
 * Handles a request whose caller is known. The request is as it came: its body was not read, or can be read again.
 *
 * @param correlationId - Ties the records of this request together: pass it on to `authorize`.
 */
export type AuthenticatedHandler = (
  request: IncomingMessage,
  response: ServerResponse,
  principal: Principal,
  correlationId: string,
) => unknown

/**
 * Puts authentication in front of a handler of node:http or node:https. Requests that are refused get a problem document
 * and never reach it. Does not ask whether the caller may do what it asks for.
 *
 * For mTLS the server needs `serverTlsOptions` and `rotatingServer`.
 */
export function protect(
  authenticator: Authenticator,
  handler: AuthenticatedHandler,
  options: AdapterOptions = {},
): RequestListener {
  return async (request, response) => {
    const id = randomUUID()
    let principal: Principal
    try {
      principal = await authenticator.authenticate(toIncomingRequest(request, id, options), options)
    } catch (error) {
      return sendProblem(response, authenticator.problem(error, id, options))
    }
    signWhereDemanded(response, authenticator, principal, id, options)
    await handler(request, response, principal, id)
  }
}
