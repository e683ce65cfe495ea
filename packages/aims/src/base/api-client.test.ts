import assert from 'node:assert/strict'
import { createHook } from 'node:async_hooks'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type RequestListener } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { apiClient } from './api-client.ts'

const dir = mkdtempSync(join(tmpdir(), 'aims-api-'))
const socketPath = join(dir, 's')
let answer: RequestListener
const server = createServer((request, response) => answer(request, response))
before(() => new Promise<void>((resolve) => void server.listen(socketPath, resolve)))
after(() => {
  server.closeAllConnections()
  server.close()
  rmSync(dir, { recursive: true })
})

const client = apiClient({ socketPath })
const JSON_TYPE = { 'content-type': 'application/json' }

test('a request is sent as JSON and its answer read as JSON', async () => {
  answer = async (request, response) => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk)
    const { method, url, headers } = request
    const seen = { method, url, type: headers['content-type'], body: JSON.parse(Buffer.concat(chunks).toString()) }
    response.writeHead(201, JSON_TYPE).end(JSON.stringify(seen))
  }
  const seen = await client.send({ method: 'POST', path: '/v1/x?after=1', body: { a: [1] } })
  assert.deepEqual(
    { ...(seen as object) },
    {
      method: 'POST',
      url: '/v1/x?after=1',
      type: 'application/json',
      body: Object.assign(Object.create(null), { a: [1] }),
    },
  )
})

test('an answer without content is undefined', async () => {
  answer = (_, response) => response.writeHead(204).end()
  assert.equal(await client.send({ method: 'DELETE', path: '/' }), undefined)
})

test('a problem document becomes the error with its code', async () => {
  answer = (_, response) => {
    response.writeHead(409, { 'content-type': 'application/problem+json' })
    response.end('{"code":"provisioning.subject_taken","detail":"another entry has it","id":"abc"}')
  }
  await assert.rejects(client.send({ method: 'GET', path: '/' }), {
    name: 'AimsError',
    code: 'provisioning.subject_taken',
    message: 'another entry has it (id abc: ask the operator for aims explain abc)',
  })
})

// One row per kind of answer that is none.
for (const [what, status, headers, body] of [
  ['a problem with a code nobody knows', 500, { 'content-type': 'application/problem+json' }, '{"code":"x.y"}'],
  [
    'a problem whose code is a method of objects',
    500,
    { 'content-type': 'application/problem+json' },
    '{"code":"toString"}',
  ],
  ['an error page', 502, { 'content-type': 'text/html' }, '<h1>'],
  ['a redirect', 302, { location: 'http://127.0.0.1/' }, ''],
  ['JSON of another type', 200, { 'content-type': 'text/plain' }, '{}'],
  ['broken JSON', 200, JSON_TYPE, '{'],
  ['a member twice', 200, JSON_TYPE, '{"a":1,"a":2}'],
  ['more than 16 MiB', 200, JSON_TYPE, JSON.stringify('a'.repeat(17_000_000))],
] as const) {
  test(`an answer that is ${what} is refused`, async () => {
    answer = (_, response) => response.writeHead(status, headers).end(body)
    await assert.rejects(client.send({ method: 'GET', path: '/' }), { code: 'operation.invalid_response' })
  })
}

test('a server that is silent, gone or cuts the answer short is told apart', async () => {
  answer = () => undefined
  await assert.rejects(client.send({ method: 'GET', path: '/', timeout: 50 }), { code: 'operation.server_timeout' })
  answer = (_, response) => {
    response.writeHead(200, { ...JSON_TYPE, 'content-length': 100 }).write('{')
    setImmediate(() => response.destroy())
  }
  await assert.rejects(client.send({ method: 'GET', path: '/' }), { code: 'operation.server_unreachable' })
  const nobody = apiClient({ socketPath: join(dir, 'absent') })
  await assert.rejects(nobody.send({ method: 'GET', path: '/' }), {
    code: 'operation.server_unreachable',
    message: /absent: there is no such socket$/,
  })
})

test('a socket that this user may not open is told from one of a server that does not run', {
  skip: process.geteuid?.() !== 0,
}, async () => {
  const forbidden = apiClient({ socketPath })
  process.seteuid?.(65534)
  try {
    await assert.rejects(forbidden.send({ method: 'GET', path: '/' }), {
      code: 'operation.server_unreachable',
      message: /: this user may not open it: run as the user of the server/,
    })
  } finally {
    process.seteuid?.(0)
  }
})

test('a request that is given up rejects', async () => {
  answer = () => undefined
  const given = new AbortController()
  const sent = client.send({ method: 'GET', path: '/', signal: given.signal })
  given.abort()
  await assert.rejects(sent, { code: 'operation.server_unreachable' })
})

/** The timers of this length that were begun and not ended since. */
function timersOf(milliseconds: number): Disposable & { readonly begun: Set<number>; readonly left: Set<number> } {
  const begun = new Set<number>()
  const left = new Set<number>()
  const hook = createHook({
    init(id, type, _trigger, resource) {
      if (type !== 'Timeout' || !('_idleTimeout' in resource) || resource._idleTimeout !== milliseconds) return
      begun.add(id)
      left.add(id)
    },
    destroy: (id) => void left.delete(id),
  }).enable()
  return { begun, left, [Symbol.dispose]: () => void hook.disable() }
}

// One row per way in which a request ends before its time.
for (const [what, listener] of [
  ['answered', (_, response) => response.writeHead(204).end()],
  ['refused', (_, response) => response.writeHead(502).end()],
  ['cut off', (_, response) => response.destroy()],
] satisfies readonly (readonly [string, RequestListener])[]) {
  test(`a request that was ${what} leaves no timer`, async () => {
    answer = listener
    using timers = timersOf(54_321)
    const send = () => client.send({ method: 'GET', path: '/', timeout: 54_321 }).catch(() => undefined)
    for (let i = 0; i < 3; i += 1) await send()
    // The end of a timer is told in the next turn.
    await new Promise((resolve) => setImmediate(resolve))
    assert.equal(timers.begun.size, 3)
    assert.equal(timers.left.size, 0)
  })
}
