import { accessSync, constants, lstatSync } from 'node:fs'
import { join } from 'node:path'
import { AimsError, createDirectory, type FileLock, lockFile, printMode } from 'aims/base'

/** The data directory while this process owns it. */
export interface DataDirectory {
  readonly path: string
  /** Path of a file in it. */
  file(name: string): string
  /** Lets another server have it. The kernel does the same when the process ends. */
  release(): void
}

/**
 * Takes the data directory for this process: creates it with mode 0700 when it is absent, refuses it when others can
 * look into it, and locks it so that two servers never share it.
 *
 * @throws {@link AimsError} `operation.data_directory_unwritable`, `operation.data_directory_open`, `storage.locked`
 */
export function openDataDirectory(path: string): DataDirectory {
  makeDataDirectory(path)
  const lock: FileLock = lockFile(join(path, 'lock'), `data directory ${path}`)
  return { path, file: (name) => join(path, name), release: () => lock.release() }
}

/**
 * Creates the data directory with mode 0700 when it is absent, and refuses one that others can look into or this process
 * cannot write. Takes no lock.
 *
 * @throws {@link AimsError} `operation.data_directory_unwritable`, `operation.data_directory_open`
 */
export function makeDataDirectory(path: string): void {
  try {
    createDirectory(path, 0o700)
  } catch (cause) {
    throw new AimsError('operation.data_directory_unwritable', `${path}: cannot be created`, { cause })
  }
  requirePrivate(path)
}

function requirePrivate(path: string): void {
  const { uid, mode } = statDirectory(path)
  if (uid !== process.geteuid?.()) {
    throw new AimsError('operation.data_directory_open', `${path}: belongs to user ${uid}, not to this one`)
  }
  if ((mode & 0o077) !== 0) {
    throw new AimsError(
      'operation.data_directory_open',
      `${path}: mode ${printMode(mode)} lets others in, 0700 is needed`,
    )
  }
  try {
    accessSync(path, constants.R_OK | constants.W_OK | constants.X_OK)
  } catch (cause) {
    throw new AimsError('operation.data_directory_unwritable', `${path}: not writable`, { cause })
  }
}

function statDirectory(path: string): { readonly uid: number; readonly mode: number } {
  // Not followed: whoever owns the link could point it elsewhere while the server runs.
  const stat = lstatSync(path, { throwIfNoEntry: false })
  if (stat === undefined || !stat.isDirectory()) {
    throw new AimsError('operation.data_directory_unwritable', `${path}: not a directory`)
  }
  return stat
}
