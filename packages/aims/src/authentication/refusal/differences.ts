import { isOnOrigin } from '../audience.ts'

/** In which way an audience is not one of ours; the one that comes closest counts. */
export type AudienceDifference = 'spelling' | 'scheme' | 'port' | 'path' | 'service'

const CLOSEST: readonly AudienceDifference[] = ['spelling', 'scheme', 'port', 'path', 'service']

/** Compares an audience with our own names for itself. */
export function audienceDifference(given: string, own: readonly string[]): AudienceDifference {
  const found = own.map((name) => differenceOf(given, name))
  return CLOSEST.find((one) => found.includes(one)) ?? 'service'
}

function differenceOf(given: string, own: string): AudienceDifference {
  const a = urlOf(given)
  const b = urlOf(own)
  if (a === undefined || b === undefined) return given.toLowerCase() === own.toLowerCase() ? 'spelling' : 'service'
  if (a.hostname !== b.hostname) return 'service'
  const isSamePath = pathOf(a) === pathOf(b)
  if (a.protocol !== b.protocol && isSamePath) return 'scheme'
  if (a.protocol !== b.protocol) return 'service'
  if (a.port !== b.port) return 'port'
  return isSamePath ? 'spelling' : 'path'
}

function pathOf({ pathname }: URL): string {
  return pathname.replace(/\/+$/, '')
}

function urlOf(text: string): URL | undefined {
  return URL.canParse(text) ? new URL(text) : undefined
}

/** In which way the target that a proof names is not the one that arrived. */
export type TargetDifference =
  | 'origin'
  | 'query-missing'
  | 'query'
  | 'spelling'
  | 'prefix-removed'
  | 'prefix-added'
  | 'path'

/** Compares the target a proof was made for with the one that arrived. */
export function targetDifference(
  named: string,
  arrived: string,
  origins: readonly string[] | undefined,
): TargetDifference {
  if (!named.startsWith('/')) {
    const url = urlOf(named)
    if (url === undefined) return 'path'
    const target = `${url.pathname}${url.search}`
    if (target === arrived && !isOnOrigin(named, arrived, origins)) return 'origin'
    return targetDifference(target, arrived, origins)
  }
  const [path, query] = split(named)
  const [arrivedPath] = split(arrived)
  if (path === arrivedPath) return query === undefined ? 'query-missing' : 'query'
  if (plain(path) === plain(arrivedPath)) return 'spelling'
  if (isSuffix(arrivedPath, path)) return 'prefix-removed'
  if (isSuffix(path, arrivedPath)) return 'prefix-added'
  return 'path'
}

function split(target: string): readonly [path: string, query: string | undefined] {
  const at = target.indexOf('?')
  return at === -1 ? [target, undefined] : [target.slice(0, at), target.slice(at + 1)]
}

function isSuffix(end: string, whole: string): boolean {
  return end !== '/' && end.startsWith('/') && whole.length > end.length && whole.endsWith(end)
}

// What proxies and routers like to tidy: escapes, dots, repeated and last slashes.
function plain(path: string): string {
  const url = urlOf(`http://host${path}`)
  return decoded(url?.pathname ?? path)
    .replace(/\/+/g, '/')
    .replace(/\/$/, '')
}

function decoded(path: string): string {
  try {
    return decodeURIComponent(path)
  } catch {
    return path
  }
}
