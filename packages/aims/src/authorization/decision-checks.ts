import { type Check, checkOf } from '../base/check.ts'
import type { Decision } from './decision.ts'

type Denial = Extract<Decision, { effect: 'deny' }>

/** What a decision looks at in turn, and the denial that each of them ends in. */
const STEPS: readonly { readonly check: string; readonly denial: Denial['because']; readonly expected: string }[] = [
  { check: 'access.request', denial: 'invalid-request', expected: 'a whole question about an authenticated caller' },
  { check: 'access.rights', denial: 'beyond-rights', expected: 'within the rights that its parent gave a sub-agent' },
  { check: 'access.evaluation', denial: 'policy-error', expected: 'every policy can be evaluated' },
  { check: 'access.forbids', denial: 'forbidden', expected: 'no policy forbids it' },
  { check: 'access.permits', denial: 'no-policy', expected: 'a policy permits it' },
]

/** The checks behind a denial, the last of them failed. */
export function decisionChecks({ because, policies }: Denial): readonly Check[] {
  const failed = STEPS.findIndex(({ denial }) => denial === because)
  return STEPS.slice(0, failed + 1).map(({ check, expected }, at) =>
    at < failed
      ? checkOf(check, 'passed', { expected })
      : checkOf(check, 'failed', { expected, observed: policies.length === 0 ? 'none named' : policies.join(', ') }),
  )
}
