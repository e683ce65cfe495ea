const MAX_LENGTH = 32 * 1024
const MAX_NESTING = 24
const MAX_OPERATORS = 400
const STRING_OR_COMMENT = /"(?:[^"\\]|\\.)*(?:"|$)|\/\/[^\n\r]*/gsu
const OPERATOR = /&&|\|\||[-+*.<>=!([{]|\b(?:if|has|in|like|is)\b/g

/**
 * True for a policy that Cedar should not see. Its parser and validator are recursive: deep text ends in a trap, after
 * which the WASM machine of this process answers nothing any more. Measured limits with 4.13: nesting 109, operators
 * 765 in the worst mixture. Sets and strings may be long.
 */
export function isTooComplex(text: string): boolean {
  if (text.length > MAX_LENGTH) return true
  const code = text.replace(STRING_OR_COMMENT, '""')
  return nestingOf(code) > MAX_NESTING || (code.match(OPERATOR)?.length ?? 0) > MAX_OPERATORS
}

function nestingOf(code: string): number {
  let depth = 0
  let deepest = 0
  for (const character of code) {
    if ('([{'.includes(character)) depth += 1
    else if (')]}'.includes(character)) depth -= 1
    deepest = Math.max(deepest, depth)
  }
  return deepest
}
