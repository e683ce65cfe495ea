// The services that platforms offer to what runs on them, on loopback, with the real protocol and real signatures.
import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { jwks, type Platform, platformKey, platformToken, type TokenChange } from './platform-tokens.ts'

/** A service that runs until it is closed. */
export interface RunningService {
  /** E.g. `http://127.0.0.1:4711`. */
  readonly address: string
  readonly requests: readonly string[]
  close(): Promise<void>
}

export interface TokenServiceOptions {
  /** Seconds since the epoch. */
  now(): number
  /** What to change about the tokens from now on. */
  change?(): TokenChange
}

/** Answers with `text` and these headers. */
export function answer(
  response: ServerResponse,
  status: number,
  body: string,
  headers: Record<string, string> = {},
): void {
  response.writeHead(status, headers).end(body)
}

export async function readBody(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk)
  return Buffer.concat(chunks).toString()
}

/** Starts a server on a free port of 127.0.0.1. */
export async function listen(server: Server, scheme: 'http' | 'https', requests: string[]): Promise<RunningService> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return {
    address: `${scheme}://127.0.0.1:${port}`,
    requests,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

/** Any service over http: the listener says what it does. */
export function startService(handle: RequestListener): Promise<RunningService> {
  const requests: string[] = []
  const server = createServer((request, response) => {
    requests.push(`${request.method} ${request.url}`)
    handle(request, response)
  })
  return listen(server, 'http', requests)
}

const json = { 'content-type': 'application/json; charset=utf-8' }

function signed(platform: Platform, audience: string, { now, change }: TokenServiceOptions, claims: object): string {
  const at = Math.floor(now())
  const changed = change?.() ?? {}
  return platformToken(platform, {
    ...changed,
    claims: { iat: at, aud: audience, ...claims, ...changed.claims },
  }).toString()
}

/** The token endpoint of a GitHub runner. `token` is the bearer token of the job. */
export function startGithub(platform: Platform, token: string, options: TokenServiceOptions): Promise<RunningService> {
  let number = 0
  return startService((request, response) => {
    const url = new URL(request.url ?? '', 'http://runner')
    const isAsked =
      request.method === 'GET' && url.pathname === '/token' && url.searchParams.get('api-version') === '2.0'
    if (!isAsked) return answer(response, 404, '')
    if (request.headers.authorization !== `Bearer ${token}`) return answer(response, 401, '')
    const at = Math.floor(options.now())
    const audience = url.searchParams.get('audience') ?? `https://github.com/${platform.claims.repository_owner}`
    number += 1
    const claims = { nbf: at - 600, exp: at + 300, jti: `00000000-0000-4000-8000-${String(number).padStart(12, '0')}` }
    answer(response, 200, JSON.stringify({ count: 1, value: signed(platform, audience, options, claims) }), json)
  })
}

/** The metadata server of Google Compute Engine. */
export function startGcp(platform: Platform, options: TokenServiceOptions): Promise<RunningService> {
  return startService((request, response) => {
    const url = new URL(request.url ?? '', 'http://metadata.google.internal')
    const isAsked = url.pathname === '/computeMetadata/v1/instance/service-accounts/default/identity'
    if (request.headers['metadata-flavor'] !== 'Google')
      return answer(response, 403, 'Missing Metadata-Flavor:Google header.')
    const audience = url.searchParams.get('audience')
    if (!isAsked || audience === null) return answer(response, 404, '')
    const { google, ...bare } = platform.claims
    const claims = url.searchParams.get('format') === 'full' ? { ...bare, google } : { ...bare, google: undefined }
    const at = Math.floor(options.now())
    const token = signed(platform, audience, options, { ...claims, iat: at, aud: audience, exp: at + 3600 })
    answer(response, 200, token, { 'metadata-flavor': 'Google', 'content-type': 'text/html' })
  })
}

/** The identity part of the instance metadata service of Azure. */
export function startAzure(platform: Platform, options: TokenServiceOptions): Promise<RunningService> {
  return startService((request, response) => {
    const url = new URL(request.url ?? '', 'http://169.254.169.254')
    const resource = url.searchParams.get('resource')
    const isAsked =
      url.pathname === '/metadata/identity/oauth2/token' && url.searchParams.get('api-version') === '2018-02-01'
    if (request.headers.metadata !== 'true' || request.headers['x-forwarded-for'] !== undefined) {
      return answer(response, 400, JSON.stringify({ error: 'bad_request_102' }), json)
    }
    if (!isAsked || resource === null) return answer(response, 400, JSON.stringify({ error: 'invalid_request' }), json)
    const at = Math.floor(options.now())
    const token = signed(platform, resource, options, { nbf: at, exp: at + 86_700 })
    const body = { access_token: token, expires_on: String(at + 86_700), resource, token_type: 'Bearer' }
    answer(response, 200, JSON.stringify(body), json)
  })
}

/** The keys of every platform in these tests, as its issuer publishes them. */
export const platformJwks: Buffer = jwks(platformKey)
