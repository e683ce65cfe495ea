import { readFileSync } from 'node:fs'
import { FailedError, UsageError } from './exit.ts'

/** Reads a file, or standard input for `-`. Inputs are credentials and bundles: more than 4 MiB is refused. */
export function readInput(path: string): Buffer {
  try {
    const bytes = readFileSync(path === '-' ? 0 : path)
    if (bytes.length > 4 * 1024 * 1024)
      throw new FailedError('operation.input_too_large', `${path} is larger than 4 MiB`)
    return bytes
  } catch (error) {
    if (error instanceof FailedError) throw error
    const reason = (error as NodeJS.ErrnoException).code ?? 'unreadable'
    throw new FailedError('operation.input_unreadable', `cannot read ${path}: ${reason}`, { cause: error })
  }
}

/** Reads a token: the file's text without the line end an editor adds, and nothing else trimmed. */
export function readToken(path: string): string {
  return readInput(path)
    .toString('latin1')
    .replace(/\r?\n$/, '')
}

const RFC3339 = /^\d{4}-\d{2}-(\d{2})T\d{2}:\d{2}:\d{2}(\.\d+)?(Z|[+-]\d{2}:\d{2})$/i

/** `--now`: RFC 3339, as seconds since the epoch; the machine's clock when absent. */
export function readNow(text: string | undefined): number {
  if (text === undefined) return Date.now() / 1000
  const [, day] = RFC3339.exec(text) ?? []
  const milliseconds = day === undefined ? Number.NaN : Date.parse(text.toUpperCase())
  // Date.parse takes the 30th of February for the 2nd of March.
  const isDay = day === new Date(`${text.slice(0, 10)}T00:00:00Z`).toJSON()?.slice(8, 10)
  if (Number.isNaN(milliseconds) || !isDay)
    throw new UsageError('--now takes an RFC 3339 time, e.g. 2026-11-24T12:00:00Z')
  return milliseconds / 1000
}
