import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { listenOnUnixSocket } from './unix-socket.ts'

const dir = mkdtempSync(join(tmpdir(), 'aims-sock-'))
after(() => rmSync(dir, { recursive: true }))

test('a socket is made with its mode, and a second server cannot take it while the first one lives', async () => {
  const path = join(dir, 'one.sock')
  const first = createServer()
  await listenOnUnixSocket(first, path, 0o600)
  assert.equal(statSync(path).mode & 0o777, 0o600)
  await assert.rejects(listenOnUnixSocket(createServer(), path, 0o600), { code: 'operation.socket_busy' })
  first.close()
})

test('the socket of a process that was killed is replaced', async () => {
  const path = join(dir, 'dead.sock')
  const program = `require('node:net').createServer().listen(process.argv[1], () => process.kill(process.pid, 'SIGKILL'))`
  spawnSync(process.execPath, ['-e', program, path])
  assert.ok(statSync(path).isSocket())
  const server = createServer()
  await listenOnUnixSocket(server, path, 0o660)
  assert.equal(statSync(path).mode & 0o777, 0o660)
  server.close()
})

for (const [what, prepare, code] of [
  ['a file lies in its place', (d: string) => writeFileSync(join(d, 's'), ''), 'operation.socket_foreign'],
  ['a directory lies in its place', (d: string) => mkdirSync(join(d, 's')), 'operation.socket_foreign'],
  ['others may write its directory', (d: string) => chmodSync(d, 0o777), 'operation.socket_directory_open'],
  ['its group may write its directory', (d: string) => chmodSync(d, 0o770), 'operation.socket_directory_open'],
  ['its directory is not there', (d: string) => rmSync(d, { recursive: true }), 'operation.socket_unavailable'],
] as const) {
  test(`a socket is refused when ${what}`, async () => {
    const directory = mkdtempSync(join(dir, 'd-'))
    prepare(directory)
    await assert.rejects(listenOnUnixSocket(createServer(), join(directory, 's'), 0o600), { code })
  })
}

test('a socket is refused when its directory or leftover belongs to another user', {
  skip: process.geteuid?.() !== 0 && 'needs root',
}, async () => {
  const directory = mkdtempSync(join(dir, 'd-'))
  chownSync(directory, 12_345, 12_345)
  await assert.rejects(listenOnUnixSocket(createServer(), join(directory, 's'), 0o600), {
    code: 'operation.socket_directory_open',
  })
})

test('a path that the kernel would cut is refused', async () => {
  await assert.rejects(listenOnUnixSocket(createServer(), join(dir, 'x'.repeat(108)), 0o600), {
    code: 'operation.socket_unavailable',
  })
})
