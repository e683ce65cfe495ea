import { randomBytes } from 'node:crypto'
import { equalConstantTime, sha256 } from '../../base/bytes.ts'
import { AimsError } from '../../base/errors.ts'
import type { JsonObject } from '../../base/json.ts'
import type { Preparation } from '../evidence.ts'
import { certifiedEndorsementKey, type TpmCertificateTrust } from './certificates.ts'
import { makeCredential } from './credential.ts'
import { readTpmHello } from './document.ts'
import { checkAttestationKey, checkEndorsementKey } from './key-rules.ts'
import { parseTpmPublic, type TpmPublic } from './public-area.ts'

/**
 * Challenges a TPM to show that its attestation key lives beside its endorsement key: checks certificates and keys, and
 * wraps a fresh secret for exactly this pair. The answer is a member `secret` in the evidence; it comes together with
 * the quote, so one round trip suffices.
 *
 * @param hello - `ekCertificate`, `ekPublic`, `akPublic`.
 * @param context.now - Seconds since the epoch.
 * @returns `offer.credential`: parameters of TPM2_ActivateCredential, base64, at most 1 KiB. `kept`: the Names of the keys,
 *   and a digest of the secret.
 * @throws {@link AimsError} `attestation.malformed`, `.untrusted`, `.chain_invalid`, `.inconsistent`, `.weak_key` ...
 * @see TPM 2.0 Library, Part 1, section 24
 */
export function prepareTpmActivation(
  hello: JsonObject,
  trust: TpmCertificateTrust,
  context: { readonly now: number },
): Preparation {
  const { ekCertificates, ekPublic, akPublic } = readTpmHello(hello)
  const [ek, ak] = [parseTpmPublic(ekPublic), parseTpmPublic(akPublic)]
  checkEndorsementKey(ek)
  checkAttestationKey(ak)
  certifiedEndorsementKey(ekCertificates, ek, trust, context.now)
  const secret = randomBytes(32)
  return {
    offer: { credential: makeCredential(ek, ak.name, secret).toString('base64') },
    kept: { ek: ek.name.toString('hex'), ak: ak.name.toString('hex'), secret: sha256(secret).toString('hex') },
  }
}

/**
 * Checks that evidence answers the challenge: the same endorsement key, the same attestation key, and its secret. The
 * keys are compared by their Names, so to the last bit of their public areas.
 *
 * @param kept - As {@link prepareTpmActivation} returned it.
 * @throws {@link AimsError} `attestation.activation_failed`
 */
export function checkTpmActivation(
  kept: JsonObject,
  ek: TpmPublic | undefined,
  ak: TpmPublic,
  secret: Uint8Array | undefined,
): void {
  const isSamePair = ek !== undefined && kept.ek === ek.name.toString('hex') && kept.ak === ak.name.toString('hex')
  const isSecret =
    secret !== undefined &&
    typeof kept.secret === 'string' &&
    equalConstantTime(sha256(secret).toString('hex'), kept.secret)
  if (!isSamePair || !isSecret) {
    throw new AimsError('attestation.activation_failed', 'the secret of the challenge did not come back from this TPM')
  }
}
