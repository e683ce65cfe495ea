import { AimsError } from '../base/errors.ts'
import { parseSpiffeId, pathOf, requireLength, requirePath, requireTrustDomain, type WorkloadId } from './spiffe-id.ts'

const SCHEME = 'wimse://'
// What RFC 3986 calls pchar, without and with the percent sign.
const NOT_SEGMENT = /[^A-Za-z0-9._~!$&'()*+,;=:@-]/
const NOT_ESCAPED_SEGMENT = /[^A-Za-z0-9._~!$&'()*+,;=:@%-]/
const UNRESERVED = /[A-Za-z0-9._~-]/
const IPV4 = /^\d+\.\d+\.\d+\.\d+$/

/**
 * Reads a WIMSE workload identifier: `wimse://example.com/agent/calendar-bot`, or a SPIFFE ID, which is one kind of it.
 *
 * A second spelling of an identifier is refused, not normalised: upper case in scheme and trust domain, dot segments,
 * empty segments, percent escapes. Under `wimse://` the trust domain may not be an IP address. Its characters are those
 * of SPIFFE trust domains, which every fully qualified domain name fits. Does not tell whether the identifier belongs
 * to anybody; only a verified credential does.
 *
 * @param text - At most 2048 bytes.
 * @param options.allowReservedEscapes - Under `wimse://`, accept percent escapes that are the only spelling of what they
 * stand for, in upper case, e.g. `%2F` as data inside a segment. Default false: no percent sign at all.
 * @param options.allowOrigin - Accept an identifier without a path, which names a trust domain and no workload. Default
 * false.
 * @throws {@link AimsError} `identifier.missing_path`, `.bad_trust_domain`, `.bad_escape`, and all of `parseSpiffeId`
 * @see draft-ietf-wimse-identifier-03, section "Workload Identifier"
 */
export function parseWimseId(
  text: string,
  options: { readonly allowReservedEscapes?: boolean; readonly allowOrigin?: boolean } = {},
): WorkloadId {
  const id = text.startsWith(SCHEME) ? readWimse(text, options.allowReservedEscapes === true) : parseSpiffeId(text)
  if (options.allowOrigin !== true && pathOf(id) === '') {
    throw new AimsError('identifier.missing_path', 'the identifier has no path')
  }
  return id
}

function readWimse(text: string, allowEscapes: boolean): WorkloadId {
  requireLength(text)
  const pathStart = text.indexOf('/', SCHEME.length)
  const trustDomainEnd = pathStart === -1 ? text.length : pathStart
  const trustDomain = text.slice(SCHEME.length, trustDomainEnd)
  const path = text.slice(trustDomainEnd)
  if (trustDomain.includes('@') || trustDomain.includes(':')) {
    throw new AimsError('identifier.bad_trust_domain', 'the trust domain has user information, a port or is IPv6')
  }
  requireTrustDomain(trustDomain)
  if (IPV4.test(trustDomain)) throw new AimsError('identifier.bad_trust_domain', 'the trust domain is an IP address')
  requirePath(path, allowEscapes ? NOT_ESCAPED_SEGMENT : NOT_SEGMENT)
  for (const [triplet] of path.matchAll(/%.{0,2}/g)) requireEscape(triplet)
  return text as WorkloadId
}

function requireEscape(triplet: string): void {
  if (!/^%[0-9A-F]{2}$/.test(triplet)) {
    throw new AimsError('identifier.bad_escape', 'a percent escape is not two upper-case hexadecimal digits')
  }
  if (UNRESERVED.test(String.fromCharCode(Number.parseInt(triplet.slice(1), 16)))) {
    throw new AimsError('identifier.bad_escape', 'a percent escape stands for a character that needs none')
  }
}
