/** One thing that is wrong with a policy file, for people and editors. */
export interface PolicyProblem {
  readonly code: 'policy.invalid' | 'policy.invalid_id' | 'policy.duplicate_id'
  readonly file: string
  /** Both from 1; columns in UTF-16 units, as editors count. */
  readonly line: number
  readonly column: number
  /** About policy text and schema only. One line. */
  readonly message: string
}

/** `agents.cedar:3:12: message`. */
export function formatPolicyProblem({ file, line, column, message }: PolicyProblem): string {
  return `${file}:${line}:${column}: ${message}`
}

/** Tells line and column, both from 1, of characters of a text. */
export function positionsIn(text: string): (index: number) => { readonly line: number; readonly column: number } {
  const starts = [0, ...Array.from(text.matchAll(/\n/g), ({ index }) => index + 1)]
  return (index) => {
    const line = countUpTo(starts, index)
    return { line, column: index - (starts[line - 1] ?? 0) + 1 }
  }
}

// How many of the sorted numbers are at most `limit`.
function countUpTo(sorted: readonly number[], limit: number): number {
  let low = 0
  let high = sorted.length
  while (low < high) {
    const middle = (low + high) >> 1
    if ((sorted[middle] ?? 0) <= limit) low = middle + 1
    else high = middle
  }
  return low
}
