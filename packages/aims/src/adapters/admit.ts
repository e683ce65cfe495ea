import { randomUUID } from 'node:crypto'
import type { Authenticator } from '../authentication/authenticate.ts'
import type { Principal } from '../authentication/principal.ts'
import { AimsError } from '../base/errors.ts'
import { type AdapterOptions, type NodeRequest, type NodeResponse, sendProblem, toIncomingRequest } from './incoming.ts'
import { signWhereDemanded } from './signing-response.ts'

/** Who calls, and what ties the records of the request together: pass it on to `authorize`. */
export interface Caller {
  readonly principal: Principal
  readonly correlationId: string
}

/**
 * Authenticates a request of Node. What all adapters for servers on Node have in common.
 *
 * @returns Nothing when the request was refused: then it has been answered.
 */
export async function admit(
  authenticator: Authenticator,
  [request, response]: readonly [NodeRequest, NodeResponse],
  options: AdapterOptions,
): Promise<Caller | undefined> {
  const correlationId = randomUUID()
  try {
    const incoming = toIncomingRequest(request, correlationId, options)
    const principal = await authenticator.authenticate(incoming, options)
    if ('stream' in response) requireUnsigned(authenticator, principal)
    else signWhereDemanded(response, authenticator, principal, correlationId, options)
    return rememberCaller(request, { principal, correlationId })
  } catch (error) {
    sendProblem(response, authenticator.problem(error, correlationId, options))
    return undefined
  }
}

/** For what is answered by something else than a response of HTTP/1. @throws {@link AimsError} `signature.cannot_sign` */
export function requireUnsigned(authenticator: Authenticator, principal: Principal): void {
  if (authenticator.responseSigner(principal) !== undefined) {
    throw new AimsError('signature.cannot_sign', 'the caller demands a signed response, and there is none here')
  }
}

const callers = new WeakMap<object, Caller>()

/** Notes who sent a request, for {@link callerOf}. */
export function rememberCaller(request: object, caller: Caller): Caller {
  callers.set(request, caller)
  return caller
}

/** Who sent a request that an adapter has let through. @throws TypeError for any other */
export function callerOf(request: object): Caller {
  const caller = callers.get(request)
  if (caller === undefined) throw new TypeError('nothing has authenticated this request: put the adapter in front')
  return caller
}
