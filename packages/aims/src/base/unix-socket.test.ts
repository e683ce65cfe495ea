import assert from 'node:assert/strict'
import { once } from 'node:events'
import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { connect, createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, test } from 'node:test'
import { AimsError } from './errors.ts'
import { type BoundSocket, bindSocket } from './unix-socket.ts'

let dir: string
const open: { server: Server; bound?: BoundSocket }[] = []

const code =
  (expected: string): ((error: unknown) => boolean) =>
  (error) =>
    AimsError.is(error) && error.code === expected

async function bind(path: string, mode = 0o600, gid?: number): Promise<BoundSocket> {
  const server = createServer()
  const entry: { server: Server; bound?: BoundSocket } = { server }
  open.push(entry)
  entry.bound = await bindSocket(server, { path, mode, ...(gid === undefined ? {} : { gid }) })
  return entry.bound
}

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'aims-socket-'))
})

afterEach(() => {
  for (const { server, bound } of open.splice(0)) {
    server.close()
    bound?.release()
  }
  rmSync(dir, { recursive: true })
})

test('a socket is made with its mode and group, and goes when it is let go', async () => {
  const path = join(dir, 'new/s')
  const bound = await bind(path, 0o660, process.getegid?.())
  const stats = lstatSync(path)
  assert.equal(stats.isSocket(), true)
  assert.equal(stats.mode & 0o777, 0o660)
  assert.equal(lstatSync(join(dir, 'new')).mode & 0o022, 0)
  bound.release()
  assert.equal(existsSync(path), false)
})

test('a socket is never open wider than it should be, whatever the umask of the process', async () => {
  const path = join(dir, 's')
  const server = createServer()
  const seen: number[] = []
  server.on('listening', () => seen.push(lstatSync(`${path}.new`).mode & 0o777))
  const before = process.umask(0)
  const entry: { server: Server; bound?: BoundSocket } = { server }
  open.push(entry)
  entry.bound = await bindSocket(server, { path, mode: 0o600 })
  assert.deepEqual(seen, [0o600])
  assert.equal(process.umask(before), 0)
})

test('a socket that a killed run left behind is replaced', async () => {
  const path = join(dir, 's')
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(path, resolve))
  // Its listener goes and its file stays, as after a kill.
  renameSync(path, join(dir, 'aside'))
  await new Promise((resolve) => server.close(resolve))
  renameSync(join(dir, 'aside'), path)
  await assert.rejects(once(connect(path), 'connect'), /ECONNREFUSED/)
  await bind(path)
  const socket = connect(path)
  await once(socket, 'connect')
  socket.destroy()
})

test('a file that took the place of our socket is left alone at the end', async () => {
  const path = join(dir, 's')
  const bound = await bind(path)
  rmSync(path)
  writeFileSync(path, 'theirs')
  bound.release()
  assert.equal(existsSync(path), true)
})

describe('a place that others could use against us is refused', () => {
  const nobody = 65534
  const needsRoot = process.geteuid?.() === 0 ? false : 'needs root'
  const rows: readonly (readonly [string, string, () => string | Promise<string>, (string | false)?])[] = [
    ['a relative path', 'operation.socket_unavailable', () => 'run/s'],
    ['a path with ..', 'operation.socket_unavailable', () => `${dir}/../s`],
    ['a path with two slashes', 'operation.socket_unavailable', () => `${dir}//s`],
    ['a directory', 'operation.socket_unavailable', () => `${dir}/`],
    ['a path longer than the kernel takes', 'operation.socket_unavailable', () => join(dir, 'x'.repeat(100))],
    [
      'a directory that cannot be made',
      'operation.socket_unavailable',
      () => {
        writeFileSync(join(dir, 'file'), '')
        return join(dir, 'file/run/s')
      },
    ],
    ['a directory that all may write', 'operation.socket_directory_open', () => withMode(0o777)],
    ['a directory that its group may write', 'operation.socket_directory_open', () => withMode(0o770)],
    ['a sticky directory that all may write', 'operation.socket_directory_open', () => withMode(0o1777)],
    [
      'a directory below one that all may write',
      'operation.socket_directory_open',
      () => {
        mkdirSync(join(dir, 'below'))
        chmodSync(dir, 0o777)
        return join(dir, 'below/s')
      },
    ],
    [
      'a directory behind a symbolic link',
      'operation.socket_directory_open',
      () => {
        mkdirSync(join(dir, 'real'))
        symlinkSync(join(dir, 'real'), join(dir, 'link'))
        return join(dir, 'link/s')
      },
    ],
    [
      'a directory of another user',
      'operation.socket_directory_open',
      () => {
        chownSync(dir, nobody, nobody)
        return join(dir, 's')
      },
      needsRoot,
    ],
    [
      'a file where the socket belongs',
      'operation.socket_foreign',
      () => {
        writeFileSync(join(dir, 's'), '')
        return join(dir, 's')
      },
    ],
    [
      'a symbolic link where the socket belongs',
      'operation.socket_foreign',
      () => {
        symlinkSync('/tmp/elsewhere', join(dir, 's'))
        return join(dir, 's')
      },
    ],
    [
      'a socket that another server listens on',
      'operation.socket_busy',
      async () => {
        const other = createServer()
        open.push({ server: other })
        await new Promise<void>((resolve) => other.listen(join(dir, 's'), resolve))
        return join(dir, 's')
      },
    ],
    [
      'a socket that another of us holds',
      'operation.socket_busy',
      async () => {
        await bind(join(dir, 's'))
        rmSync(join(dir, 's'))
        return join(dir, 's')
      },
    ],
  ]
  for (const [title, expected, prepare, skip = false] of rows) {
    test(title, { skip }, async () => {
      const path = await prepare()
      await assert.rejects(bind(path), code(expected))
      chmodSync(dir, 0o700)
    })
  }

  function withMode(mode: number): string {
    chmodSync(dir, mode)
    return join(dir, 's')
  }
})
