import { type Check, type CheckFacts, checkOf } from '../../base/check.ts'
import type { RefusalFacts, Step } from './facts.ts'

/** The checks that were made, in their order, up to the one that the error of the refusal comes from. */
export function walk<F extends RefusalFacts>(steps: readonly Step<F>[], facts: F): readonly Check[] {
  const { error } = facts
  const made = steps.filter(({ isMade }) => isMade?.(facts) ?? true)
  const failed = made.findIndex(({ codes, isIt }) => codes.includes(error.code) && (isIt?.(facts) ?? true))
  // Nothing is said to have passed when it is not known how far it came.
  if (failed === -1) return [checkOf('other', 'failed', { observed: error.code })]
  return made.slice(0, failed + 1).map(({ check, tell }, at) => {
    const told = tell?.(facts)
    return at === failed ? checkOf(check, 'failed', told) : checkOf(check, 'passed', withoutDifference(told))
  })
}

function withoutDifference({ expected, observed }: CheckFacts = {}): CheckFacts {
  return { ...(expected === undefined ? {} : { expected }), ...(observed === undefined ? {} : { observed }) }
}
