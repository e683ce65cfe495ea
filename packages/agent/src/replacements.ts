import type { Clock } from 'aims/base'

/** When identities are replaced whose authority was tainted or revoked. */
export interface Replacements {
  /** Seconds since the epoch at which this one is due; `undefined`: all its signers stand. The same until it is forgotten. */
  dueAt(id: string, signers: readonly string[]): number | undefined
  /** It was replaced, or is gone. */
  forget(id: string): void
}

/** What it works with. */
export interface ReplacementsOptions {
  readonly clock: Clock
  /** From 0 to 1. */
  random(): number
  /** Whether what this authority signed stands. */
  stands(signer: string): boolean
  /** Seconds in which what this one signed has to be replaced; 0: nobody takes it any more. */
  within(signer: string): number
}

/**
 * Spreads replacements, so that all workloads of all agents do not come at once when an authority is tainted: what it signed
 * is good until it is revoked. What is good no more is replaced at once, also when its turn would be later.
 *
 * @see AIMS PR-4
 */
export function createReplacements({ clock, random, stands, within }: ReplacementsOptions): Replacements {
  const planned = new Map<string, number>()
  return {
    dueAt(id, signers) {
      const fallen = signers.filter((signer) => !stands(signer))
      if (fallen.length === 0) {
        planned.delete(id)
        return undefined
      }
      const window = Math.min(...fallen.map(within))
      const last = clock() + window
      const at = Math.min(planned.get(id) ?? clock() + window * random(), last)
      planned.set(id, at)
      return at
    },
    forget: (id) => void planned.delete(id),
  }
}
