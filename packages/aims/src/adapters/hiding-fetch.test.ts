import assert from 'node:assert/strict'
import { createServer, type RequestListener } from 'node:http'
import { type AddressInfo, createServer as createTcpServer } from 'node:net'
import { after, before, test } from 'node:test'
import { inspect } from 'node:util'
import { AUDIENCE, testDomain } from '../../../../test/support/identities.ts'
import { AimsError } from '../base/errors.ts'
import { provingFetch } from './fetch.ts'
import { hidingFetch } from './hiding-fetch.ts'

const domain = testDomain('example.com', { now: Math.floor(Date.now() / 1000) })
const wit = await domain.wit()
const KEY = 'wk_live+7Hq2/9fXb4Tz0LmN8sVd'
let listener: RequestListener
const server = createServer((request, response) => listener(request, response))
let url = ''
before(async () => {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
})
after(() => server.close())

test('what a proving fetch sends does not come back in the response [provisioning.model.01]', async () => {
  const sent: string[] = []
  listener = (request, response) => {
    const { authorization = '', 'workload-identity-token': token = '' } = request.headers
    sent.push(authorization.slice(4), String(token))
    response.setHeader('x-debug', authorization)
    response.setHeader('set-cookie', `a=${token}`)
    for (const piece of JSON.stringify({ authorization, token, hex: Buffer.from(authorization).toString('hex') }).match(
      /.{1,7}/g,
    ) ?? [])
      response.write(piece)
    response.end()
  }
  const fetch = provingFetch({ wit: () => wit }, { audience: AUDIENCE, fetch: hidingFetch() })
  const response = await fetch(url)
  const all = `${JSON.stringify([...response.headers])} ${await response.text()}`
  assert.equal(sent.length, 2)
  for (const token of sent) {
    for (const part of token.split('.').slice(1)) {
      assert.ok(!all.includes(part.slice(0, 40)) && !all.includes(part.slice(-40)), all)
      assert.ok(!all.includes(Buffer.from(part).toString('hex').slice(0, 40)))
    }
  }
  assert.match(all, /\*{40}/)
})

// One row per place where a request can hold a credential.
for (const [what, headers, options] of [
  ['Authorization', { authorization: `Bearer ${KEY}` }, {}],
  ['a password', { authorization: `Basic ${Buffer.from(`bot:${KEY}`).toString('base64')}`, 'x-b': KEY }, {}],
  ['x-api-key', { 'x-api-key': KEY }, {}],
  ['a cookie', { cookie: KEY }, {}],
  ['a field that is named', { 'x-mine': KEY }, { fields: ['x-mine'] }],
] as const) {
  test(`a credential in ${what} does not come back`, async () => {
    listener = (request, response) => response.end(JSON.stringify(request.headers))
    const text = await (await hidingFetch(options)(url, { headers })).text()
    assert.ok(!text.includes(KEY.slice(0, 16)), text)
    assert.ok(text.includes('*'.repeat(KEY.length)))
  })
}

// One row per place of an answer that is no HTTP, which undici quotes in its error.
for (const [where, reply] of [
  ['the status line', `HTTP/1.1 ${KEY}\r\n\r\n`],
  ['a field without a name', `HTTP/1.1 200 OK\r\n: ${KEY}\r\n\r\n`],
  ['a length', `HTTP/1.1 200 OK\r\nContent-Length: ${KEY}\r\n\r\n`],
  ['the body, as the size of a chunk', `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n${KEY}\r\n`],
] as const) {
  test(`a credential in ${where} of a broken answer is not in the error [provisioning.model.01]`, async () => {
    const broken = createTcpServer((socket) => void socket.on('error', () => 0).once('data', () => socket.end(reply)))
    await new Promise<void>((resolve) => broken.listen(0, '127.0.0.1', resolve))
    const { port } = broken.address() as AddressInfo
    const asking = hidingFetch()(`http://127.0.0.1:${port}/`, { headers: { 'x-api-key': KEY } }).then((r) => r.text())
    await assert
      .rejects(asking, (error: Error) => {
        assert.ok(!inspect(error, { depth: 9, showHidden: true }).includes(KEY.slice(0, 16)), inspect(error))
        assert.ok(error instanceof TypeError && error.cause instanceof Error)
        return true
      })
      .finally(() => broken.close())
    // Nobody listens there any more: what it is tells the code.
    await assert.rejects(
      hidingFetch()(`http://127.0.0.1:${port}/`, { headers: { 'x-api-key': KEY } }),
      ({ cause }: Error) => cause instanceof Error && 'code' in cause && cause.code === 'ECONNREFUSED',
    )
  })
}

test('a request that was ended says why, and one that has a body is sent', async () => {
  listener = (request, response) => {
    if (request.method === 'POST') request.pipe(response)
  }
  const headers = { 'x-api-key': KEY }
  const reason = new Error('enough')
  await assert.rejects(hidingFetch()(url, { headers, signal: AbortSignal.abort(reason) }), reason)
  const given = new Request(url, { method: 'POST', body: `a ${KEY}`, headers })
  assert.equal(await (await hidingFetch()(given)).text(), `a ${'*'.repeat(KEY.length)}`)
  const refusing = async (): Promise<Response> => {
    throw new AimsError('outbound.unreachable', 'gone', { cause: KEY })
  }
  await assert.rejects(hidingFetch({ fetch: refusing })(url, { headers }), (error: Error) => {
    assert.deepEqual([AimsError.is(error) && error.code, error.cause], ['outbound.unreachable', undefined])
    return true
  })
})

test('without a credential the response is the one that came', async () => {
  const response = new Response('a')
  assert.equal(await hidingFetch({ fetch: async () => response })(url), response)
})
