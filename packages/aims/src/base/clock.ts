/** Tells the time in seconds since the epoch, with fractions. Verifiers take a time, never a clock. */
export type Clock = () => number

/** The machine's clock. Only programs use it; the library's functions take `now` as an argument. */
export const systemClock: Clock = () => Date.now() / 1000
