import { AimsError } from '../base/errors.ts'
import { pathOf, type Scheme, type SpiffeId, type TrustDomain, type WorkloadId } from './spiffe-id.ts'

/** Says whether an identifier is one the caller accepts. It compares complete identifiers, never a path alone. */
export type IdMatcher = (id: WorkloadId) => boolean

/** Matches one identifier, byte for byte. */
export function isExactly(expected: WorkloadId): IdMatcher {
  return (id) => id === expected
}

/** Matches each of the identifiers, byte for byte. An empty list matches nobody. */
export function isOneOf(expected: Iterable<WorkloadId>): IdMatcher {
  const ids = new Set<WorkloadId>(expected)
  return (id) => ids.has(id)
}

/**
 * Matches every workload of a trust domain. A path-less identifier names no workload and does not match.
 *
 * @param options.scheme - The namespace, default `spiffe`: the same name under another scheme is another trust domain.
 * @see draft-ietf-wimse-identifier-03, section "Trust Domain"
 */
export function isMemberOf(trustDomain: TrustDomain, options: { readonly scheme?: Scheme } = {}): IdMatcher {
  const prefix = `${options.scheme ?? 'spiffe'}://${trustDomain}/`
  return (id) => id.startsWith(prefix)
}

/**
 * Matches identifiers strictly below a prefix by whole segments: `spiffe://td/pay` covers `spiffe://td/pay/eu`, and
 * neither `spiffe://td/payroll` nor `spiffe://td/pay` itself.
 *
 * @param options.allowEntireTrustDomain - Must be set for a prefix without a path, which covers a whole trust domain.
 * @throws TypeError for such a prefix without the flag.
 * @see draft-ietf-wimse-identifier-03, on prefix matching
 */
export function isBelow(
  prefix: SpiffeId | WorkloadId,
  options: { readonly allowEntireTrustDomain?: true } = {},
): IdMatcher {
  if (pathOf(prefix) === '' && options.allowEntireTrustDomain !== true) {
    throw new TypeError('the prefix is an entire trust domain: set allowEntireTrustDomain if that is meant')
  }
  return (id) => id.startsWith(`${prefix}/`)
}

/** Matches what one of the matchers matches. Without matchers it matches nobody. */
export function anyOf(...matchers: readonly IdMatcher[]): IdMatcher {
  return (id) => matchers.some((matches) => matches(id))
}

/**
 * Refuses an identifier that the matcher does not match.
 *
 * Compare only identifiers from verified credentials: one that came in a header or a body proves nothing.
 *
 * @throws {@link AimsError} `identifier.unexpected`
 */
export function requireMatch(id: WorkloadId, matcher: IdMatcher): void {
  // `true` and nothing else: an async matcher returns a promise, which is truthy.
  if (matcher(id) !== true) throw new AimsError('identifier.unexpected', 'the identifier is not one the caller accepts')
}
