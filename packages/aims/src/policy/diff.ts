import type { Policy, PolicySet } from './policy-set.ts'

/** What changes from one policy set to another, by id, sorted. */
export interface PolicyDiff {
  readonly added: readonly string[]
  readonly removed: readonly string[]
  /** Same id, other text. Which file it is in, and where, does not count. */
  readonly changed: readonly string[]
}

/** Compares two policy sets. Does not tell which requests are decided otherwise. */
export function diffPolicySets(before: PolicySet, after: PolicySet): PolicyDiff {
  const old = textById(before.policies)
  const now = textById(after.policies)
  return {
    added: [...now.keys()].filter((id) => !old.has(id)).sort(),
    removed: [...old.keys()].filter((id) => !now.has(id)).sort(),
    changed: [...now]
      .filter(([id, text]) => old.has(id) && old.get(id) !== text)
      .map(([id]) => id)
      .sort(),
  }
}

function textById(policies: readonly Policy[]): ReadonlyMap<string, string> {
  return new Map(policies.map(({ id, text }) => [id, text]))
}
