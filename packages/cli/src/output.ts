import { AimsError } from 'aims/base'
import { meaningOf } from './meaning.ts'

/** What a command found out: `ok` decides the exit code, the rest is printed. */
export type Result = { readonly ok: boolean } & { readonly [name: string]: unknown }

/** Where results go. Tests put their own function here. */
export const output: { write(text: string): void } = {
  write: (text) => {
    process.stdout.write(visible(text))
  },
}

// Everything that moves the cursor, changes colours or hides text, but for the line end: C0, DEL, C1, bidi, invisible.
const UNPRINTABLE = /[\0-\u0009\u000b-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g

/**
 * Text as a terminal may have it: control and invisible characters are written as `\u001b`, which means the same in JSON.
 * Words of others (a server, a log, a policy) are among what we print.
 */
export function visible(text: string): string {
  return text.replace(UNPRINTABLE, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`)
}

/** Prints a result: one JSON object with `--json`, otherwise one `name: value` line per member that says something. */
export function print(result: Result, json: boolean): void {
  output.write(json ? `${JSON.stringify(result, plain)}\n` : readable(result))
}

/** The result of a refusal. Anything but an AimsError is a defect or an outside failure and stays thrown. */
export function refusal(error: unknown): Result {
  if (AimsError.is(error)) {
    return { ok: false, code: error.code, message: error.message, hint: meaningOf(error.code) }
  }
  throw error
}

function readable(result: Result): string {
  const { ok, ...rest } = result
  const lines = Object.entries(rest)
    .filter(([, value]) => value !== undefined && value !== '' && !(Array.isArray(value) && value.length === 0))
    .map(([name, value]) => `  ${name}:${Array.isArray(value) ? list(value) : ` ${text(value)}`}`)
  return `${[ok ? 'ok' : 'refused', ...lines].join('\n')}\n`
}

// Several things get a line each, unless they are short.
function list(values: readonly unknown[]): string {
  const texts = values.map(text)
  const joined = texts.join(', ')
  return values.length > 1 && joined.length > 80 ? texts.map((one) => `\n    ${one}`).join('') : ` ${joined}`
}

function text(value: unknown): string {
  return typeof value === 'string' ? printable(value) : JSON.stringify(value, plain)
}

// Text from a token may hold control characters: they do not reach the terminal.
function printable(value: string): string {
  return /^[\x20-\x7e]*$/.test(value) ? value : JSON.stringify(value)
}

function plain(_name: string, value: unknown): unknown {
  return typeof value === 'bigint' ? value.toString() : value
}
