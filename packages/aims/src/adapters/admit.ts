import type { Authenticator } from '../authentication/authenticate.ts'
import type { Principal } from '../authentication/principal.ts'
import { createCorrelationId } from '../base/correlation-id.ts'
import { createNotes } from '../base/notes.ts'
import { endResponseWith } from './end-with.ts'
import { type AdapterOptions, type NodeRequest, type NodeResponse, sendProblem, toIncomingRequest } from './incoming.ts'
import { signWhereDemanded } from './signing-response.ts'

/** Who sent a request. */
export interface Caller {
  readonly principal: Principal
  /** Ties the records of the request together: pass it on to `authorize`. */
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
  const correlationId = createCorrelationId()
  try {
    const incoming = toIncomingRequest(request, correlationId, options)
    // Only a response of HTTP/1 is one that can be kept until it is complete.
    const answersUnsigned = 'stream' in response
    const principal = await authenticator.authenticate({ ...incoming, answersUnsigned }, options)
    if (!answersUnsigned) signWhereDemanded(response, authenticator, principal, correlationId, options)
    const caller = rememberCaller(request, { principal, correlationId })
    endResponseWith(response, authenticator, caller)
    return caller
  } catch (error) {
    sendProblem(response, authenticator.problem(error, correlationId, options))
    return undefined
  }
}

const callers = createNotes<Caller>()

/** Notes who sent a request, for {@link callerOf}. */
export function rememberCaller(request: object, caller: Caller): Caller {
  callers.put(request, caller)
  return caller
}

/** Who sent a request that an adapter has let through. @throws TypeError for any other */
export function callerOf(request: object): Caller {
  const caller = callers.get(request)
  if (caller === undefined) throw new TypeError('nothing has authenticated this request: put the adapter in front')
  return caller
}
