import { AimsError } from './errors.ts'

/** Tells operators of trouble once, however often it is met, and when it is over. */
export interface TroubleLog {
  /** What went wrong; `otherwise` is the line for an error without a code. Told again when the code is another one. */
  tell(error: unknown, otherwise: string): void
  /** It works. Said only when there was trouble, with its code. */
  over(line: string): void
}

/**
 * Makes a log that has told nothing yet.
 *
 * @param who - Before each line, e.g. `aims agent`.
 */
export function troubleLog(who: string, log: (line: string) => void): TroubleLog {
  let told = ''
  let after = ''
  return {
    tell(error, otherwise) {
      // Messages carry the id of the request: the code is what says that it is the same trouble.
      const code = AimsError.is(error) ? error.code : otherwise
      if (code !== told) log(`${who}: ${AimsError.is(error) ? `${code}: ${error.message}` : otherwise}`)
      told = code
      after = AimsError.is(error) ? `, after ${code}` : ''
    },
    over(line) {
      if (told !== '') log(`${who}: ${line}${after}`)
      told = ''
    },
  }
}
