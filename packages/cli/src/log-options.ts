import { statSync } from 'node:fs'
import { join } from 'node:path'
import { DEV_DIRECTORY, findDevFile } from './dev-directory.ts'
import { FailedError, UsageError } from './exit.ts'

/** The option of commands that read a log: what `Command.option` takes. */
export const LOG_OPTION = [
  '--log <path>',
  "the log's database, or the data directory of the server; default AIMS_DATA_DIRECTORY, or that of aims dev",
] as const

/** The log that is meant. */
export function logOf({ log }: { readonly log?: string }): string {
  const named = log ?? process.env.AIMS_DATA_DIRECTORY
  if (named !== undefined) return named
  if (findDevFile('log.sqlite') !== undefined) return DEV_DIRECTORY
  throw new UsageError('give --log, or --socket of a server: there is no log of aims dev below this directory')
}

/** The database of a log that is named by itself or by the data directory. */
export function databaseOf(path: string): string {
  try {
    return statSync(path).isDirectory() ? join(path, 'log.sqlite') : path
  } catch (cause) {
    const reason = (cause as NodeJS.ErrnoException).code ?? 'unreadable'
    throw new FailedError('operation.input_unreadable', `cannot read ${path}: ${reason}`, { cause })
  }
}
