/**
 * The answer and what it rests on. A refusal is an answer, not an error.
 *
 * - `forbidden`: the policies named forbid it, whatever others permit.
 * - `no-policy`: no policy permits it.
 * - `policy-error`: the policies named could not be evaluated (none named: the engine itself failed). Raise an alarm:
 *   a policy that cannot be evaluated may be the one that forbids.
 * - `beyond-rights`: the caller is a sub-agent, and its parent did not give it this right; no policy was asked.
 * - `invalid-request`: the request was incomplete, oversized or not made by `authenticate`; no policy was asked.
 */
export type Decision =
  | { readonly effect: 'allow'; readonly policies: NonEmpty; readonly policySet: string }
  | { readonly effect: 'deny'; readonly because: 'forbidden'; readonly policies: NonEmpty; readonly policySet: string }
  | {
      readonly effect: 'deny'
      readonly because: 'no-policy' | 'policy-error' | 'beyond-rights' | 'invalid-request'
      readonly policies: readonly string[]
      /** The version of the policy set that was asked, `sha256:...`. */
      readonly policySet: string
    }

type NonEmpty = readonly [string, ...string[]]
