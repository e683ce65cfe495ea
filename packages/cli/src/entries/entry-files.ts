import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { type FiledEntry, readEntryFile } from 'aims-server'
import { FailedError, UsageError } from '../exit.ts'
import { readInput } from '../input.ts'

const ENDING = /\.(?:ya?ml|json)$/

/**
 * Reads entries from files and directories: of a directory all files that end in `.yaml`, `.yml` or `.json`, also in
 * directories below, in the order of their names; what begins with a dot is passed over.
 *
 * @throws {@link AimsError} `provisioning.malformed_file`, with file, line and column
 */
export async function readEntryFiles(paths: readonly string[]): Promise<readonly FiledEntry[]> {
  const files = paths.flatMap((path) => (path === '-' ? ['-'] : filesOf(path)))
  if (files.length === 0) throw new UsageError('no file there ends in .yaml, .yml or .json')
  const entries: FiledEntry[] = []
  for (const file of files) entries.push(...(await readEntryFile(readInput(file).toString('utf8'), file)))
  return entries
}

function filesOf(path: string): readonly string[] {
  try {
    if (!statSync(path).isDirectory()) return [path]
    return readdirSync(path, { withFileTypes: true })
      .filter(({ name }) => !name.startsWith('.'))
      .sort((a, b) => (a.name < b.name ? -1 : 1))
      .flatMap((one) => {
        const child = join(path, one.name)
        if (one.isDirectory()) return filesOf(child)
        return ENDING.test(one.name) ? [child] : []
      })
  } catch (error) {
    if (error instanceof FailedError) throw error
    const reason = (error as NodeJS.ErrnoException).code ?? 'unreadable'
    throw new FailedError('operation.input_unreadable', `cannot read ${path}: ${reason}`, { cause: error })
  }
}

/** Where a problem of an entry is: at the member that the message names, or else at the entry. */
export function placeOf({ where, members }: FiledEntry, message: string): string {
  const words = new Set(message.match(/[\w-]+/g))
  for (const [name, place] of members) if (words.has(name)) return place
  return where
}
