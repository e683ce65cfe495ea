import { AimsError, type AimsErrorCode } from '../base/errors.ts'
import { decodeUnverifiedJws, type UnverifiedJws } from '../base/jose.ts'
import type { JsonObject } from '../base/json.ts'
import type { VerificationKey } from '../base/keys.ts'
import type { TrustDomain } from '../identifiers/spiffe-id.ts'
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

/** The bundle of exactly this trust domain; another one is never tried. @throws {@link AimsError} `credential.untrusted_domain` */
export function requireBundle(bundles: BundleSource, trustDomain: TrustDomain): TrustBundle {
  const bundle = bundles.bundleFor(trustDomain)
  if (bundle === undefined || bundle.trustDomain !== trustDomain) {
    throw new AimsError('credential.untrusted_domain', 'no trust bundle for the trust domain of the subject')
  }
  return bundle
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
  const key = authorities.get(kid ?? '') ?? authorities.get('')
  if (key !== undefined) return key
  const [only, ...others] = authorities.values()
  if (kid !== undefined || only === undefined) {
    throw new AimsError('credential.unknown_key', 'the trust domain has no such key')
  }
  if (others.length > 0) throw new AimsError('credential.missing_kid', 'the token does not say which key signed it')
  return only
}
