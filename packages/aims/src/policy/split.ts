/** One policy of a file, as written. */
export interface Statement {
  readonly text: string
  /** Index of its first character in the file. */
  readonly start: number
}

/**
 * Cuts a Cedar file into its policies: a semicolon ends one, outside of strings and comments it has no other use.
 * What follows the last semicolon, if anything, is returned as a statement too, for Cedar to refuse.
 *
 * @see Cedar 4, "Grammar specification for policy syntax"
 */
export function splitPolicies(file: string): readonly Statement[] {
  const statements: Statement[] = []
  let start = -1
  let end = 0
  for (const token of file.matchAll(TOKEN)) {
    const [text] = token
    if (text.startsWith('//') || WHITE_SPACE.test(text)) continue
    if (start === -1) start = token.index
    end = token.index + text.length
    if (text !== ';') continue
    statements.push({ text: file.slice(start, end), start })
    start = -1
  }
  if (start !== -1) statements.push({ text: file.slice(start, end), start })
  return statements
}

// A comment, a string (to the end of the file if nothing closes it), white space, or any one other character.
const TOKEN = /\/\/[^\n\r]*|"(?:[^"\\]|\\.)*(?:"|$)|\p{White_Space}+|./gsu
// Not \s and trim: to them a byte order mark is white space, and to Cedar it is not.
const WHITE_SPACE = /^\p{White_Space}/u
