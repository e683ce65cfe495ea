import { lstatSync } from 'node:fs'
import { join } from 'node:path'

/** Where `aims dev` keeps everything, relative to the working directory. */
export const DEV_DIRECTORY = '.aims/dev'

/**
 * A file of the `aims dev` that runs in the working directory, if there is one: in a directory of this user that nobody else may
 * write. Whoever else could write there would answer for the server of whoever works in a directory of his.
 */
export function findDevFile(name: string, user: number | undefined = process.geteuid?.()): string | undefined {
  const path = join(DEV_DIRECTORY, name)
  const stat = lstatSync(DEV_DIRECTORY, { throwIfNoEntry: false })
  const isOwn = stat?.isDirectory() === true && stat.uid === user && (stat.mode & 0o022) === 0
  return isOwn && lstatSync(path, { throwIfNoEntry: false }) !== undefined ? path : undefined
}
