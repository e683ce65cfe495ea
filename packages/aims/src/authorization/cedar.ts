import { AimsError } from '../base/errors.ts'
import { isTooComplex } from './complexity.ts'
import { CEDAR_SCHEMA } from './schema.ts'

type Cedar = typeof import('@cedar-policy/cedar-wasm/nodejs')

/** One thing that is wrong with one policy. */
export interface CedarProblem<Id> {
  readonly policyId: Id
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
export function findCedarProblems<Id>(
  cedar: Cedar,
  policies: readonly { readonly id: Id; readonly text: string }[],
): readonly CedarProblem<Id>[] {
  // All together first: that reads the schema once. One at a time then, since a parse error names its policy only in prose.
  const texts = policies.map(({ text }) => text)
  if (!texts.some(isTooComplex) && findProblems(cedar, texts).length === 0) return []
  return policies.flatMap(({ id, text }) =>
    (isTooComplex(text) ? TOO_COMPLEX : findProblems(cedar, [text])).map((problem) => ({ policyId: id, ...problem })),
  )
}

type Problem = Omit<CedarProblem<never>, 'policyId'>

const TOO_COMPLEX: readonly Problem[] = [{ message: 'the policy is too complex', offset: 0 }]

function findProblems(cedar: Cedar, texts: readonly string[]): readonly Problem[] {
  const answer = cedar.validate({
    schema: CEDAR_SCHEMA,
    policies: { staticPolicies: Object.fromEntries(texts.map((text, index) => [`policy${index}`, text])) },
    validationSettings: { mode: 'strict' },
  })
  if (answer.type === 'failure') return answer.errors.map(toProblem)
  return [...answer.validationErrors, ...answer.validationWarnings].map(({ error }) => toProblem(error))
}

interface DetailedError {
  readonly message: string
  readonly help: string | null
  readonly sourceLocations?: readonly { readonly start: number; readonly label: string | null }[]
}

function toProblem({ message, help, sourceLocations = [] }: DetailedError): Problem {
  const location = sourceLocations[0]
  const plain = message.replace(
    /^(?:for policy `policy0`, |failed to parse policy with id `policy0` from string: )/,
    '',
  )
  const text = [plain, location?.label, help].filter((part) => typeof part === 'string').join('; ')
  return { message: text.replace(/\s+/g, ' '), offset: location?.start ?? 0 }
}
