import { isJwsAlgorithm, SPIFFE_ALGORITHMS } from '../../base/algorithms.ts'
import { AimsError } from '../../base/errors.ts'
import { isJsonObject, type JsonObject, type JsonValue } from '../../base/json.ts'
import { importVerificationKey, type VerificationKey } from '../../base/keys.ts'
import type { TrustDomain, WorkloadId } from '../../identifiers/spiffe-id.ts'
import type { WitShape } from './profiles.ts'

/** Finds the key behind `cnf.kid`, as it was registered at issuance. Profile `aims-00` only. */
export interface KeyRegistry {
  find(trustDomain: TrustDomain, subject: WorkloadId, kid: string): VerificationKey | undefined
}

/** The key a WIT confirms, and the `kid` it goes by, if any. */
export interface Confirmation {
  readonly key: VerificationKey
  readonly kid: string | undefined
  /** True when the token itself carries the key. */
  readonly embedded: boolean
}

/**
 * Reads `cnf`: a public key with the one algorithm that proofs must use.
 *
 * @throws {@link AimsError} `credential.missing_confirmation`, `.invalid_confirmation`, `.missing_confirmation_alg`,
 * `.forbidden_confirmation_alg`, `.unresolved_confirmation`
 * @see RFC 7800 section 3; draft-ietf-wimse-workload-creds-02, on `cnf`
 */
export function readConfirmation(
  cnf: JsonValue | undefined,
  shape: WitShape,
  options: { readonly svid: boolean; readonly find: ((kid: string) => VerificationKey | undefined) | undefined },
): Confirmation {
  if (cnf === undefined) throw new AimsError('credential.missing_confirmation', 'cnf is absent')
  if (!isJsonObject(cnf)) throw new AimsError('credential.invalid_confirmation', 'cnf is not an object')
  const { jwk } = cnf
  const kid = shape.aims ? readKid(cnf) : undefined
  if (jwk !== undefined) return { key: readJwk(jwk, shape, options.svid), kid, embedded: true }
  if (kid === undefined) throw new AimsError('credential.invalid_confirmation', 'cnf has no key')
  const key = options.find?.(kid)
  if (key === undefined) throw new AimsError('credential.unresolved_confirmation', 'cnf.kid is not registered')
  return { key, kid, embedded: false }
}

function readKid(cnf: JsonObject): string | undefined {
  const { kid } = cnf
  if (kid !== undefined && (typeof kid !== 'string' || kid === '')) {
    throw new AimsError('credential.invalid_confirmation', 'cnf.kid is not a string')
  }
  return kid
}

function readJwk(jwk: JsonValue, shape: WitShape, svid: boolean): VerificationKey {
  if (!isJsonObject(jwk)) throw new AimsError('credential.invalid_confirmation', 'cnf.jwk is not an object')
  const { alg, kty, use = 'sig', key_ops: operations } = jwk
  if (use !== 'sig' || (Array.isArray(operations) && !operations.includes('verify'))) {
    throw new AimsError('credential.invalid_confirmation', 'cnf.jwk is not for signatures')
  }
  if (alg === undefined) {
    if (!shape.confirmationAlgOptional || kty === 'RSA') {
      throw new AimsError('credential.missing_confirmation_alg', 'cnf.jwk has no alg')
    }
  } else if (!isJwsAlgorithm(alg) || (svid && !SPIFFE_ALGORITHMS.has(alg))) {
    throw new AimsError('credential.forbidden_confirmation_alg', 'cnf.jwk.alg is not an algorithm for proofs')
  }
  try {
    return importVerificationKey(jwk)
  } catch (cause) {
    if (!AimsError.is(cause)) throw cause
    if (cause.code === 'key.alg_mismatch') {
      throw new AimsError('credential.forbidden_confirmation_alg', 'cnf.jwk.alg does not fit the key', { cause })
    }
    throw new AimsError('credential.invalid_confirmation', cause.message, { cause })
  }
}
