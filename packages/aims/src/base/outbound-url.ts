import { isIPv4 } from 'node:net'
import { AimsError } from './errors.ts'

/** An https URL in its one spelling. */
export interface OutboundUrl {
  readonly host: string
  readonly port: number
  /** Path and query, as they go on the wire. */
  readonly target: string
}

const LABEL = '[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?'
const URL_FORM = new RegExp(`^https://(${LABEL}(?:\\.${LABEL})*)(?::([1-9][0-9]{0,4}))?(/[^?#]*)?(\\?[^#]*)?$`)
/** What RFC 3986 allows in a path or query, with whole percent escapes. */
const TARGET_FORM = /^(?:[A-Za-z0-9\-._~!$&'()*+,;=:@/?]|%[0-9A-Fa-f]{2})*$/
/** Escapes of control characters, slash, backslash, dot and percent: another reader may undo them. */
const TRICKY_ESCAPE = /%(?:[01][0-9A-Fa-f]|7[fF]|2[eEfF]|5[cC]|25)/
const MAX_HOST = 253
const MAX_URL = 2048

/**
 * Reads an https URL, strictly: one spelling, so that what was checked is what is connected to. Host names are lower-case
 * ASCII or dotted IPv4; Unicode, user, fragment, other spellings of numbers and dot segments are refused.
 *
 * @throws {@link AimsError} `outbound.url_refused`
 */
export function parseOutboundUrl(url: string): OutboundUrl {
  const [, host = '', port = '443', path = '/', query = ''] = (url.length <= MAX_URL && URL_FORM.exec(url)) || []
  const isHost = host !== '' && host.length <= MAX_HOST && (isIPv4(host) || !endsInNumber(host))
  const pathForm = path.slice(1).split('/')
  // An empty last segment is a final slash.
  const hasOddSegment = pathForm.some((segment, i) => DOTS.test(segment) || (segment === '' && i < pathForm.length - 1))
  const target = `${path}${query}`
  if (!isHost || Number(port) > 65_535 || hasOddSegment || !TARGET_FORM.test(target) || TRICKY_ESCAPE.test(path)) {
    throw new AimsError('outbound.url_refused', 'not a plain https URL')
  }
  return { host, port: Number(port), target }
}

const DOTS = /^\.{1,2}$/

// The URL standard reads such a host as an IPv4 address, in any of its old spellings.
function endsInNumber(host: string): boolean {
  return /(?:^|\.)(?:[0-9]+|0x[0-9a-f]*)$/.test(host)
}

/** Names that mean something inside a network only: RFC 6761, RFC 6762, RFC 8375, RFC 7686, RFC 9476 and common use. */
const INTERNAL_NAMES =
  /(?:^|\.)(?:localhost|localdomain|local|internal|intranet|lan|home|corp|private|svc|test|invalid|onion|alt|home\.arpa|in-addr\.arpa|ip6\.arpa)$/

/** True for names that may be names in the public DNS: two labels at least, and none of the names for use inside. */
export function isPublicName(host: string): boolean {
  return host.includes('.') && !isIPv4(host) && !INTERNAL_NAMES.test(host)
}
