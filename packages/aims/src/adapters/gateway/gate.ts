import type { IncomingMessage } from 'node:http'
import { refusalOf, successOf } from '../../authentication/audit.ts'
import type { Authenticator } from '../../authentication/authenticate.ts'
import { type RawHeaders, requireFewFields } from '../../authentication/carriage.ts'
import type { Principal } from '../../authentication/principal.ts'
import type { ProblemResponse } from '../../authentication/problem.ts'
import type { IncomingRequest } from '../../authentication/request.ts'
import type { RouteRequirements } from '../../authentication/route.ts'
import type { Authorizer } from '../../authorization/authorizer.ts'
import { canonicalPath } from '../../authorization/path.ts'
import { httpAction, serviceResource } from '../../authorization/request.ts'
import { createCorrelationId } from '../../base/correlation-id.ts'
import { AimsError } from '../../base/errors.ts'
import type { Observer } from '../../base/event.ts'
import type { WorkloadId } from '../../identifiers/spiffe-id.ts'
import { callerFields, fieldsToRemove, isReservedField } from './fields.ts'
import { gateChecks } from './gate-checks.ts'
import { problemOf } from './problem.ts'
import { rightsAlone } from './rights.ts'
import { EVERY_PATH, findRoute, type GatewayRoute, requireRoutes } from './routes.ts'

/** What a gateway judges by, in whatever form it is asked. */
export interface GateOptions {
  readonly authenticator: Authenticator
  /** Learns of every request that was let through, and of those that were refused before anybody was asked who calls. */
  readonly observer: Observer
  /** In this order; what none of them names is refused. Default: every path, for every caller of the authenticator. */
  readonly routes?: readonly GatewayRoute[]
  /** Who may do what, asked after the caller is known. Default: every caller that a route accepts may. */
  readonly authorization?: Authorization
  /**
   * What the rights of sub-agents call the service, compared where no policies are asked. Without either, a sub-agent is refused:
   * its parent has given it less than it may do itself, and nobody would look.
   */
  readonly service?: WorkloadId
  /** Refuse requests with a reserved field in place of taking it away. For gateways that cannot take anything away. Default false. */
  readonly refuseReservedFields?: boolean
}

/** Who decides, and what the service is called there. */
export interface Authorization {
  readonly authorizer: Authorizer
  readonly service: WorkloadId
}

/** What becomes of a request. */
export type Verdict =
  | {
      readonly effect: 'admit'
      /** Absent on a public route. */
      readonly caller: Principal | undefined
      readonly id: string
      /** For the service, in place of those of the same names. */
      readonly add: RawHeaders
      /** What of the request must not reach the service. */
      readonly remove: readonly string[]
    }
  | { readonly effect: 'refuse'; readonly id: string; readonly response: ProblemResponse }

/** Decides about requests to one service. */
export interface Gate {
  readonly authenticator: Authenticator
  /** Never throws for what a request is; what cannot be recorded or checked is refused. */
  judge(request: IncomingRequest): Promise<Verdict>
  /** The answer to a request that nobody can judge, after it was recorded. */
  refuse(request: IncomingRequest, error: unknown): Promise<Extract<Verdict, { effect: 'refuse' }>>
}

/**
 * Makes the gate that all gateways share: one spelling of the path, one route, the caller, the decision, the record.
 *
 * @throws TypeError for routes that cannot be meant, or accept a method the authenticator has not
 */
export function createGate(options: GateOptions): Gate {
  const { authenticator, observer, authorization, service, refuseReservedFields = false } = options
  const routes = requireRoutes(options.routes ?? EVERY_PATH)
  for (const { requires } of routes) requireKnownMethods(authenticator, requires)

  const refuse = async (request: IncomingRequest, id: string, error: unknown, route?: RouteRequirements) => {
    // The authenticator and the authorizer have recorded theirs.
    const response = await recorded(request, id, error, observer).then(
      () => problemOf(authenticator, error, id, route),
      (cause: unknown) => problemOf(authenticator, cause, id, route),
    )
    return { effect: 'refuse', id, response } as const
  }

  const rights = service === undefined ? undefined : { authorizer: rightsAlone(observer), service }
  const authorizationOf = ({ delegation }: Principal): Authorization | undefined => {
    if (authorization !== undefined || delegation === undefined) return authorization
    if (rights === undefined) {
      throw new AimsError('authorization.rights_unchecked', 'nobody here compares the rights of a sub-agent')
    }
    return rights
  }

  const judge = async (request: IncomingRequest, id: string): Promise<Verdict> => {
    let requires: RouteRequirements | 'public'
    try {
      const path = canonicalPath(requireOriginForm(request.target))
      // What is beyond these, nobody has looked at; on a public route as well.
      requireKnownUpgrade(requireFewFields(request.headers))
      if (refuseReservedFields) requireNoReservedField(request.headers)
      requires = findRoute(routes, request.method, path).requires
    } catch (error) {
      return await refuse(request, id, error)
    }
    if (requires === 'public') return admitted(request, id, undefined)
    let caller: Principal
    try {
      caller = await authenticator.authenticate({ ...request, id }, requires)
    } catch (error) {
      return { effect: 'refuse', id, response: problemOf(authenticator, error, id, requires) }
    }
    try {
      const decides = authorizationOf(caller)
      if (decides === undefined) await observer.record(successOf(request, caller, id))
      else await requirePermission(decides, caller, request, id)
      return admitted(request, id, caller)
    } catch (error) {
      return await refuse(request, id, error, requires)
    }
  }

  return {
    authenticator,
    judge: (request) => judge(request, request.id ?? createCorrelationId()),
    refuse: (request, error) => refuse(request, request.id ?? createCorrelationId(), error),
  }
}

/** As much of a request that cannot be judged as a record about it needs. */
export function bareRequest({ method = '', url = '' }: IncomingMessage, id: string): IncomingRequest {
  return { id, method, target: url, headers: [] }
}

/** The target as servers route it. @throws {@link AimsError} `authentication.target_unsupported` */
function requireOriginForm(target: string): string {
  if (target.startsWith('/') && !target.includes('#')) return target
  throw new AimsError('authentication.target_unsupported', 'the target is not a path with or without a query')
}

// What follows an upgrade to h2c would be requests that nobody judges, and many proxies pass it on.
function requireKnownUpgrade(headers: RawHeaders): void {
  const isOther = headers.some(
    ([name, value]) => name.toLowerCase() === 'upgrade' && value.toLowerCase() !== 'websocket',
  )
  if (isOther) {
    throw new AimsError('authentication.target_unsupported', 'an upgrade to something else than a WebSocket')
  }
}

function requireNoReservedField(headers: RawHeaders): void {
  const found = headers.map(([name]) => name).filter(isReservedField)
  if (found.length === 0) return
  throw new AimsError('authentication.reserved_field', 'the request carries a field that only a gateway sets', {
    observed: found.join(', '),
  })
}

function requireKnownMethods({ methods }: Authenticator, requires: RouteRequirements | 'public'): void {
  if (requires === 'public') return
  const unknown = requires.accept?.find((method) => !methods.includes(method))
  if (unknown !== undefined) throw new TypeError(`a route accepts ${unknown}, which the gateway does not`)
}

async function requirePermission(
  { authorizer, service }: Authorization,
  principal: Principal,
  { method, target }: IncomingRequest,
  id: string,
): Promise<void> {
  const action = httpAction(method, target)
  const decision = await authorizer.authorize({ principal, action, resource: serviceResource(service) }, id)
  if (decision.effect !== 'allow') throw new AimsError('authorization.denied', 'the policies do not allow this')
}

function admitted(request: IncomingRequest, id: string, caller: Principal | undefined): Verdict {
  const { headers } = request
  return { effect: 'admit', caller, id, add: callerFields(caller, id), remove: fieldsToRemove(headers, caller) }
}

async function recorded(request: IncomingRequest, id: string, error: unknown, observer: Observer): Promise<void> {
  if (!AimsError.is(error) || error.code === 'authorization.denied') return
  await observer.record(refusalOf(request, error, id, gateChecks(error)))
}
