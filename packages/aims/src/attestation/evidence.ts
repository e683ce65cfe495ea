import { requireTime } from '../base/clock.ts'
import { AimsError } from '../base/errors.ts'
import type { JsonObject } from '../base/json.ts'
import { createSealer, type Sealed, type Unsealed } from '../base/seal.ts'
import type { AttestationResult, AttestationType } from './attestor.ts'
import type { ExpectedBinding } from './binding.ts'

/** Who is attested: a workload that wants credentials, or a machine that wants to be an agent. */
export type EvidenceUse = 'workload' | 'agent'

/** What a verifier of evidence is told besides the evidence. None of it may come from whoever sent it. */
export interface EvidenceContext {
  /** Seconds since the epoch. */
  readonly now: number
  readonly expected: ExpectedBinding
  /** Default `workload`. */
  readonly use?: EvidenceUse
  /** What {@link EvidenceVerifier.prepare} kept for this challenge. */
  readonly prepared?: JsonObject
}

/** What a type that answers a hello gives to the client, and what the server keeps to itself until the evidence comes. */
export interface Preparation {
  readonly offer: JsonObject
  readonly kept: JsonObject
}

/**
 * What evidence says, after every signature, certificate and binding has been checked, and before anybody asked whether
 * it is good enough. Only {@link EvidenceVerifier.authenticate} makes one.
 */
export interface Authenticated<Claims extends object = object> extends Sealed<'Authenticated'> {
  /** The authenticated fields of the type. Nothing that was not signed is in here. */
  readonly claims: Claims
  readonly result: AttestationResult
  /**
   * What stays the same whoever collects: instance, chip, EK ... For first-use rules. Not secret, at most 512 characters.
   */
  readonly attested: string
  /** Names the signed part of this one piece of evidence, where it has no nonce: for one-time use. Never a hash of raw bytes. */
  readonly statement?: string
}

/**
 * One type of evidence: parse, authenticate, appraise. `authenticate` takes the evidence as its platform hands it out,
 * or as a JSON object where it has several parts (each type documents its own). Trust (roots, collateral, issuers) is
 * given when a verifier is made; it fetches nothing.
 */
export interface EvidenceVerifier<Claims extends object = object, Policy extends object = object> {
  readonly type: AttestationType
  /** Bytes. Larger evidence is refused before it is looked at. */
  readonly maxSize: number
  /**
   * Types that need a word of the client before they can challenge it (a TPM's EK and AK) have this. Both halves are JSON.
   *
   * @throws {@link AimsError} `attestation.*`
   */
  prepare?(hello: JsonObject, context: { readonly now: number }): Preparation
  /**
   * Checks who made the evidence, that it is whole, valid at `now`, and bound to what was expected.
   * Does not check whether it is good enough: {@link appraise} does.
   *
   * @throws {@link AimsError} `attestation.*`
   */
  authenticate(evidence: Uint8Array, context: EvidenceContext): Authenticated<Claims> | Promise<Authenticated<Claims>>
  /**
   * Reads an appraisal policy: reference values and what is tolerated. `{}` is the strict default.
   *
   * @throws {@link AimsError} `attestation.policy_malformed`
   */
  readPolicy(document: JsonObject): Policy
  /**
   * Compares authenticated evidence with a policy; returns what an operator should know.
   *
   * @throws {@link AimsError} `attestation.debug`, `.tcb_*`, `.measurement_mismatch`, `.not_allowed`, `.revoked`
   */
  appraise(evidence: Authenticated<Claims>, policy: Policy): readonly string[]
}

const sealer = createSealer<Authenticated>()

/** Marks evidence as authenticated. For verifiers only, as the last thing they do. */
export function authenticatedEvidence<Claims extends object>(
  fields: Unsealed<Authenticated<Claims>>,
): Authenticated<Claims> {
  return sealer.seal(fields) as Authenticated<Claims>
}

/**
 * Verifies evidence in the three steps and returns what is true of the workload.
 *
 * @param policy - As {@link EvidenceVerifier.readPolicy} returned it.
 * @throws {@link AimsError} `attestation.*`, the first check that failed
 */
export async function attestEvidence<Claims extends object, Policy extends object>(
  verifier: EvidenceVerifier<Claims, Policy>,
  evidence: Uint8Array,
  context: EvidenceContext,
  policy: Policy,
): Promise<AttestationResult> {
  return appraised(verifier, await authenticateEvidence(verifier, evidence, context), policy)
}

/** The first two steps: {@link EvidenceVerifier.authenticate} within its size limit. */
export async function authenticateEvidence<Claims extends object, Policy extends object>(
  verifier: EvidenceVerifier<Claims, Policy>,
  evidence: Uint8Array,
  context: EvidenceContext,
): Promise<Authenticated<Claims>> {
  requireTime(context.now)
  if (evidence.length > verifier.maxSize) {
    throw new AimsError('attestation.too_large', `evidence of this type has at most ${verifier.maxSize} bytes`)
  }
  return await verifier.authenticate(evidence, context)
}

/** The third step: the result with the warnings of the appraisal. */
export function appraised<Claims extends object, Policy extends object>(
  verifier: EvidenceVerifier<Claims, Policy>,
  evidence: Authenticated<Claims>,
  policy: Policy,
): AttestationResult {
  if (!sealer.isSealed(evidence)) throw new TypeError('only a verifier of evidence makes authenticated evidence')
  const warnings = verifier.appraise(evidence, policy)
  return { ...evidence.result, warnings: [...evidence.result.warnings, ...warnings] }
}
