import { AimsError } from 'aims/base'
import type { Entrance, Route } from './route.ts'

/** A route and the values of its path parameters. */
export interface Match {
  readonly route: Route
  readonly params: { readonly [name: string]: string }
}

/** The methods of a path that has no such method. */
export class MethodNotAllowed extends AimsError {
  readonly allow: string

  constructor(allow: string) {
    super('operation.method_not_allowed', 'the path does not take this method')
    this.allow = allow
  }
}

const SEGMENT = /^[A-Za-z0-9._-]+$/

/**
 * Finds the route of a request. Paths are compared as they are: nothing is decoded, joined or lower-cased, so that no
 * path has two spellings (P3).
 *
 * @returns A function that finds a route. It throws {@link AimsError} `operation.unknown_route`,
 *   `operation.method_not_allowed`.
 */
export function createRouter(routes: readonly Route[], entrance: Entrance): (method: string, path: string) => Match {
  // By the number of segments: most routes are told apart by it, and none has to be taken apart for a request.
  const byLength = new Map<number, { readonly route: Route; readonly pattern: readonly string[] }[]>()
  for (const route of routes) {
    if (!route.entrances.includes(entrance)) continue
    const pattern = route.path.split('/')
    const same = byLength.get(pattern.length) ?? []
    byLength.set(pattern.length, [...same, { route, pattern }])
  }
  return (method, path) => {
    const segments = path.split('/')
    const wanted = method === 'HEAD' ? 'GET' : method
    const allowed: string[] = []
    for (const { route, pattern } of byLength.get(segments.length) ?? []) {
      const params = matchPath(pattern, segments)
      if (params === undefined) continue
      if (route.method === wanted && !(method === 'HEAD' && route.head === false)) return { route, params }
      allowed.push(route.method)
    }
    if (allowed.length > 0) throw new MethodNotAllowed(allowed.join(', '))
    throw new AimsError('operation.unknown_route', 'no such path')
  }
}

// Of the same number of segments.
function matchPath(pattern: readonly string[], segments: readonly string[]): Record<string, string> | undefined {
  const params: Record<string, string> = {}
  for (const [index, part] of pattern.entries()) {
    const segment = segments[index] ?? ''
    if (!part.startsWith('{')) {
      if (part !== segment) return undefined
    } else if (SEGMENT.test(segment)) params[part.slice(1, -1)] = segment
    else return undefined
  }
  return params
}
