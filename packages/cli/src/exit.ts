/** What the exit code of `aims` says. */
export const EXIT = {
  /** Done, and the answer is positive. */
  ok: 0,
  /** A negative answer: refused, denied, not valid. */
  negative: 1,
  /** The command was used wrongly. */
  usage: 2,
  /** Could not be done: files, network, server away. */
  failed: 3,
} as const

/** Wrong use of a command: printed as one line, exit code 2. */
export class UsageError extends Error {}

/** Something outside failed: printed as one line, exit code 3. */
export class FailedError extends Error {
  readonly code: string

  constructor(code: string, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}
