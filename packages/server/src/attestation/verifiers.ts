import type { AttestationType, EvidenceVerifier, EvidenceVerifiers } from 'aims/attestation'
import { AimsError, isJsonObject, type JsonObject } from 'aims/base'

/** Makes the verifier of a type from its settings. @throws {@link Error} with the reason, lower case */
export type VerifierFactory = (settings: JsonObject) => EvidenceVerifier

/** The types that can be switched on, and how. A type that is not configured is off. */
const FACTORIES: { readonly [type in AttestationType]?: VerifierFactory } = {}

/**
 * Makes the verifiers that the configuration switches on.
 *
 * @throws {@link AimsError} `operation.config_invalid`, naming the key
 */
export function createVerifiers(settings: JsonObject): EvidenceVerifiers {
  const verifiers = new Map<AttestationType, EvidenceVerifier>()
  for (const [type, value] of Object.entries(settings)) {
    const factory = Object.hasOwn(FACTORIES, type) ? FACTORIES[type as AttestationType] : undefined
    if (factory === undefined || !isJsonObject(value)) {
      const known = Object.keys(FACTORIES).join(', ') || 'none in this version'
      throw new AimsError('operation.config_invalid', `"attestation": an object by type of evidence: ${known}`)
    }
    try {
      verifiers.set(type as AttestationType, factory(value))
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : 'not usable'
      throw new AimsError('operation.config_invalid', `"attestation.${type}": ${reason}`, { cause })
    }
  }
  return verifiers
}
