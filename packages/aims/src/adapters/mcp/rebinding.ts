import type { IncomingMessage } from 'node:http'
import { singleField } from '../../authentication/carriage.ts'
import { AimsError } from '../../base/errors.ts'
import { toRawHeaders } from '../incoming.ts'

/** The names by which a server may be reached. */
export interface ReachableAs {
  /** The server's URL as its callers know it, e.g. `https://weather.example.com/mcp`. */
  readonly resource: string
  /** Host names, without port. Default: that of `resource`. */
  readonly hosts?: readonly string[]
  /** Origins of web pages that may call, e.g. `https://app.example.com`. Default none: agents are no browsers, and send none. */
  readonly origins?: readonly string[]
}

/**
 * Refuses a request for another host, or from a web page that nobody has named. A page can reach a server on this machine
 * by a name of its own that it lets point here; the browser still sends that name.
 *
 * @throws {@link AimsError} `mcp.host_refused`, `mcp.origin_refused`
 * @see MCP 2026-07-28, section "Security Warning" of Streamable HTTP
 */
export function requireReachable(
  { rawHeaders }: IncomingMessage,
  { resource, hosts, origins = [] }: ReachableAs,
): void {
  const headers = toRawHeaders(rawHeaders)
  const host = singleField(headers, 'host')
  const expected = hosts ?? [new URL(resource).hostname]
  if (host === undefined || !expected.includes(hostnameOf(host))) {
    throw new AimsError('mcp.host_refused', 'the request is for another host')
  }
  for (const [name, origin] of headers) {
    if (name.toLowerCase() === 'origin' && !origins.includes(origin)) {
      throw new AimsError('mcp.origin_refused', 'the request comes from a web page that may not call')
    }
  }
}

const HOST = /^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::\d{1,5})?$/

function hostnameOf(host: string): string {
  return HOST.exec(host)?.[1]?.toLowerCase() ?? ''
}
