import { AimsError } from '../../base/errors.ts'
import { isJsonObject, type JsonObject, type JsonValue } from '../../base/json.ts'
import { ASSURANCE_LEVELS, type Assurance } from '../../credentials/attested.ts'
import { ATTESTATION_TYPES, type AttestationResult, type AttestationType } from '../attestor.ts'
import { type Authenticated, appraised, type EvidenceVerifier } from '../evidence.ts'
import { assuranceOf, compareAssurance, strongestAssurance } from './assurance.ts'
import { malformed } from './policy-fields.ts'

/** The verifiers that are configured, by type. A type without one is refused. */
export type EvidenceVerifiers = ReadonlyMap<AttestationType, EvidenceVerifier>

/** How many of which types must be shown, e.g. one of any cloud beside a TPM. */
export interface Combination {
  readonly atLeast: number
  readonly of: readonly AttestationType[]
}

/** What an entry asks of the evidence for its identity. Made by {@link readAppraisalPolicy}. */
export interface AppraisalPolicy {
  /** Per type, as its verifier read it. Evidence of a type that is not named is held to that type's strict default. */
  readonly types: ReadonlyMap<AttestationType, object>
  /** All of these must hold. */
  readonly require: readonly Combination[]
  /** The least that the evidence must reach together. */
  readonly assurance: Assurance
}

/** What several pieces of evidence say together. */
export interface Appraisal {
  readonly results: readonly AttestationResult[]
  /** Of all results. */
  readonly selectors: readonly string[]
  /** Of the strongest result. */
  readonly assurance: Assurance
}

/**
 * Reads an appraisal policy, e.g. `{"tpm":{"pcrs":...},"aws-iid":{},"require":["tpm",{"atLeast":1,"of":["aws-iid","gcp"]}]}`.
 *
 * Members named like a type hold that type's policy. `require` lists what must be shown; without it, one of the types
 * named is enough. `assurance` is the least level; without it `low`.
 *
 * @throws {@link AimsError} `attestation.policy_malformed`, `attestation.unknown_type`
 */
export function readAppraisalPolicy(document: JsonValue, verifiers: EvidenceVerifiers): AppraisalPolicy {
  if (!isJsonObject(document)) throw malformed('the policy', 'is a JSON object')
  const types = new Map<AttestationType, object>()
  for (const [name, value] of Object.entries(document)) {
    if (name === 'require' || name === 'assurance') continue
    const type = readType(name, verifiers)
    if (!isJsonObject(value)) throw malformed(type, 'takes an object')
    types.set(type, (verifiers.get(type) as EvidenceVerifier).readPolicy(value))
  }
  const combinations = readCombinations(document, verifiers)
  const isAnyNamed: Combination = { atLeast: 1, of: [...types.keys()] }
  return {
    types,
    require: combinations ?? (types.size === 0 ? [] : [isAnyNamed]),
    assurance: readAssurance(document.assurance),
  }
}

/**
 * Holds authenticated evidence against a policy. Every piece that was sent must pass its own part, needed or not: a
 * caller does not choose which of its evidence counts.
 *
 * @param evidence - Of one challenge, and so of one key; at most one piece per type.
 * @throws {@link AimsError} `attestation.not_enough`, and what the verifiers of the types refuse
 */
export function appraise(
  evidence: readonly Authenticated[],
  policy: AppraisalPolicy,
  verifiers: EvidenceVerifiers,
): Appraisal {
  const results = evidence.map((one) => {
    const verifier = verifiers.get(one.result.type)
    if (verifier === undefined) throw unknownType()
    return appraised(verifier, one, policy.types.get(verifier.type) ?? verifier.readPolicy({}))
  })
  const shown = new Set(results.map(({ type }) => type))
  if (results.length === 0 || shown.size !== results.length) {
    throw new AimsError('attestation.not_enough', 'one piece of evidence per type is needed')
  }
  for (const { atLeast, of } of policy.require) {
    const count = of.filter((type) => shown.has(type)).length
    if (count < atLeast) {
      throw new AimsError('attestation.not_enough', `at least ${atLeast} of ${of.join(', ')} must be shown`)
    }
  }
  const assurance = strongestAssurance(results.map(assuranceOf))
  if (compareAssurance(assurance, policy.assurance) < 0) {
    throw new AimsError('attestation.not_enough', `assurance ${policy.assurance} is needed`)
  }
  return { results, selectors: [...new Set(results.flatMap(({ selectors }) => selectors))], assurance }
}

function readCombinations(document: JsonObject, verifiers: EvidenceVerifiers): readonly Combination[] | undefined {
  const { require } = document
  if (require === undefined) return undefined
  if (!Array.isArray(require) || require.length === 0 || require.length > 16) {
    throw malformed('require', 'takes 1 to 16 types or combinations')
  }
  return require.map((one: JsonValue): Combination => {
    if (typeof one === 'string') return { atLeast: 1, of: [readType(one, verifiers)] }
    if (!isJsonObject(one) || !Array.isArray(one.of)) throw malformed('require', 'takes {"atLeast":N,"of":[types]}')
    const unknown = Object.keys(one).find((name) => name !== 'atLeast' && name !== 'of')
    if (unknown !== undefined) throw malformed('require', 'has an unknown member')
    const of = one.of.map((type: JsonValue) => readType(type, verifiers))
    const { atLeast = of.length } = one
    const isCount = typeof atLeast === 'number' && Number.isInteger(atLeast) && atLeast >= 1 && atLeast <= of.length
    if (!isCount || new Set(of).size !== of.length) throw malformed('require', 'takes 1 to as many as it lists')
    return { atLeast, of }
  })
}

function readAssurance(value: JsonValue | undefined): Assurance {
  const level = ASSURANCE_LEVELS.find((one) => one === (value ?? 'low'))
  if (level === undefined) throw malformed('assurance', `is one of ${ASSURANCE_LEVELS.join(', ')}`)
  return level
}

function readType(name: JsonValue, verifiers: EvidenceVerifiers): AttestationType {
  const type = ATTESTATION_TYPES.find((one) => one === name)
  if (type === undefined) {
    const named = typeof name === 'string' ? JSON.stringify(name.slice(0, 64)) : 'the policy'
    throw malformed(named, `is neither a type of evidence nor a rule: there are ${ATTESTATION_TYPES.join(', ')}`)
  }
  if (!verifiers.has(type)) throw unknownType(type)
  return type
}

function unknownType(type?: AttestationType): AimsError {
  return new AimsError('attestation.unknown_type', `no verifier is configured for ${type ?? 'a type of the evidence'}`)
}
