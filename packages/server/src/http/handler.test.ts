import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:http'
import { createConnection } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { AimsError, bindSocket, isJsonObject, parseJson } from 'aims/base'
import { RateLimited } from '../limits/rate-limited.ts'
import { createHandler, type HandlerOptions } from './handler.ts'
import type { Access, Caller, Route } from './route.ts'
import { HTTP_OPTIONS, harden } from './server-options.ts'

const dir = mkdtempSync(join(tmpdir(), 'aims-handler-'))
const path = join(dir, 's')
const refused: string[] = []
let limit: HandlerOptions['limit'] = () => undefined
let access: readonly Access[] = []

const routes: readonly Route[] = [
  {
    method: 'POST',
    path: '/v1/things/{id}',
    access: 'agent',
    entrances: ['unix'],
    summary: 'Takes a thing.',
    query: { after: 'a number' },
    body: { type: 'object', properties: { name: { type: 'string', maxLength: 8 } }, required: ['name'] },
    handle: ({ params, query, body }) => ({ status: 200, body: { params, query, body } }),
  },
  {
    method: 'GET',
    path: '/healthz',
    access: 'public',
    entrances: ['unix', 'https'],
    summary: 'Says ok.',
    handle: () => ({ status: 200, text: { type: 'text/plain', content: 'ok' } }),
  },
  {
    method: 'GET',
    path: '/v1/broken',
    access: 'public',
    entrances: ['unix'],
    summary: 'Fails.',
    handle: () => {
      throw new Error('a secret reason')
    },
  },
  {
    method: 'GET',
    path: '/v1/refusing',
    access: 'public',
    entrances: ['unix'],
    summary: 'Refuses.',
    handle: () => {
      throw new AimsError('provisioning.entry_not_found', 'no entry has this id')
    },
  },
  {
    method: 'GET',
    path: '/v1/elsewhere',
    access: 'public',
    entrances: ['https'],
    summary: 'Is elsewhere.',
    handle: () => ({ status: 204 }),
  },
]

const handler = createHandler({
  routes,
  entrance: 'unix',
  identify: (): Caller => ({
    name: 'unix:uid:1000',
    method: access.length === 0 ? 'none' : 'unix',
    access: new Set<Access>(['public', ...access]),
  }),
  allowedHosts: new Set(['localhost']),
  limit: (caller, socket) => limit(caller, socket),
  refused: async (caller, route) => void refused.push(`${caller.name} ${route.path}`),
  answered: () => undefined,
  failed: () => undefined,
  stopping: new AbortController().signal,
})
const server = createServer(HTTP_OPTIONS, handler)
harden(server)
before(() => bindSocket(server, { path, mode: 0o600 }))
after(() => {
  server.closeAllConnections()
  server.close()
  rmSync(dir, { recursive: true })
})

interface Answer {
  readonly status: number
  readonly head: string
  readonly body: string
  readonly code: unknown
}

function exchange(message: string): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const socket = createConnection({ path })
    let text = ''
    socket.setEncoding('latin1')
    socket.on('data', (chunk) => {
      text += chunk
    })
    // The server may close before it has read everything.
    socket.on('error', (error: NodeJS.ErrnoException) => error.code !== 'EPIPE' && reject(error))
    socket.on('close', () => {
      const [head = '', body = ''] = text.split('\r\n\r\n', 2)
      const json = head.includes('json') ? parseJson(body) : null
      resolve({ status: Number(head.slice(9, 12)), head, body, code: isJsonObject(json) ? json.code : undefined })
    })
    socket.write(message)
  })
}

const post = (fields: string, body: string, target = '/v1/things/one?after=2') =>
  `POST ${target} HTTP/1.1\r\nHost: localhost:1\r\nConnection: close\r\n${fields}Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`
const JSON_TYPE = 'Content-Type: application/json\r\n'
const get = (target: string, fields = 'Host: localhost\r\n') =>
  `GET ${target} HTTP/1.1\r\n${fields}Connection: close\r\n\r\n`

const page = (field: string) => `Host: localhost\r\n${field}\r\n`
const PREFLIGHT = get(
  '/v1/things/one',
  page('Origin: https://evil.example\r\nAccess-Control-Request-Method: POST'),
).replace('GET', 'OPTIONS')

test('a request of the right shape reaches its route', async () => {
  access = ['agent']
  const answer = await exchange(post(JSON_TYPE, '{"name":"a"}'))
  assert.equal(answer.status, 200)
  assert.deepEqual(JSON.parse(answer.body), { params: { id: 'one' }, query: { after: '2' }, body: { name: 'a' } })
  assert.match(answer.head, /x-request-id: [0-9a-f-]{36}/)
  assert.match(answer.head, /cache-control: no-store/)
})

test('HEAD is answered like GET, without a body', async () => {
  const answer = await exchange(get('/healthz').replace('GET', 'HEAD'))
  assert.equal(answer.status, 200)
  assert.equal(answer.body, '')
})

// One row per way to be refused: the message, the status and the code.
const rows: readonly (readonly [string, string, number, string])[] = [
  ['an unknown path', get('/nothing'), 404, 'operation.unknown_route'],
  ['a path with a dot segment', get('/x/../healthz'), 404, 'operation.unknown_route'],
  ['a path with an escape', get('/%68ealthz'), 404, 'operation.unknown_route'],
  ['a path with two slashes', get('//healthz'), 404, 'operation.unknown_route'],
  ['a trailing slash', get('/healthz/'), 404, 'operation.unknown_route'],
  ['a route of another listener', get('/v1/elsewhere'), 404, 'operation.unknown_route'],
  ['an absolute target', get('http://localhost/healthz'), 400, 'operation.request_malformed'],
  ['no Host', get('/healthz', ''), 400, 'operation.request_malformed'],
  ['two Hosts', get('/healthz', 'Host: localhost\r\nHost: localhost\r\n'), 400, 'operation.request_malformed'],
  // [authentication.http.05]
  ['a foreign Host', get('/healthz', 'Host: rebound.example\r\n'), 421, 'operation.host_not_allowed'],
  ['a Host that contains ours', get('/healthz', 'Host: localhost.example\r\n'), 421, 'operation.host_not_allowed'],
  // [authentication.http.05]
  ['an Origin', get('/healthz', page('Origin: https://evil.example')), 403, 'operation.origin_not_allowed'],
  [
    'an Origin that looks like ours',
    get('/healthz', page('Origin: http://localhost')),
    403,
    'operation.origin_not_allowed',
  ],
  ['an Origin that hides', get('/healthz', page('Origin: null')), 403, 'operation.origin_not_allowed'],
  ['the site of a page', get('/healthz', page('Sec-Fetch-Site: cross-site')), 403, 'operation.origin_not_allowed'],
  ['the own site of a page', get('/healthz', page('Sec-Fetch-Site: same-origin')), 403, 'operation.origin_not_allowed'],
  [
    'an Origin, and a body',
    post(`${JSON_TYPE}Origin: https://evil.example\r\n`, '{"name":"a"}'),
    403,
    'operation.origin_not_allowed',
  ],
  ['a preflight of a page', PREFLIGHT, 403, 'operation.origin_not_allowed'],
  ['another method', get('/v1/things/one'), 405, 'operation.method_not_allowed'],
  ['an id with a percent sign', post(JSON_TYPE, '{}', '/v1/things/a%2fb'), 404, 'operation.unknown_route'],
  ['a query nobody knows', post(JSON_TYPE, '{"name":"a"}', '/v1/things/one?x=1'), 400, 'operation.request_malformed'],
  [
    'a query given twice',
    post(JSON_TYPE, '{"name":"a"}', '/v1/things/one?after=1&after=2'),
    400,
    'operation.request_malformed',
  ],
  // [authentication.http.04]
  ['no content type', post('', '{"name":"a"}'), 415, 'operation.unsupported_media_type'],
  ['a form', post('Content-Type: text/plain\r\n', '{"name":"a"}'), 415, 'operation.unsupported_media_type'],
  [
    'a type that begins alike',
    post('Content-Type: application/jsonp\r\n', '{}'),
    415,
    'operation.unsupported_media_type',
  ],
  // [authentication.http.02]
  ['a coded body', post(`${JSON_TYPE}Content-Encoding: gzip\r\n`, '{}'), 415, 'operation.unsupported_media_type'],
  ['broken JSON', post(JSON_TYPE, '{"name":'), 400, 'json.malformed'],
  ['a duplicate member', post(JSON_TYPE, '{"name":"a","name":"b"}'), 400, 'json.duplicate_member'],
  ['a missing member', post(JSON_TYPE, '{}'), 400, 'operation.request_malformed'],
  ['an unknown member', post(JSON_TYPE, '{"name":"a","admin":true}'), 400, 'operation.request_malformed'],
  ['a member named __proto__', post(JSON_TYPE, '{"name":"a","__proto__":{}}'), 400, 'operation.request_malformed'],
  ['a member of the wrong type', post(JSON_TYPE, '{"name":1}'), 400, 'operation.request_malformed'],
  ['a member that is too long', post(JSON_TYPE, '{"name":"123456789"}'), 400, 'operation.request_malformed'],
  // [authentication.http.02]
  ['deep nesting', post(JSON_TYPE, `{"name":${'['.repeat(40)}${']'.repeat(40)}}`), 400, 'json.too_deep'],
  // [authentication.http.02]
  ['a large body', post(JSON_TYPE, `{"name":"${'a'.repeat(262_144)}"}`), 413, 'operation.request_too_large'],
  [
    'a body where none belongs',
    post(JSON_TYPE, '{}', '/healthz').replace('POST', 'GET'),
    400,
    'operation.request_malformed',
  ],
  [
    'too many fields',
    get('/healthz', `Host: localhost\r\n${'a: b\r\n'.repeat(99)}`),
    413,
    'operation.request_too_large',
  ],
  ['a long target', get(`/healthz?a=${'a'.repeat(4100)}`), 413, 'operation.request_too_large'],
]

for (const [what, message, status, code] of rows) {
  test(`a request with ${what} is refused with a problem document, and the connection closes`, async () => {
    access = ['agent']
    const answer = await exchange(message)
    assert.equal(answer.code, code)
    assert.equal(answer.status, status)
    assert.match(answer.head, /content-type: application\/problem\+json/)
    assert.match(answer.head, /connection: close/)
    assert.doesNotMatch(answer.head, /access-control/i)
  })
}

// [authentication.http.05]
test('a program is served, and an address that somebody types into a browser', async () => {
  for (const field of ['Sec-Fetch-Mode: cors', 'Sec-Fetch-Site: none\r\nSec-Fetch-Mode: navigate']) {
    const answer = await exchange(get('/healthz', page(field)))
    assert.equal(answer.status, 200)
    assert.doesNotMatch(answer.head, /access-control/i)
  }
})

test('a chunked body beyond the limit is refused without reading on', async () => {
  const chunk = `10000\r\n${'a'.repeat(65_536)}\r\n`
  const head = 'POST /v1/things/one HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n'
  const answer = await exchange(`${head}${JSON_TYPE}\r\n${chunk.repeat(5)}`)
  assert.equal(answer.code, 'operation.request_too_large')
})

// [authentication.http.02]
test('far too many fields, or a header section above 16 KiB, are refused by the parser', async () => {
  assert.equal((await exchange(get('/healthz', `Host: localhost\r\n${'a: b\r\n'.repeat(500)}`))).status, 431)
  const answer = await exchange(get('/healthz', `Host: localhost\r\nA: ${'a'.repeat(17_000)}\r\n`))
  assert.equal(answer.status, 431)
})

test('who asks too often is told when to ask again, before anything is done, and it is noted', async () => {
  refused.length = 0
  limit = () => {
    throw new RateLimited(2.1)
  }
  try {
    const { status, head, body } = await exchange(get('/healthz'))
    assert.deepEqual([status, JSON.parse(body).code], [429, 'operation.rate_limited'])
    assert.match(head, /^retry-after: 3\r?$/im)
    assert.deepEqual(refused, ['unix:uid:1000 /healthz'])
  } finally {
    limit = () => undefined
  }
})

test('who has not proved anything is asked to, who may not do it is refused, and both are noted', async () => {
  refused.length = 0
  access = []
  assert.equal((await exchange(post(JSON_TYPE, '{"name":"a"}'))).code, 'operation.unauthenticated')
  access = ['reporter']
  assert.equal((await exchange(post(JSON_TYPE, '{"name":"a"}'))).code, 'operation.not_permitted')
  assert.deepEqual(refused, ['unix:uid:1000 /v1/things/{id}', 'unix:uid:1000 /v1/things/{id}'])
})

test('a refusal says why to callers on this machine; a failure of ours says nothing but its id', async () => {
  const refusal = await exchange(get('/v1/refusing'))
  assert.equal(refusal.status, 404)
  assert.match(refusal.body, /"detail":"no entry has this id"/)
  const failure = await exchange(get('/v1/broken'))
  assert.equal(failure.status, 500)
  assert.equal(failure.code, 'operation.internal')
  assert.doesNotMatch(failure.body, /secret|detail/)
})

test('a client that comes later than it was told to finds its connection still', async (t) => {
  const patient = createServer({ ...HTTP_OPTIONS, keepAliveTimeout: 100 }, handler)
  const place = join(dir, 'patient')
  await new Promise<void>((resolve) => void patient.listen(place, resolve))
  const socket = createConnection(place).setEncoding('latin1')
  t.after(() => {
    socket.destroy()
    patient.close()
  })
  const heard = async (): Promise<string> => String((await once(socket, 'data'))[0])
  const ask = 'GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n'
  socket.write(ask)
  assert.match(await heard(), /^HTTP\/1\.1 200 /)
  // Longer than Node would wait by itself.
  await sleep(2500)
  assert.equal(socket.destroyed, false)
  socket.write(ask)
  assert.match(await heard(), /^HTTP\/1\.1 200 /)
})
