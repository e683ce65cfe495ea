import { closeSync, openSync, readSync } from 'node:fs'
import { PROFILES, type Profile } from 'aims/credentials'
import { FailedError, UsageError } from './exit.ts'

const MIB = 1024 * 1024
const MAX_INPUT = 4 * MIB

/** Limits of JSON about a whole fleet: some ten thousand entries, as programs print them. */
export const FLEET: { readonly maxLength: number; readonly maxMembers: number } = {
  maxLength: 64 * MIB,
  maxMembers: 4_000_000,
}

/** Reads a file, or standard input for `-`. Inputs are credentials and bundles: more than `max` bytes, 4 MiB, are refused. */
export function readInput(path: string, max: number = MAX_INPUT): Buffer {
  try {
    const from = path === '-' ? 0 : openSync(path, 'r')
    try {
      return readAll(from, path, max)
    } finally {
      if (from !== 0) closeSync(from)
    }
  } catch (error) {
    if (error instanceof FailedError) throw error
    const reason = (error as NodeJS.ErrnoException).code ?? 'unreadable'
    throw new FailedError('operation.input_unreadable', `cannot read ${path}: ${reason}`, { cause: error })
  }
}

// Not readFileSync: it fails for a pipe whose writer is slower than we are, and reads a device without end.
function readAll(from: number, path: string, max: number): Buffer {
  const chunks: Buffer[] = []
  let length = 0
  for (;;) {
    const chunk = Buffer.alloc(65_536)
    const count = readSome(from, chunk)
    if (count === 0) return Buffer.concat(chunks)
    length += count
    if (length > max) throw new FailedError('operation.input_too_large', `${path} is larger than ${max / MIB} MiB`)
    chunks.push(chunk.subarray(0, count))
  }
}

function readSome(from: number, into: Buffer): number {
  for (;;) {
    try {
      return readSync(from, into)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error
      Atomics.wait(PAUSE, 0, 0, 5)
    }
  }
}

const PAUSE = new Int32Array(new SharedArrayBuffer(4))

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

/** `--profile`: one generation of the drafts. */
export function readProfile(text: string | undefined): Profile {
  const profile = PROFILES.find((name) => name === text)
  if (profile === undefined) throw new UsageError(`--profile takes one of ${PROFILES.join(', ')}`)
  return profile
}
