import { existsSync, mkdirSync } from 'node:fs'
import { dirname } from 'node:path'

/**
 * Makes a directory and those above it that are absent, with this mode.
 *
 * Not `recursive`: on file systems that answer ENOENT for everything (/proc) Node never comes back from it.
 *
 * @throws what the file system answers
 */
export function createDirectory(path: string, mode: number): void {
  if (existsSync(path)) return
  const parent = dirname(path)
  if (parent !== path) createDirectory(parent, mode)
  mkdirSync(path, { mode })
}

/** Permissions as people write them, e.g. `0600`. */
export function printMode(mode: number): string {
  return (mode & 0o7777).toString(8).padStart(4, '0')
}
