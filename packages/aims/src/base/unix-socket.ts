import { once } from 'node:events'
import { chmodSync, chownSync, lstatSync, realpathSync, renameSync, type Stats, unlinkSync } from 'node:fs'
import { connect, type Server } from 'node:net'
import { dirname, isAbsolute, normalize } from 'node:path'
import { createDirectory } from './directory.ts'
import { AimsError } from './errors.ts'
import { type FileLock, lockFile } from './sqlite.ts'

/** Where a socket lies and who may connect to it. */
export interface SocketPlace {
  readonly path: string
  readonly mode: number
  /** Group id of the socket file. Default: that of this process. */
  readonly gid?: number
}

/** A socket that is listened on. */
export interface BoundSocket {
  /** Removes the socket file, if it is still this one, and the lock. Call it after the server was closed. */
  release(): void
}

const MAX_PATH = 107
/** Connections that wait to be accepted; Linux itself allows no more by default. */
const BACKLOG = 4096

/**
 * Lets `server` listen on a Unix socket that nobody else can replace.
 *
 * The directory and all above it are owned by this user or root and writable by nobody else; one process at a time
 * holds the path; a socket that an earlier run left behind is replaced; the new one appears with its final mode.
 *
 * @throws {@link AimsError} `operation.socket_unavailable`, `.socket_directory_open`, `.socket_busy`,
 *   `.socket_foreign`
 */
export async function bindSocket(server: Server, place: SocketPlace): Promise<BoundSocket> {
  const { path, mode, gid } = place
  // The name it is bound under first is longer by this.
  if (!isAbsolute(path) || normalize(path) !== path || path.endsWith('/') || Buffer.byteLength(path) + 4 > MAX_PATH) {
    throw new AimsError('operation.socket_unavailable', `the socket path is not absolute, plain and short: ${path}`)
  }
  const directory = dirname(path)
  try {
    createDirectory(directory, 0o755)
  } catch (cause) {
    throw new AimsError('operation.socket_unavailable', `${directory}: cannot be created`, { cause })
  }
  requireSafeDirectory(directory)
  const lock = takeLock(path)
  try {
    await removeStale(path)
    const fresh = `${path}.new`
    if (lstatSync(fresh, { throwIfNoEntry: false }) !== undefined) unlinkSync(fresh)
    await listen(server, fresh, mode)
    chmodSync(fresh, mode)
    if (gid !== undefined) chownSync(fresh, -1, gid)
    const ours = lstatSync(fresh)
    renameSync(fresh, path)
    return {
      release() {
        const now = lstatSync(path, { throwIfNoEntry: false })
        if (now !== undefined && now.ino === ours.ino && now.dev === ours.dev) unlinkSync(path)
        lock.release()
      },
    }
  } catch (error) {
    server.close()
    lock.release()
    throw error
  }
}

// The socket is made with its mode: there is no moment in which others could connect.
async function listen(server: Server, path: string, mode: number): Promise<void> {
  const umask = process.umask(0o777 & ~mode)
  try {
    server.listen({ path, backlog: BACKLOG })
  } finally {
    process.umask(umask)
  }
  try {
    await once(server, 'listening')
  } catch (cause) {
    throw new AimsError('operation.socket_unavailable', `${path}: cannot listen`, { cause })
  }
}

function requireSafeDirectory(directory: string): void {
  if (realpathSync(directory) !== directory) {
    throw unsafe(directory, 'lies behind a symbolic link: give the real path')
  }
  for (let at = directory; ; at = dirname(at)) {
    const stats = lstatSync(at)
    if (!isOurs(stats)) throw unsafe(at, 'belongs to another user: give it to this user or root')
    // In a sticky directory, such as /tmp, others cannot replace what lies there; the socket's own must not be one.
    const isSticky = (stats.mode & 0o1000) !== 0 && at !== directory
    if ((stats.mode & 0o022) !== 0 && !isSticky) throw unsafe(at, 'is writable by others: chmod go-w')
    if (at === '/') return
  }
}

function isOurs({ uid }: Stats): boolean {
  return uid === 0 || uid === process.geteuid?.()
}

function unsafe(directory: string, problem: string): AimsError {
  return new AimsError('operation.socket_directory_open', `${directory} ${problem}`)
}

function takeLock(path: string): FileLock {
  try {
    return lockFile(`${path}.lock`, `socket ${path}`)
  } catch (cause) {
    if (!AimsError.is(cause) || cause.code !== 'storage.locked') throw cause
    throw inUse(path, cause)
  }
}

async function removeStale(path: string): Promise<void> {
  const stats = lstatSync(path, { throwIfNoEntry: false })
  if (stats === undefined) return
  if (!stats.isSocket() || !isOurs(stats)) {
    throw new AimsError('operation.socket_foreign', `${path} is not a socket of this program: remove it by hand`)
  }
  if (await isListenedOn(path)) throw inUse(path)
  unlinkSync(path)
}

async function isListenedOn(path: string): Promise<boolean> {
  const socket = connect(path)
  try {
    await once(socket, 'connect')
    return true
  } catch (error) {
    // A full queue has a listener, too.
    return !(error instanceof Error && 'code' in error && error.code === 'ECONNREFUSED')
  } finally {
    socket.destroy()
  }
}

function inUse(path: string, cause?: unknown): AimsError {
  return new AimsError('operation.socket_busy', `another process listens on ${path}`, { cause })
}
