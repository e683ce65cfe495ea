import { AimsError } from '../base/errors.ts'

/** A SPIFFE ID that passed {@link parseSpiffeId}. Compare with `===`; print as is. */
export type SpiffeId = `spiffe://${string}` & { readonly __brand: 'SpiffeId' }
/** A trust domain name that passed its parser, e.g. `example.com`: no scheme, no path. */
export type TrustDomain = string & { readonly __brand: 'TrustDomain' }
/** A WIMSE workload identifier, of which SPIFFE IDs are one kind. */
export type WorkloadId = SpiffeId | (`wimse://${string}` & { readonly __brand: 'WimseId' })

/** The namespace an identifier is in: `spiffe://td` and `wimse://td` have nothing to do with each other. */
export type Scheme = 'spiffe' | 'wimse'

const SCHEME = 'spiffe://'
const MAX_ID = 2048
const MAX_TRUST_DOMAIN = 255
const NOT_TRUST_DOMAIN = /[^a-z0-9._-]/
const NOT_SEGMENT = /[^A-Za-z0-9._-]/

/**
 * Reads a SPIFFE ID, e.g. `spiffe://example.com/agent/calendar-bot`, or that of a trust domain, `spiffe://example.com`.
 *
 * Nothing is trimmed, decoded or lower-cased: a second spelling of an identifier is refused. Does not tell whether
 * the identifier belongs to anybody; only a verified credential does.
 *
 * @param text - At most 2048 bytes.
 * @throws {@link AimsError} `identifier.empty`, `.too_long`, `.wrong_scheme`, `.missing_trust_domain`,
 * `.bad_trust_domain_char`, `.bad_path_char`, `.empty_segment`, `.dot_segment`, `.trailing_slash`
 * @see SPIFFE-ID, section 2
 */
export function parseSpiffeId(text: string): SpiffeId {
  requireLength(text)
  if (!text.startsWith(SCHEME)) throw new AimsError('identifier.wrong_scheme', 'the scheme is not spiffe')
  const pathStart = text.indexOf('/', SCHEME.length)
  const trustDomainEnd = pathStart === -1 ? text.length : pathStart
  requireTrustDomain(text.slice(SCHEME.length, trustDomainEnd))
  requirePath(text.slice(trustDomainEnd), NOT_SEGMENT)
  return text as SpiffeId
}

/**
 * Reads the SPIFFE ID of a workload: as {@link parseSpiffeId}, and with a path, since a trust domain alone names no
 * workload.
 *
 * @throws {@link AimsError} `identifier.missing_path`, and all of {@link parseSpiffeId}
 * @see X509-SVID, sections 3.1 and 5.2
 */
export function parseWorkloadSpiffeId(text: string): SpiffeId {
  const id = parseSpiffeId(text)
  if (pathOf(id) === '') throw new AimsError('identifier.missing_path', 'the identifier has no path')
  return id
}

/** True for what {@link parseSpiffeId} accepts, path or not. */
export function isSpiffeId(text: string): text is SpiffeId {
  try {
    parseSpiffeId(text)
    return true
  } catch (error) {
    if (AimsError.is(error)) return false
    throw error
  }
}

/**
 * Puts a SPIFFE ID together from its trust domain and path segments; without segments it is that of the trust domain.
 *
 * A segment never contains a slash, so a segment that comes from outside cannot move the identifier elsewhere.
 *
 * @throws {@link AimsError} `identifier.bad_path_char`, `.empty_segment`, `.dot_segment`, `.too_long`
 * @see SPIFFE-ID, section 2.2
 */
export function joinSpiffeId(trustDomain: TrustDomain, ...segments: readonly string[]): SpiffeId {
  for (const segment of segments) {
    if (segment === '') throw new AimsError('identifier.empty_segment', 'a path segment is empty')
    requireSegment(segment, NOT_SEGMENT)
  }
  const id = [SCHEME + trustDomain, ...segments].join('/')
  requireLength(id)
  return id as SpiffeId
}

/** The path of an identifier with its leading slash, e.g. `/agent/calendar-bot`, or `''`. */
export function pathOf(id: WorkloadId): string {
  const pathStart = id.indexOf('/', authorityStart(id))
  return pathStart === -1 ? '' : id.slice(pathStart)
}

/** The trust domain of an identifier. The scheme is not part of it: `wimse://td` and `spiffe://td` are two namespaces. */
export function trustDomainOf(id: WorkloadId): TrustDomain {
  const start = authorityStart(id)
  const pathStart = id.indexOf('/', start)
  return id.slice(start, pathStart === -1 ? id.length : pathStart) as TrustDomain
}

/** The scheme of an identifier. With the trust domain it is its origin, to which authorities are bound. */
export function schemeOf(id: WorkloadId): Scheme {
  return id.startsWith(SCHEME) ? 'spiffe' : 'wimse'
}

function authorityStart(id: WorkloadId): number {
  return id.indexOf('://') + 3
}

/** For the parsers of this folder. @throws {@link AimsError} `identifier.empty`, `.too_long` */
export function requireLength(text: string): void {
  if (text === '') throw new AimsError('identifier.empty', 'the identifier is empty')
  // Characters, not bytes: text with a character longer than one byte is refused in any case.
  if (text.length > MAX_ID) throw new AimsError('identifier.too_long', `the identifier is longer than ${MAX_ID} bytes`)
}

/** For the parsers of this folder. @throws {@link AimsError} `identifier.missing_trust_domain`, `.bad_trust_domain_char`, `.too_long` */
export function requireTrustDomain(name: string): void {
  if (name === '') throw new AimsError('identifier.missing_trust_domain', 'the trust domain is empty')
  if (NOT_TRUST_DOMAIN.test(name)) {
    throw new AimsError('identifier.bad_trust_domain_char', 'the trust domain has a forbidden character')
  }
  if (name.length > MAX_TRUST_DOMAIN) {
    throw new AimsError('identifier.too_long', `the trust domain is longer than ${MAX_TRUST_DOMAIN} bytes`)
  }
}

/** For the parsers of this folder: a path is empty or `/segment/segment`. @throws {@link AimsError} `identifier.*` */
export function requirePath(path: string, forbidden: RegExp): void {
  if (path === '') return
  let start = 1
  while (start <= path.length) {
    const slash = path.indexOf('/', start)
    const end = slash === -1 ? path.length : slash
    if (end > start) requireSegment(path.slice(start, end), forbidden)
    else if (slash === -1) throw new AimsError('identifier.trailing_slash', 'the identifier ends with a slash')
    else throw new AimsError('identifier.empty_segment', 'a path segment is empty')
    start = end + 1
  }
}

function requireSegment(segment: string, forbidden: RegExp): void {
  if (segment === '.' || segment === '..') throw new AimsError('identifier.dot_segment', 'a path segment is . or ..')
  if (forbidden.test(segment)) {
    throw new AimsError('identifier.bad_path_char', 'a path segment has a forbidden character')
  }
}
