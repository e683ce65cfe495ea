import { AimsError, type AimsErrorCode } from '../base/errors.ts'
import { decodeUnverifiedJws, type UnverifiedJws } from '../base/jose.ts'
import type { JsonObject } from '../base/json.ts'
import type { VerificationKey } from '../base/keys.ts'
import { withSecrets } from '../base/secret.ts'
import { schemeOf, trustDomainOf, type WorkloadId } from '../identifiers/spiffe-id.ts'
import type { BundleSource, TrustBundle } from './bundle/bundle.ts'

const CREDENTIAL_CODE: { readonly [code in AimsErrorCode]?: AimsErrorCode } = {
  'jose.too_large': 'credential.too_large',
  'jose.wrong_type': 'credential.wrong_type',
  'jose.forbidden_header': 'credential.forbidden_header',
  'jose.unsupported_alg': 'credential.unsupported_alg',
}

/** Takes a credential apart without verifying it. @throws {@link AimsError} `credential.*` */
export function decodeCredential(
  token: string,
  options: { readonly typ?: readonly (string | undefined)[] },
): UnverifiedJws {
  try {
    return decodeUnverifiedJws(token, options)
  } catch (cause) {
    if (!AimsError.is(cause)) throw cause
    throw new AimsError(CREDENTIAL_CODE[cause.code] ?? 'credential.malformed', cause.message, { cause })
  }
}

/** The same with the token, and what it could be put together from, where only who asks by name sees it. */
export function hideToken({ token, signature, ...visible }: UnverifiedJws): UnverifiedJws {
  return withSecrets(visible, { token, signature })
}

/** Reads a claim that must be a non-empty string when present. @throws {@link AimsError} `credential.invalid_claim` */
export function optionalString(claims: JsonObject, name: string): string | undefined {
  const value = claims[name]
  if (value === undefined) return undefined
  if (typeof value !== 'string' || value === '')
    throw new AimsError('credential.invalid_claim', `${name} is not a string`)
  return value
}

/** Reads `aud` as a list. @throws {@link AimsError} `credential.missing_claim`, `credential.invalid_claim` */
export function requireAudiences(claims: JsonObject): readonly string[] {
  const { aud } = claims
  if (aud === undefined) throw new AimsError('credential.missing_claim', 'aud is absent')
  const audiences: readonly unknown[] = Array.isArray(aud) ? aud : [aud]
  if (audiences.length === 0 || !audiences.every((one) => typeof one === 'string' && one !== '')) {
    throw new AimsError('credential.invalid_claim', 'aud is not a string or a list of strings')
  }
  return audiences as readonly string[]
}

/** The bundle of exactly the subject's origin; another one is never tried. @throws {@link AimsError} `credential.untrusted_domain` */
export function requireBundle(bundles: BundleSource, subject: WorkloadId): TrustBundle {
  const bundle = bundles.bundleFor(trustDomainOf(subject))
  if (bundle === undefined || !vouchesFor(bundle, subject)) {
    throw new AimsError('credential.untrusted_domain', 'no trust bundle for scheme and trust domain of the subject')
  }
  return bundle
}

/** True when the bundle is the one of the subject's origin, i.e. scheme and trust domain. */
export function vouchesFor({ trustDomain, scheme = 'spiffe' }: TrustBundle, subject: WorkloadId): boolean {
  return trustDomain === trustDomainOf(subject) && scheme === schemeOf(subject)
}

/**
 * Picks the one key that may have signed. With a `kid` only the key of that name; others are never tried. Without one
 * the choice must be unambiguous. A sole authority without `kid` (plain JWKS) is the only candidate either way.
 *
 * @throws {@link AimsError} `credential.unknown_key`, `credential.missing_kid`
 * @see draft-ietf-wimse-workload-creds-02, section on the header; JWT-SVID section 5
 */
export function pickAuthority(
  authorities: ReadonlyMap<string, VerificationKey>,
  kid: string | undefined,
): VerificationKey {
  const named = kid === undefined ? undefined : authorities.get(kid)
  if (named !== undefined) return named
  const [[name, only] = [], ...others] = authorities
  const isAlone = others.length === 0
  if (only === undefined || (kid !== undefined && !(isAlone && name === ''))) {
    throw new AimsError('credential.unknown_key', 'the trust domain has no such key')
  }
  if (!isAlone) throw new AimsError('credential.missing_kid', 'the token does not say which key signed it')
  return only
}
