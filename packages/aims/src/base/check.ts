import { sha256Base64url } from './bytes.ts'
import { withoutSecrets } from './secret-text.ts'

/** One check that was made on the way to a refusal, as its record tells it. */
export interface Check {
  /** What was checked, e.g. `proof.audience`. Names are API like codes: added, never renamed. */
  readonly check: string
  readonly outcome: 'passed' | 'failed'
  /** What the verifier knows for itself. */
  readonly expected?: string
  /** What it found. These can be words of a caller: escaped, cut, and believed by nobody. Never a token or a key. */
  readonly observed?: string
  /** In which way the two differ, one word, where that tells causes apart, e.g. `query`. */
  readonly difference?: string
}

/** What a check says beside its name and outcome. */
export type CheckFacts = Pick<Check, 'expected' | 'observed' | 'difference'>

/** Characters of what was expected or observed. */
export const MAX_CHECK_TEXT = 140
/** Checks of one record. */
export const MAX_CHECKS = 32

/**
 * A check for a record, whatever its facts are made of: secrets as their hash, everything but plain characters escaped,
 * long text cut. So no caller can keep its refusal out of the log, or make its record one that the log refuses.
 */
export function checkOf(check: string, outcome: Check['outcome'], facts: CheckFacts = {}): Check {
  const { expected, observed, difference } = facts
  return {
    check,
    outcome,
    ...(expected === undefined ? {} : { expected: checkText(expected) }),
    ...(observed === undefined ? {} : { observed: checkText(observed) }),
    ...(difference === undefined ? {} : { difference }),
  }
}

// Quotes and backslashes need two bytes each in a record.
const UNPLAIN = /[^\x20-\x21\x23-\x5b\x5d-\x7e]/g

function checkText(value: string): string {
  if (value === '') return 'nothing'
  // What is cut off is not looked at: a caller may send a lot.
  const start = value.length > MAX_SCANNED ? value.slice(0, MAX_SCANNED) : value
  const plain = withoutSecrets(start).replace(
    UNPLAIN,
    (char) => `%u${char.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
  return plain.length <= MAX_CHECK_TEXT ? plain : `${plain.slice(0, MAX_CHECK_TEXT - CUT.length)}${CUT}`
}

// Begins with what ends every token: dots behind the start of one would make it look whole.
const CUT = ' [cut]'

const MAX_SCANNED = 4096

/** Seconds since the epoch as a record tells them, with their distance from now: `2026-11-26T07:30:00Z, 301 s ago`. */
export function timeText(seconds: unknown, now: number): string {
  if (seconds === undefined) return 'none'
  if (typeof seconds !== 'number' || !(Math.abs(seconds) <= MAX_TIME)) return 'no time'
  const distance = Math.round(now - seconds)
  const from = distance === 0 ? 'now' : distance > 0 ? `${distance} s ago` : `in ${-distance} s`
  return `${isoTime(seconds)}, ${from}`
}

/** Seconds since the epoch as RFC 3339. */
function isoTime(seconds: number): string {
  return `${new Date(Math.floor(seconds) * 1000).toISOString().slice(0, -5)}Z`
}

const MAX_TIME = 8_640_000_000_000

/** A request target as a record tells it: a query may carry secrets, so it is written as the start of its hash. */
export function targetText(target: string): string {
  const at = target.indexOf('?')
  return at === -1 ? target : `${target.slice(0, at)}?~sha256:${sha256Base64url(target.slice(at + 1)).slice(0, 12)}`
}
