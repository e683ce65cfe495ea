import type { IncomingMessage, ServerResponse } from 'node:http'
import type { ProblemResponse } from '../../authentication/problem.ts'

/** What the metadata of the server says. */
export interface MetadataOptions {
  /** The server's URL as its callers know it, e.g. `https://weather.example.com/mcp`. */
  readonly resource: string
  /** For people. */
  readonly name?: string
}

/** The metadata of a protected resource: where it is, and how to answer for it. */
export interface ResourceMetadata {
  readonly url: string
  /** True for a request for it. */
  answers(request: IncomingMessage): boolean
  answer(response: ServerResponse): void
}

const WELL_KNOWN = '/.well-known/oauth-protected-resource'

/** Reads the URL of a server. @throws TypeError for what is no URL, or has a query or a fragment */
export function parseResource(resource: string): URL {
  const url = URL.parse(resource)
  if (url === null || !/^https?:$/.test(url.protocol) || url.search !== '' || url.hash !== '') {
    throw new TypeError(
      "an MCP server needs { resource }: its http(s) URL as callers know it, without query and fragment, e.g. 'https://notes.example.com/mcp'",
    )
  }
  return url
}

/**
 * Describes the server as a protected resource. It takes no bearer tokens, and says so.
 *
 * @throws TypeError for a resource that is no URL, or has a query or a fragment
 * @see RFC 9728 sections 2, 3.1
 */
export function resourceMetadata({ resource, name }: MetadataOptions): ResourceMetadata {
  const { origin, pathname } = parseResource(resource)
  const path = `${WELL_KNOWN}${pathname === '/' ? '' : pathname}`
  const document = JSON.stringify({
    resource,
    ...(name === undefined ? {} : { resource_name: name }),
    bearer_methods_supported: [],
  })
  return {
    url: `${origin}${path}`,
    answers: ({ method, url = '' }) => method === 'GET' && url.split('?', 1)[0] === path,
    answer(response) {
      response.writeHead(200, { 'content-type': 'application/json', 'cache-control': 'max-age=3600' }).end(document)
    },
  }
}

/** Says with each challenge where the metadata is. @see RFC 9728 section 5.1, which leaves the scheme open */
export function withMetadata(problem: ProblemResponse, url: string): ProblemResponse {
  const { 'www-authenticate': challenge } = problem.headers
  if (challenge === undefined) return problem
  const challenges = challenge.split(', ').map((scheme) => `${scheme} resource_metadata="${url}"`)
  return { ...problem, headers: { ...problem.headers, 'www-authenticate': challenges.join(', ') } }
}
