import type { AttestationType, EvidenceVerifier, EvidenceVerifiers } from 'aims/attestation'
import { AimsError, isJsonObject, type JsonObject } from 'aims/base'
import type { EvidenceMemory } from '../store/evidence-memory.ts'
import { VERIFIER_TYPES } from './verifier-types.ts'

/** What verifiers get from the server they work in. */
export interface VerifierSurroundings {
  /** Where collateral is when a type names no directory of its own. */
  readonly collateral: string
  readonly memory: EvidenceMemory
  readonly env: { readonly [name: string]: string | undefined }
}

/**
 * Makes the verifiers that the configuration switches on.
 *
 * @throws {@link AimsError} `operation.config_invalid`, naming the key
 */
export function createVerifiers(settings: JsonObject, surroundings: VerifierSurroundings): EvidenceVerifiers {
  const verifiers = new Map<AttestationType, EvidenceVerifier>()
  for (const [name, value] of Object.entries(settings)) {
    const found = VERIFIER_TYPES.find(({ type }) => type === name)
    if (found === undefined || !isJsonObject(value)) {
      const known = VERIFIER_TYPES.map(({ type }) => type).join(', ')
      throw new AimsError('operation.config_invalid', `"attestation": an object by type of evidence: ${known}`)
    }
    try {
      verifiers.set(found.type, found.create(value, surroundings))
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : 'not usable'
      throw new AimsError('operation.config_invalid', `"attestation.${name}": ${reason}`, { cause })
    }
  }
  return verifiers
}
