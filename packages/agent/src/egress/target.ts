import { canonicalPath } from 'aims/authorization'
import { AimsError, parseOutboundUrl } from 'aims/base'

/** What a caller asks for: a destination, or the rule by its name, and what it wants there. */
export interface BrokerTarget {
  readonly by: { readonly rule: string } | { readonly host: string; readonly port: number }
  /** Without query, in its one spelling. */
  readonly path: string
  /** With the question mark; `''` when there is none. */
  readonly query: string
}

const MAX_TARGET = 8192
const ABSOLUTE = /^https?:\/\/([^/?#@\\]+)([/?][^#]*)?$/

/**
 * Reads the target of a request to the broker.
 *
 * - `/calendar/v1/events`: by the name of a rule. The base URL of a client is then `http://localhost:PORT/calendar`.
 * - `/https/api.example.com/v1/events`: by the destination. So is `/https/api.example.com:8443/v1/events`.
 * - `http://api.example.com/v1/events`, `https://api.example.com/v1/events`: of a client for which the broker is a proxy.
 *   Both mean the destination over TLS: nothing leaves this machine in the clear.
 *
 * @throws {@link AimsError} `egress.target_malformed`
 */
export function parseBrokerTarget(target: string): BrokerTarget {
  if (target.length > MAX_TARGET) throw malformed('it is too long')
  const absolute = ABSOLUTE.exec(target)
  if (absolute !== null) {
    const [, authority = '', rest = '/'] = absolute
    // The port 80 of http is where nobody listens for TLS.
    const plain = target.startsWith('http:') ? authority.replace(/:80$/, '') : authority
    return { by: destination(plain), ...split(rest.startsWith('?') ? `/${rest}` : rest) }
  }
  const [, first = '', rest = '/'] = /^\/([a-z0-9-]{1,63})(\/.*|\?.*)?$/.exec(target) ?? []
  if (first === '') throw malformed('it is neither a rule, nor a destination')
  if (first !== 'https') return { by: { rule: first }, ...split(rest.startsWith('?') ? `/${rest}` : rest) }
  const [, authority = '', path = '/'] = /^\/([^/?]+)(.*)$/.exec(rest) ?? []
  return { by: destination(authority), ...split(path.startsWith('/') ? path : `/${path}`) }
}

/** Reads the target of CONNECT: `api.example.com:443`. @throws {@link AimsError} `egress.target_malformed` */
export function parseTunnelTarget(target: string): { readonly host: string; readonly port: number } {
  if (!/:[0-9]+$/.test(target)) throw malformed('a tunnel needs a port')
  return destination(target)
}

function destination(authority: string): { readonly host: string; readonly port: number } {
  try {
    const { host, port, target } = parseOutboundUrl(`https://${authority}`)
    if (target === '/') return { host, port }
  } catch (cause) {
    throw malformed('its host is not in the one spelling', cause)
  }
  throw malformed('its host is not one')
}

function split(target: string): Pick<BrokerTarget, 'path' | 'query'> {
  const at = target.indexOf('?')
  const query = at === -1 ? '' : target.slice(at)
  if (!/^(?:\?[\x21\x24-\x3b\x3d\x3f-\x5a\x5f\x61-\x7a\x7e\x5b\x5d]*)?$/.test(query))
    throw malformed('its query has a character that must be escaped')
  try {
    return { path: canonicalPath(target), query }
  } catch (cause) {
    throw malformed('its path can be read in more than one way', cause)
  }
}

function malformed(why: string, cause?: unknown): AimsError {
  return new AimsError('egress.target_malformed', `not a target for the broker: ${why}`, { cause })
}
