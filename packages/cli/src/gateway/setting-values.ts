import { resolve } from 'node:path'
import { AUTHENTICATION_METHODS, type RequiredBinding, type RouteRequirements } from 'aims/authentication'
import { isJsonObject, type JsonObject, type JsonValue } from 'aims/base'
import type { GatewayRoute, ServiceAddress } from 'aims/gateway'
import {
  anyOf,
  type IdMatcher,
  isBelow,
  isExactly,
  isMemberOf,
  parseTrustDomain,
  parseWorkloadSpiffeId,
} from 'aims/identifiers'

// How values of the configuration of a gateway are read. What cannot be meant is an Error that says what is needed.

export function readText(value: JsonValue): string {
  if (typeof value !== 'string' || value === '') throw new Error('a text is needed')
  return value
}

export function readList(value: JsonValue): readonly JsonValue[] {
  if (!Array.isArray(value) || value.length === 0) throw new Error('a list with something in it is needed')
  return value
}

/** `unix:///run/x.sock`, `127.0.0.1:8080`, `[::1]:8080`. */
export function readAddress(value: JsonValue): ServiceAddress {
  const text = readText(value)
  const [, path] = /^unix:\/\/(\/.+)$/.exec(text) ?? []
  if (path !== undefined) return { path }
  const [, ipv6, name, port] = /^(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9.-]+)):(\d{1,5})$/.exec(text) ?? []
  const host = ipv6 ?? name
  if (host === undefined || Number(port) > 65_535)
    throw new Error('an address is needed, such as 127.0.0.1:8080 or unix:///run/x.sock')
  return { host, port: Number(port) }
}

/** A server that keeps used proofs for gateways on many hosts. */
export interface ReplayServer {
  readonly kind: 'redis' | 'postgres'
  readonly host: string
  readonly port: number
  readonly user?: string
  /** Of Redis its number, of PostgreSQL its name. */
  readonly database?: string
  /** Whether it is on this machine, so that nobody else is on the way. */
  readonly isLocal: boolean
}

/** Where used proofs are kept. */
export type ReplayPlace = { readonly kind: 'file'; readonly path: string } | ReplayServer

const PORTS = { redis: 6379, postgres: 5432 } as const

/** A path, `redis://host:6379/0`, or `postgres://user@host:5432/database`. */
export function readReplayPlace(value: JsonValue, base: string): ReplayPlace {
  const text = readText(value)
  if (!text.includes('://')) return { kind: 'file', path: resolve(base, text) }
  const url = URL.canParse(text) ? new URL(text) : undefined
  const kind = url?.protocol === 'redis:' ? 'redis' : url?.protocol === 'postgres:' ? 'postgres' : undefined
  if (url === undefined || kind === undefined || url.hostname === '' || url.search !== '' || url.hash !== '') {
    throw new Error('a path, redis://host:6379, or postgres://user@host:5432/database is needed')
  }
  if (url.password !== '') throw new Error('a password belongs in the file that gateway.replayPassword names')
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1')
  const database = decodeURIComponent(url.pathname.slice(1))
  return {
    kind,
    host,
    port: url.port === '' ? PORTS[kind] : Number(url.port),
    isLocal: /^(?:localhost|127(?:\.\d{1,3}){3}|::1)$/.test(host),
    ...(url.username === '' ? {} : { user: decodeURIComponent(url.username) }),
    ...(database === '' ? {} : { database }),
  }
}

/** A SPIFFE ID, all below one (`spiffe://example.com/agent/*`), or a whole trust domain (`spiffe://example.com/*`). */
export function readMatcher(value: JsonValue): IdMatcher {
  const text = readText(value)
  if (!text.endsWith('/*')) return isExactly(parseWorkloadSpiffeId(text))
  const [, trustDomain] = /^spiffe:\/\/([^/]+)\/\*$/.exec(text) ?? []
  if (trustDomain !== undefined) return isMemberOf(parseTrustDomain(trustDomain))
  return isBelow(parseWorkloadSpiffeId(text.slice(0, -2)))
}

export function readBinding(value: JsonValue): RequiredBinding {
  const parts = Array.isArray(value) ? value : undefined
  if (parts === undefined || parts.some((one) => one !== 'method' && one !== 'target' && one !== 'body')) {
    throw new Error('a list of method, target, body is needed')
  }
  return { method: parts.includes('method'), target: parts.includes('target'), body: parts.includes('body') }
}

const ROUTE_MEMBERS = ['path', 'methods', 'public', 'accept', 'requireBinding', 'peers']

/** Routes in their order. A member that is not known is a mistake: it would be a rule that does not hold. */
export function readRoutes(value: JsonValue): readonly GatewayRoute[] {
  return readList(value).map((one) => {
    if (!isJsonObject(one)) throw new Error('a route is a map with a path')
    const unknown = Object.keys(one).find((name) => !ROUTE_MEMBERS.includes(name))
    if (unknown !== undefined)
      throw new Error(`a route has ${ROUTE_MEMBERS.join(', ')}, and no ${JSON.stringify(unknown)}`)
    return {
      path: readText(one.path ?? null),
      ...(one.methods === undefined ? {} : { methods: readList(one.methods).map(readText) }),
      requires: readRequirements(one),
    }
  })
}

function readRequirements(route: JsonObject): RouteRequirements | 'public' {
  const { accept, requireBinding, peers } = route
  if (route.public !== undefined) {
    const hasMore = [accept, requireBinding, peers].some((member) => member !== undefined)
    if (route.public !== true || hasMore) throw new Error('a public route is public: true, and asks nothing of callers')
    return 'public'
  }
  return {
    ...(accept === undefined ? {} : { accept: readList(accept).map(readMethod) }),
    ...(requireBinding === undefined ? {} : { requireBinding: readBinding(requireBinding) }),
    ...(peers === undefined ? {} : { peer: anyOf(...readList(peers).map(readMatcher)) }),
  }
}

export function readMethod(value: JsonValue): (typeof AUTHENTICATION_METHODS)[number] {
  const method = AUTHENTICATION_METHODS.find((name) => name === value)
  if (method === undefined) throw new Error(`one of ${AUTHENTICATION_METHODS.join(', ')} is needed`)
  return method
}
