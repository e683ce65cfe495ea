/** What lies behind a refusal. Ids are API: added, never renamed. */
export interface Cause {
  /** What is wrong, in a sentence. */
  readonly because: string
  /** What to change, and who can. */
  readonly fix: string
}

/** Causes by their ids. */
export type Causes = { readonly [id: string]: Cause }

/**
 * Which causes a code can have, likeliest first: by the difference that the failed check tells, or whatever it tells.
 */
export type CausesOfCode = {
  readonly [code: string]: { readonly [difference: string]: readonly string[] }
}

/** Stands for every difference that is not named. */
export const ANY = '*'
