/**
 * Takes away the spaces and tabs around a text: what HTTP calls OWS, and nothing that `trim` takes beyond it.
 *
 * Linear in the length. The pattern `[ \t]+$` is not: it starts over at every blank of a long run inside the text.
 */
export function trimBlanks(text: string): string {
  let start = 0
  while (isBlankAt(text, start)) start += 1
  return trimBlanksEnd(text).slice(start)
}

/** As {@link trimBlanks}, at the end only. */
export function trimBlanksEnd(text: string): string {
  let end = text.length
  while (isBlankAt(text, end - 1)) end -= 1
  return text.slice(0, end)
}

/** True for a space or a tab at this place. */
export function isBlankAt(text: string, at: number): boolean {
  const code = text.charCodeAt(at)
  return code === 0x20 || code === 0x09
}
