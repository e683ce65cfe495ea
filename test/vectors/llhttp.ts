import { readFileSync } from 'node:fs'
import { join } from 'node:path'

/** One message of llhttp's own tests. */
export interface ParserCase {
  readonly file: string
  readonly title: string
  readonly type: string | null
  readonly input_b64: string
  readonly strict_error: string | null
  /** Messages that are complete before the error. */
  readonly messages: number
}

/** All of them, in the order of the source. */
export function readParserCases(dir: string): readonly ParserCase[] {
  return JSON.parse(readFileSync(join(dir, 'llhttp-cases.json'), 'utf8')).cases
}
