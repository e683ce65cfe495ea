import { ERROR_CODES } from 'aims/base'

/** What a code means and what to do about it, when it is one of ours. */
export function meaningOf(code: string): string | undefined {
  return Object.hasOwn(ERROR_CODES, code) ? ERROR_CODES[code as keyof typeof ERROR_CODES] : undefined
}

/** Codes that somebody who wrote `text` may have meant: they share a word with it. At most five. */
export function similarCodes(text: string): readonly string[] {
  const words = wordsOf(text)
  const shared = (code: string): number => wordsOf(code).filter((word) => words.includes(word)).length
  return Object.keys(ERROR_CODES)
    .map((code) => ({ code, score: shared(code) }))
    .filter(({ score }) => score > 0)
    .sort((a, b) => b.score - a.score)
    .slice(0, 5)
    .map(({ code }) => code)
}

function wordsOf(text: string): readonly string[] {
  return text.split(/[._]/).filter((word) => word !== '')
}
