import { AimsError } from 'aims/base'

/** How much time and how many descriptors the looks for who holds a connection may take. */
export interface LookBudget {
  /** Descriptors that one look looks at. */
  readonly maxLooked: number
  /**
   * Runs a look at the processes of a user, and counts its time as that user's: who holds many descriptors makes looks
   * long, in which nobody else is served.
   *
   * @throws {@link AimsError} `egress.too_busy`, and what the look throws
   */
  spend<T>(uid: number, look: () => T): T
}

/** What tests set. */
export interface LookBudgetOptions {
  /** Default 20,000. */
  readonly maxLooked?: number
  /** Milliseconds, never going back. Default: since the start of the process. */
  readonly clock?: () => number
}

/** Of the time that passes, what the looks at one user may take. */
const SHARE = 0.5
/** Milliseconds that they may take at once. */
const BURST = 5000

/** Makes a budget of which nobody has taken anything. */
export function lookBudget({
  maxLooked = 20_000,
  clock = () => performance.now(),
}: LookBudgetOptions = {}): LookBudget {
  const taken = new Map<number, { readonly time: number; readonly at: number }>()
  return {
    maxLooked,
    spend(uid, look) {
      const begun = clock()
      const { time, at } = taken.get(uid) ?? { time: 0, at: begun }
      const left = Math.max(0, time - (begun - at) * SHARE)
      if (left >= BURST)
        throw new AimsError('egress.too_busy', 'the processes of this user take too long to look through')
      try {
        return look()
      } finally {
        const now = clock()
        taken.set(uid, { time: left + now - begun, at: now })
      }
    },
  }
}
