import { chmodSync, lstatSync, statSync, unlinkSync } from 'node:fs'
import { createConnection, type Server } from 'node:net'
import { dirname } from 'node:path'
import { AimsError } from 'aims/base'

// sun_path has 108 bytes with the terminating zero.
const MAX_PATH = 107

/**
 * Listens on a Unix socket that nobody can exchange: its directory belongs to this user or root and nobody else may
 * write there, and what a dead process left behind is removed only when it is a socket of this user.
 *
 * @param mode - Mode of the socket. Who may connect is not who may call: callers are authenticated by the kernel.
 * @throws {@link AimsError} `operation.socket_directory_open`, `operation.socket_foreign`, `operation.socket_busy`,
 *   `operation.socket_unavailable`
 */
export async function listenOnUnixSocket(server: Server, path: string, mode: number): Promise<void> {
  requireSafeDirectory(path)
  await removeLeftover(path)
  // The socket is made with its mode: there is no moment in which others could connect.
  const umask = process.umask(0o777 & ~mode)
  try {
    await listen(server, path)
  } finally {
    process.umask(umask)
  }
  chmodSync(path, mode)
}

function requireSafeDirectory(path: string): void {
  if (Buffer.byteLength(path) > MAX_PATH) {
    throw new AimsError('operation.socket_unavailable', `${path}: longer than ${MAX_PATH} bytes`)
  }
  const directory = dirname(path)
  const stat = statSync(directory, { throwIfNoEntry: false })
  if (stat === undefined || !stat.isDirectory()) {
    throw new AimsError('operation.socket_unavailable', `${directory}: not a directory`)
  }
  if ((stat.uid !== process.geteuid?.() && stat.uid !== 0) || (stat.mode & 0o022) !== 0) {
    throw new AimsError('operation.socket_directory_open', `${directory}: others may replace files there`)
  }
}

async function removeLeftover(path: string): Promise<void> {
  const stat = lstatSync(path, { throwIfNoEntry: false })
  if (stat === undefined) return
  if (!stat.isSocket() || stat.uid !== process.geteuid?.()) {
    throw new AimsError('operation.socket_foreign', `${path}: not a socket of this user`)
  }
  if (await answers(path)) throw new AimsError('operation.socket_busy', `${path}: another process listens there`)
  unlinkSync(path)
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection({ path })
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    // ECONNREFUSED: nobody listens. Anything else (a full backlog) means that somebody does.
    socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code !== 'ECONNREFUSED'))
  })
}

function listen(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const refuse = (cause: NodeJS.ErrnoException): void => {
      const code = cause.code === 'EADDRINUSE' ? 'operation.socket_busy' : 'operation.socket_unavailable'
      reject(new AimsError(code, `${path}: cannot listen`, { cause }))
    }
    server.once('error', refuse)
    server.listen(path, () => {
      server.off('error', refuse)
      resolve()
    })
  })
}
