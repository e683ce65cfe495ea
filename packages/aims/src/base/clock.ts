/** Tells the time in seconds since the epoch, with fractions. Verifiers take a time, never a clock. */
export type Clock = () => number

/** The machine's clock. Only programs use it; the library's functions take `now` as an argument. */
export const systemClock: Clock = () => Date.now() / 1000

/** Refuses what is no time: every comparison with NaN is false, also those that refuse. @throws TypeError */
export function requireTime(now: number): void {
  if (!Number.isFinite(now)) throw new TypeError('now must be a time in seconds')
}
