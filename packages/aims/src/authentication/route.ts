import { AimsError } from '../base/errors.ts'
import type { IdMatcher } from '../identifiers/matcher.ts'
import type { AuthenticationMethod } from './principal.ts'
import type { RequiredBinding } from './wpt/verify.ts'

/** What one route asks of its callers, where it asks for more than the service does everywhere. It never asks for less. */
export interface RouteRequirements {
  /** The methods this route accepts, of those the service accepts. Default: all of them. */
  readonly accept?: readonly AuthenticationMethod[]
  /** What a proof must name for this route, beside what it must name everywhere. */
  readonly requireBinding?: RequiredBinding
  /** Who may call this route, of those who may call the service. */
  readonly peer?: IdMatcher
}

/** The methods that count for a route. @throws TypeError for a route that accepts one the service does not */
export function methodsOf(
  methods: readonly AuthenticationMethod[],
  { accept }: RouteRequirements,
): readonly AuthenticationMethod[] {
  if (accept === undefined) return methods
  const unknown = accept.find((method) => !methods.includes(method))
  if (accept.length === 0 || unknown !== undefined) {
    throw new TypeError(`accept names ${unknown ?? 'no method'}, which is none of the methods of the authenticator`)
  }
  return accept
}

/** What a proof must name: what the service asks for everywhere, and what the route does. */
export function bindingOf(
  service: RequiredBinding | undefined,
  { requireBinding }: RouteRequirements,
): RequiredBinding {
  if (requireBinding === undefined) return service ?? NOTHING
  return {
    method: service?.method === true || requireBinding.method === true,
    target: service?.target === true || requireBinding.target === true,
    body: service?.body === true || requireBinding.body === true,
  }
}

const NOTHING: RequiredBinding = {}

/** Refuses a caller whom one of the matchers does not know. @throws {@link AimsError} `authentication.peer_unexpected` */
export function requirePeer(id: Parameters<IdMatcher>[0], ...matchers: readonly (IdMatcher | undefined)[]): void {
  for (const matches of matchers) {
    if (matches !== undefined && matches(id) !== true) {
      throw new AimsError('authentication.peer_unexpected', 'the caller is authentic but not expected')
    }
  }
}
