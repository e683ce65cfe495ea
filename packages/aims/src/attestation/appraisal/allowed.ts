import { AimsError } from '../../base/errors.ts'

/** Values a policy allows, the value that was authenticated, and what it is called. */
export type Allowed = readonly [allowed: readonly string[] | undefined, value: string | undefined, what: string]

/**
 * Compares values with the lists of a policy, exactly. A list that is absent allows everything; one that is there allows
 * nothing that the evidence does not say.
 *
 * @throws {@link AimsError} `attestation.not_allowed`
 */
export function requireAllowed(rows: readonly Allowed[]): void {
  for (const [allowed, value, what] of rows) {
    if (allowed !== undefined && (value === undefined || !allowed.includes(value))) {
      throw new AimsError('attestation.not_allowed', `the ${what} is not among those the policy allows`)
    }
  }
}
