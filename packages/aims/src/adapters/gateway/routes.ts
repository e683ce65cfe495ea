import type { RouteRequirements } from '../../authentication/route.ts'
import type { CanonicalPath } from '../../authorization/path.ts'
import { AimsError } from '../../base/errors.ts'

/** What one part of a service asks of its callers. */
export interface GatewayRoute {
  /** A path, e.g. `/health`, or with all below it: `/api/*`. By whole segments. `/*` is every path. */
  readonly path: string
  /** In upper case. Default: every method. */
  readonly methods?: readonly string[]
  /** Beyond what the authenticator asks. `public`: nobody is asked, and nobody is named to the service. */
  readonly requires: RouteRequirements | 'public'
}

/**
 * The first route for a method and path, in the order given.
 *
 * @throws {@link AimsError} `authorization.no_route`: what is not in the list is not let through
 */
export function findRoute(routes: readonly GatewayRoute[], method: string, path: CanonicalPath): GatewayRoute {
  const found = routes.find((route) => isMethod(route, method) && isPath(route.path, path))
  if (found === undefined)
    throw new AimsError('authorization.no_route', 'no route of the gateway has this method and path')
  return found
}

/** The one route of a gateway that has no list. */
export const EVERY_PATH: readonly GatewayRoute[] = [{ path: '/*', requires: {} }]

/** @throws TypeError for a path that no request could have, or that looks like a pattern and is none */
export function requireRoutes(routes: readonly GatewayRoute[]): readonly GatewayRoute[] {
  if (routes.length === 0)
    throw new TypeError('a gateway without routes lets nothing through: leave the list out for all paths')
  for (const { path, methods } of routes) {
    if (!PATH.test(path)) throw new TypeError('a route has a path such as /health or /api/*')
    if (methods?.length === 0 || methods?.some((method) => !/^[A-Z]+$/.test(method))) {
      throw new TypeError('a route names methods in upper case, or none for all')
    }
  }
  return routes
}

const PATH = /^\/(?:[A-Za-z0-9\-._~!$&'()+,=:@%]+\/)*(?:[A-Za-z0-9\-._~!$&'()+,=:@%]+|\*)?$/

function isMethod({ methods }: GatewayRoute, method: string): boolean {
  return methods === undefined || methods.includes(method)
}

function isPath(pattern: string, path: string): boolean {
  if (!pattern.endsWith('/*')) return path === pattern
  const prefix = pattern.slice(0, -1)
  return path.startsWith(prefix) || path === prefix.slice(0, -1)
}
