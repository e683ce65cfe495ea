import { AimsError } from '../base/errors.ts'
import { CEDAR_SCHEMA } from './schema.ts'

type Cedar = typeof import('@cedar-policy/cedar-wasm/nodejs')

/** One thing that is wrong with one policy. */
export interface CedarProblem {
  readonly policyId: string
  /** About policy text and schema only: policies contain no secrets. One line. */
  readonly message: string
  /** Bytes of UTF-8 from the start of the policy's text. */
  readonly offset: number
}

/**
 * Loads Cedar's own engine, an optional peer dependency of 4 MB, on first use.
 *
 * @throws {@link AimsError} `authorization.engine_unavailable`
 */
export async function loadCedar(): Promise<Cedar> {
  try {
    return await import('@cedar-policy/cedar-wasm/nodejs')
  } catch (cause) {
    throw new AimsError('authorization.engine_unavailable', 'the package @cedar-policy/cedar-wasm is not installed', {
      cause,
    })
  }
}

/**
 * Checks policies against the AIMS schema in Cedar's strict mode. Warnings count: a policy that can never apply is a
 * forbid that protects nothing, and letters of mixed scripts hide which name is meant.
 *
 * @returns Empty when every policy is valid.
 */
export function findCedarProblems(
  cedar: Cedar,
  policies: readonly { readonly id: string; readonly text: string }[],
): readonly CedarProblem[] {
  // One at a time: a parse error names its policy only in prose.
  return policies.flatMap(({ id, text }) => findProblems(cedar, id, text))
}

function findProblems(cedar: Cedar, id: string, text: string): readonly CedarProblem[] {
  let answer: ReturnType<Cedar['validate']>
  try {
    answer = cedar.validate({
      schema: CEDAR_SCHEMA,
      policies: { staticPolicies: { policy: text } },
      validationSettings: { mode: 'strict' },
    })
  } catch {
    return [{ policyId: id, message: 'the policy is too complex', offset: 0 }]
  }
  if (answer.type === 'failure') return answer.errors.map((error) => toProblem(id, error))
  return [...answer.validationErrors, ...answer.validationWarnings].map(({ error }) => toProblem(id, error))
}

interface DetailedError {
  readonly message: string
  readonly help: string | null
  readonly sourceLocations?: readonly { readonly start: number; readonly label: string | null }[]
}

function toProblem(policyId: string, { message, help, sourceLocations = [] }: DetailedError): CedarProblem {
  const location = sourceLocations[0]
  const plain = message.replace(/^(?:for policy `policy`, |failed to parse policy with id `policy` from string: )/, '')
  const text = [plain, location?.label, help].filter((part) => typeof part === 'string').join('; ')
  return { policyId, message: text.replace(/\s+/g, ' '), offset: location?.start ?? 0 }
}
