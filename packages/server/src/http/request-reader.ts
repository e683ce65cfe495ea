import type { IncomingMessage } from 'node:http'
import { AimsError, type JsonValue, parseJson } from 'aims/base'
import type { Route } from './route.ts'
import { requireShape } from './schema.ts'

/** Caps before anybody is authenticated (H2). */
export const MAX_HEADER_BYTES = 16_384
const MAX_HEADER_FIELDS = 100
const MAX_BODY = 262_144
/** Members and elements of a body: as many as fit, and no more of them than their bytes are worth. */
const MIN_MEMBERS = 10_000
const BYTES_PER_MEMBER = 32
const MAX_TARGET = 4096

// What must not occur twice: Node keeps the first and drops the others.
const SINGLE_FIELDS = ['host', 'content-type', 'content-length', 'content-encoding', 'authorization'] as const

/** The path and the query of a request. */
export interface Target {
  readonly path: string
  readonly query: URLSearchParams
}

/**
 * Looks at a request before anything else does: number of fields, fields that occur twice, `Host`, whether a web page has sent
 * it, form of the target.
 *
 * @param allowedHosts - Names that `Host` may have, without port; `undefined`: any, for a Unix socket.
 * @throws {@link AimsError} `operation.request_malformed`, `.request_too_large`, `.host_not_allowed`, `.origin_not_allowed`
 * @see security-and-reliability H1, H2, H5
 */
export function readTarget(request: IncomingMessage, allowedHosts: ReadonlySet<string> | undefined): Target {
  const { rawHeaders, url = '' } = request
  if (rawHeaders.length / 2 > MAX_HEADER_FIELDS) {
    throw new AimsError('operation.request_too_large', `more than ${MAX_HEADER_FIELDS} header fields`)
  }
  const names = rawHeaders.filter((_, index) => index % 2 === 0).map((name) => name.toLowerCase())
  for (const name of SINGLE_FIELDS) {
    if (names.indexOf(name) !== names.lastIndexOf(name)) throw malformed(`${name} occurs twice`)
  }
  requireHost(request.headers.host, allowedHosts)
  requireNoPage(request)
  if (url.length > MAX_TARGET) throw new AimsError('operation.request_too_large', 'the target is too long')
  // Absolute form would bring a second host, and an asterisk names no resource here.
  if (!url.startsWith('/') || url.includes('#')) throw malformed('the target is not an absolute path')
  const question = url.indexOf('?')
  if (question === -1) return { path: url, query: new URLSearchParams() }
  return { path: url.slice(0, question), query: new URLSearchParams(url.slice(question + 1)) }
}

function requireHost(host: string | undefined, allowed: ReadonlySet<string> | undefined): void {
  if (host === undefined) throw malformed('Host is missing')
  if (allowed === undefined) return
  const name = host.replace(/:\d{1,5}$/, '').toLowerCase()
  if (!allowed.has(name)) throw new AimsError('operation.host_not_allowed', 'Host is not a name of this server')
}

// The list of origins is empty. A page that reaches us by another name that leads here still has an origin, or a site that
// its browser tells; what somebody types into one has `none`.
function requireNoPage({ headers: { origin, 'sec-fetch-site': site = 'none' } }: IncomingMessage): void {
  if (origin !== undefined || site !== 'none') {
    throw new AimsError('operation.origin_not_allowed', 'the request comes from a web page')
  }
}

/** Reads the query parameters that the route knows. @throws {@link AimsError} `operation.request_malformed` */
export function readQuery(query: URLSearchParams, route: Route): { readonly [name: string]: string } {
  const values: Record<string, string> = {}
  for (const [name, value] of query) {
    if (route.query === undefined || !Object.hasOwn(route.query, name)) throw malformed('unknown query parameter')
    if (Object.hasOwn(values, name)) throw malformed(`query parameter ${name} occurs twice`)
    values[name] = value
  }
  return values
}

/**
 * Reads the body as the route's schema says. Nothing is decompressed.
 *
 * @throws {@link AimsError} `operation.request_malformed`, `.request_too_large`, `.unsupported_media_type`, `json.*`
 * @see security-and-reliability H2, H4
 */
export async function readBody(
  request: IncomingMessage,
  { body: schema, maxBody = MAX_BODY }: Route,
): Promise<JsonValue> {
  const { headers } = request
  const hasBody = headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0
  if (schema === undefined) {
    if (hasBody) throw malformed('this route takes no body')
    return null
  }
  if (headers['content-encoding'] !== undefined) throw unsupported('content coding is not supported')
  if (!/^application\/json(?:; ?charset=utf-8)?$/i.test(headers['content-type'] ?? '')) {
    throw unsupported('send application/json')
  }
  const limits = { maxLength: maxBody, maxDepth: 32, maxMembers: Math.max(MIN_MEMBERS, maxBody / BYTES_PER_MEMBER) }
  const value = parseJson(await readBytes(request, maxBody), limits)
  requireShape(value, schema)
  return value
}

function readBytes(request: IncomingMessage, maxBody: number): Promise<Buffer> {
  const tooLarge = () => new AimsError('operation.request_too_large', `the body is larger than ${maxBody} bytes`)
  return new Promise((resolve, reject) => {
    if (Number(request.headers['content-length'] ?? 0) > maxBody) throw tooLarge()
    const chunks: Buffer[] = []
    let size = 0
    // Not by iteration, which ends the connection with the stream: the answer to what is too large goes out on it.
    request.on('data', (chunk: Buffer) => {
      size += chunk.length
      if (size <= maxBody) return void chunks.push(chunk)
      request.pause()
      reject(tooLarge())
    })
    request.once('end', () => resolve(Buffer.concat(chunks)))
    request.once('error', reject)
    request.once('close', () => {
      if (!request.complete) reject(malformed('the body has no end'))
    })
  })
}

function malformed(message: string): AimsError {
  return new AimsError('operation.request_malformed', message)
}

function unsupported(message: string): AimsError {
  return new AimsError('operation.unsupported_media_type', message)
}
