import { AimsError } from '../base/errors.ts'
import {
  parseSpiffeId,
  pathOf,
  requireTrustDomain,
  type SpiffeId,
  type TrustDomain,
  trustDomainOf,
} from './spiffe-id.ts'

/**
 * Reads the name of a trust domain as people write it: `example.com` or `spiffe://example.com`.
 *
 * Not lower-cased, and no full identifier: what has a path is refused rather than cut. Does not tell whether the
 * trust domain is trusted; that is decided by the bundles you hold.
 *
 * @throws {@link AimsError} `identifier.empty`, `.too_long`, `.wrong_scheme`, `.missing_trust_domain`,
 * `.bad_trust_domain_char`, `.trailing_slash`, `.bad_trust_domain` (a path follows)
 * @see SPIFFE-ID, section 2.1
 */
export function parseTrustDomain(text: string): TrustDomain {
  if (text === '') throw new AimsError('identifier.empty', 'the trust domain is empty')
  if (text.includes('://')) {
    const id = parseSpiffeId(text)
    if (pathOf(id) !== '') throw new AimsError('identifier.bad_trust_domain', 'a trust domain has no path')
    return trustDomainOf(id)
  }
  requireTrustDomain(text)
  return text as TrustDomain
}

/** The SPIFFE ID of a trust domain, e.g. `spiffe://example.com`: the name of its authorities and of its bundle. */
export function trustDomainId(trustDomain: TrustDomain): SpiffeId {
  return `spiffe://${trustDomain}` as SpiffeId
}
