import { accessSync, constants, existsSync, lstatSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import { AimsError } from 'aims/base'

/** What one check found. `fix` says what to do when it is not well. */
export interface Finding {
  readonly check: string
  readonly ok: boolean
  readonly found: string
  readonly fix?: string
}

export function good(check: string, found: string): Finding {
  return { check, ok: true, found }
}

export function bad(check: string, error: unknown, fix: string): Finding {
  const found = AimsError.is(error) ? `${error.message} [${error.code}]` : String(error)
  return { check, ok: false, found, fix }
}

export function privateDirectory(check: string, path: string): Finding {
  if (!existsSync(path)) return willBeCreated(check, path)
  const { mode, uid } = statSync(path)
  if ((mode & 0o077) !== 0) return { check, ok: false, found: `${path} is open to others`, fix: `chmod 0700 ${path}` }
  return owned(check, path, uid)
}

// The nearest directory that is there decides whether the first start can make the rest.
function willBeCreated(check: string, path: string): Finding {
  let parent = dirname(path)
  while (!existsSync(parent)) parent = dirname(parent)
  try {
    accessSync(parent, constants.W_OK | constants.X_OK)
    return good(check, `${path} will be created at the first start`)
  } catch {
    const found = `${path} does not exist and ${parent} is not writable`
    return { check, ok: false, found, fix: `create ${path} for this user, or configure another directory` }
  }
}

export function privateFile(check: string, path: string): Finding {
  if (!existsSync(path)) return good(check, `${path} will be created at the first start`)
  const { mode, uid } = lstatSync(path)
  if ((mode & 0o177) !== 0) return { check, ok: false, found: `${path} is open to others`, fix: `chmod 0600 ${path}` }
  return owned(check, path, uid)
}

function owned(check: string, path: string, uid: number): Finding {
  const mine = process.getuid?.()
  if (mine === undefined || mine === 0 || mine === uid) return good(check, path)
  return { check, ok: false, found: `${path} belongs to uid ${uid}`, fix: 'run as that user, or hand the path over' }
}

export function socketDirectory(check: string, path: string): Finding {
  const directory = dirname(path)
  if (!existsSync(directory)) return willBeCreated(check, path)
  const { mode } = statSync(directory)
  const open = (mode & 0o002) !== 0
  if (open) return { check, ok: false, found: `${directory} is writable for everybody`, fix: `chmod o-w ${directory}` }
  return good(check, existsSync(path) ? `${path} is there` : `${path} will be created by the agent`)
}
