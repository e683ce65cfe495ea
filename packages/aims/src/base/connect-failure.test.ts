import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { connectFailure, isForbidden } from './connect-failure.ts'

const dir = mkdtempSync(join(tmpdir(), 'aims-connect-'))
after(() => rmSync(dir, { recursive: true }))

async function failure(path: string): Promise<unknown> {
  const [error] = await once(connect(path), 'error').catch((thrown: unknown) => [thrown])
  return error
}

test('what the kernel says about a connection is told in words', async () => {
  const absent = await failure(join(dir, 'absent'))
  assert.deepEqual([connectFailure(absent), isForbidden(absent)], ['there is no such socket', false])
  const port = createServer().listen(0, '127.0.0.1')
  await once(port, 'listening')
  const address = port.address()
  assert.ok(typeof address === 'object' && address !== null)
  port.close()
  await once(port, 'close')
  const [refused] = await once(connect(address.port, '127.0.0.1'), 'error')
  assert.deepEqual([connectFailure(refused), isForbidden(refused)], ['nobody listens there', false])
})

test('a socket that another user keeps to himself is forbidden', { skip: process.geteuid?.() !== 0 }, async () => {
  const path = join(dir, 'theirs')
  const server = createServer().listen(path)
  await once(server, 'listening')
  process.seteuid?.(65534)
  try {
    const error = await failure(path)
    assert.deepEqual([connectFailure(error), isForbidden(error)], ['this user may not open it', true])
  } finally {
    process.seteuid?.(0)
    server.close()
  }
})

test('nothing is said of what the kernel does not say, nor of names that all objects have', () => {
  for (const cause of [undefined, 'ENOENT', new Error('x'), Object.assign(new Error('x'), { code: 'toString' })]) {
    assert.deepEqual([connectFailure(cause), isForbidden(cause)], [undefined, false])
  }
})
