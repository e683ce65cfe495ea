import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type RequestListener, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { after, test } from 'node:test'
import { gzipSync } from 'node:zlib'
import { serve } from '@hono/node-server'
import axios from 'axios'
import express from 'express'
import got from 'got'
import { Hono } from 'hono'
import { Agent, request as requestUndici } from 'undici'
import { AUDIENCE, testDomain } from '../../../../test/support/identities.ts'
import { type Authenticator, createAuthenticator } from '../authentication/authenticate.ts'
import { createMemoryReplayStore } from '../authentication/replay/memory.ts'
import type { AuthenticatorOptions } from '../authentication/request.ts'
import type { WitSource } from '../credentials/wit/source.ts'
import { isExactly } from '../identifiers/matcher.ts'
import { prove } from './axios.ts'
import { callerOf as callerOfExpress, authenticated as expressAuthenticated } from './express.ts'
import { provingFetch } from './fetch.ts'
import { proving as provingGot } from './got.ts'
import { callerOf as callerOfHono, authenticated as honoAuthenticated } from './hono.ts'
import { protect, provingRequest } from './node.ts'
import type { HttpSignatureOptions } from './signed-exchange.ts'
import { proving as provingUndici } from './undici.ts'

const now = Math.floor(Date.now() / 1000)
const domain = testDomain('example.com', { now })
const [wit, serverWit, otherWit] = [
  await domain.wit(),
  await domain.wit({ path: '/service/events-api' }),
  await domain.wit({ path: '/service/other' }),
]
const wits: WitSource = { wit: () => wit }
const signing: HttpSignatureOptions = { bundles: domain.bundles, peer: isExactly(serverWit.subject) }
const opened: (() => unknown)[] = []
after(() => opened.forEach((close) => void close()))

function authenticator(given: Partial<AuthenticatorOptions> = {}): Authenticator {
  return createAuthenticator({
    bundles: domain.bundles,
    audiences: [AUDIENCE],
    replays: createMemoryReplayStore({ capacity: 100 }),
    observer: { record: async () => undefined },
    responses: { wits: { wit: () => serverWit } },
    ...given,
  })
}

async function listen(listener: RequestListener): Promise<number> {
  const server = createServer(listener)
  server.listen(0)
  await once(server, 'listening')
  opened.push(
    () => server.close(),
    () => server.closeAllConnections(),
  )
  return (server.address() as AddressInfo).port
}

const LIMIT = { maxSignedBody: 1000 }

/** Services that answer with what they were sent, in several ways: the path says how. */
const SERVERS: { readonly [name: string]: (by: Authenticator) => Promise<number> } = {
  'node:http': (by) =>
    listen(
      protect(
        by,
        async (request, response, { principal }) => {
          const body = await text(request)
          const path = request.url?.split('?')[0]
          if (path === '/empty') return response.writeHead(204).end()
          if (path === '/missing')
            return response.writeHead(404, 'Gone', { 'content-type': 'text/plain' }).end('nothing')
          if (path === '/large') return response.end('x'.repeat(1001))
          if (path === '/pieces') {
            response.writeHead(200, ['Content-Type', 'text/plain', 'X-Two', 'a'])
            response.write('one ')
            response.write(Buffer.from('two '), () => undefined)
            return response.end('dHdv', 'base64', () => undefined)
          }
          response.setHeader('content-type', 'text/plain')
          return response.end(`${principal.id} ${body}`)
        },
        LIMIT,
      ),
    ),
  express: (by) => {
    const app = express()
    app.use(expressAuthenticated(by, LIMIT), express.text({ type: '*/*' }))
    app.all('/empty', (_, response) => void response.status(204).end())
    app.all('/missing', (_, response) => void response.status(404).type('text/plain').send('nothing'))
    app.all('/large', (_, response) => void response.send('x'.repeat(1001)))
    app.all('/pieces', (_, response) => {
      response.type('text/plain').write('one ')
      response.write('two ')
      response.end('two')
    })
    app.use((request, response) => {
      const body = typeof request.body === 'string' ? request.body : ''
      response.type('text/plain').send(`${callerOfExpress(request).principal.id} ${body}`)
    })
    return listen(app as RequestListener)
  },
  hono: (by) => {
    const app = new Hono()
    app.use(honoAuthenticated(by, LIMIT))
    app.all('/empty', (c) => c.body(null, 204))
    app.all('/missing', (c) => c.text('nothing', 404))
    app.all('/large', (c) => c.text('x'.repeat(1001)))
    app.all('/pieces', (c) => {
      const pieces = new ReadableStream({
        start(controller) {
          for (const piece of ['one ', 'two ', 'two']) controller.enqueue(Buffer.from(piece))
          controller.close()
        },
      })
      return c.body(pieces, 200, { 'content-type': 'text/plain' })
    })
    app.all('*', async (c) => c.text(`${callerOfHono(c).principal.id} ${await c.req.text()}`))
    return new Promise((resolve) => {
      const server = serve({ fetch: app.fetch, port: 0 }, ({ port }) => resolve(port))
      opened.push(
        () => server.close(),
        () => (server as Server).closeAllConnections(),
      )
    })
  },
}

interface Answer {
  readonly status: number
  readonly body: string
  readonly isSigned: boolean
}

type Client = (url: string, options: HttpSignatureOptions, body?: string, method?: string) => Promise<Answer>

const CLIENTS: { readonly [name: string]: Client } = {
  async provingRequest(url, httpSignature, body, method = 'POST') {
    const sent = body === undefined ? {} : { body, headers: { 'Content-Type': 'text/plain' } }
    const response = await provingRequest(url, { wits, audience: AUDIENCE, method, httpSignature, ...sent })
    return {
      status: response.statusCode ?? 0,
      body: await text(response),
      isSigned: response.headers.signature !== undefined,
    }
  },
  async provingFetch(url, httpSignature, body, method = 'POST') {
    const fetching = provingFetch(wits, { audience: AUDIENCE, httpSignature })
    const response = await fetching(url, { method, ...(body === undefined ? {} : { body }) })
    return { status: response.status, body: await response.text(), isSigned: response.headers.has('signature') }
  },
  async undici(url, httpSignature, body, method = 'POST') {
    const dispatcher = new Agent().compose(provingUndici(wits, { audience: AUDIENCE, httpSignature }))
    try {
      const sent = body === undefined ? {} : { body, headers: { 'Content-Type': 'text/plain' } }
      const { statusCode, headers, body: answer } = await requestUndici(url, { method, dispatcher, ...sent })
      return { status: statusCode, body: await answer.text(), isSigned: headers.signature !== undefined }
    } finally {
      await dispatcher.close()
    }
  },
  async axios(url, httpSignature, body, method = 'POST') {
    const instance = axios.create({ validateStatus: null, responseType: 'text' })
    const sent = body === undefined ? {} : { data: body, headers: { 'Content-Type': 'text/plain' } }
    const answer = await prove(instance, wits, { audience: AUDIENCE, httpSignature }).request({ url, method, ...sent })
    return { status: answer.status, body: String(answer.data), isSigned: answer.headers.signature !== undefined }
  },
  async got(url, httpSignature, body, method = 'POST') {
    const client = got.extend(provingGot(wits, { audience: AUDIENCE, httpSignature }))
    const sent = body === undefined ? {} : { body, headers: { 'Content-Type': 'text/plain' } }
    const answer = await client(url, { method: asMethod(method), throwHttpErrors: false, retry: { limit: 0 }, ...sent })
    return { status: answer.statusCode, body: answer.body, isSigned: answer.headers.signature !== undefined }
  },
  async 'got.stream'(url, httpSignature, body, method = 'POST') {
    const client = got.extend(provingGot(wits, { audience: AUDIENCE, httpSignature }))
    const empty = method === 'GET' || method === 'HEAD' ? {} : { body: '' }
    const sent = body === undefined ? empty : { body, headers: { 'Content-Type': 'text/plain' } }
    const stream = client.stream(url, {
      method: asMethod(method),
      throwHttpErrors: false,
      retry: { limit: 0 },
      ...sent,
    })
    const [[response], answer] = await Promise.all([once(stream, 'response'), text(stream)])
    return { status: response.statusCode, body: answer, isSigned: response.headers.signature !== undefined }
  },
}

function asMethod(method: string): 'GET' | 'HEAD' | 'POST' | 'PUT' {
  return method === 'GET' || method === 'HEAD' || method === 'PUT' ? method : 'POST'
}

for (const [name, start] of Object.entries(SERVERS)) {
  for (const [client, send] of Object.entries(CLIENTS)) {
    // [authentication.http-signature.12] [authentication.http-signature.14]
    test(`${name} and ${client}: request and response are signed, whatever the handler does`, async () => {
      const url = `http://localhost:${await start(authenticator())}`
      for (const [path, body, expected, method] of [
        ['/events?x=1', 'hello', { status: 200, body: `${wit.subject} hello` }, 'POST'],
        ['/events', undefined, { status: 200, body: `${wit.subject} ` }, 'GET'],
        ['/events', undefined, { status: 200, body: '' }, 'HEAD'],
        ['/pieces', 'x'.repeat(5000), { status: 200, body: 'one two two' }, 'PUT'],
        ['/empty', undefined, { status: 204, body: '' }, 'POST'],
        ['/missing', undefined, { status: 404, body: 'nothing' }, 'POST'],
      ] as const) {
        assert.deepEqual(await send(`${url}${path}`, signing, body, method), { ...expected, isSigned: true }, path)
      }
    })

    test(`${name} and ${client}: a response that cannot be signed is none`, async () => {
      const port = await start(authenticator())
      // The service says 501, unsigned, and the client takes no unsigned answer.
      await assert.rejects(send(`http://localhost:${port}/large`, signing), { code: 'signature.response_unsigned' })
      const undemanding = await send(`http://localhost:${port}/large`, { ...signing, demandResponse: false })
      assert.deepEqual([undemanding.status, undemanding.isSigned], [200, false])
    })

    test(`${name} and ${client}: F13 a service that cannot sign does nothing for who demands it`, async () => {
      const unable = createAuthenticator({
        bundles: domain.bundles,
        audiences: [AUDIENCE],
        replays: createMemoryReplayStore({ capacity: 9 }),
        observer: { record: async () => undefined },
      })
      const url = `http://localhost:${await start(unable)}/events`
      await assert.rejects(send(url, signing), { code: 'signature.response_unsigned' })
      const undemanding = await send(url, { ...signing, demandResponse: false })
      assert.deepEqual([undemanding.status, undemanding.isSigned], [200, false])
    })

    test(`${name} and ${client}: an answer by another service is refused, demanded or not`, async () => {
      const other = authenticator({ responses: { wits: { wit: () => otherWit }, always: true } })
      const url = `http://localhost:${await start(other)}/events`
      for (const demandResponse of [true, false]) {
        await assert.rejects(send(url, { ...signing, demandResponse }), { code: 'authentication.peer_unexpected' })
      }
    })

    test(`${name} and ${client}: no more of a response is read than the client allows`, async () => {
      const url = `http://localhost:${await start(authenticator())}/events`
      await assert.rejects(send(url, { ...signing, maxSignedBody: 10 }), { code: 'authentication.body_too_large' })
    })
  }
}

// Each changes one thing of a good response, as somebody in the middle would.
const CHANGES: readonly (readonly [
  string,
  (headers: Record<string, string>, body: string) => [number, string],
  string,
])[] = [
  ['the status', (_, body) => [201, body], 'signature.invalid_signature'],
  ['the body', () => [200, 'changed'], 'signature.digest_mismatch'],
  [
    'the type',
    (headers, body) => {
      headers['content-type'] = 'text/html'
      return [200, body]
    },
    'signature.invalid_signature',
  ],
  [
    'the signature, by taking it away',
    (headers, body) => {
      delete headers.signature
      delete headers['signature-input']
      return [200, body]
    },
    'signature.response_unsigned',
  ],
]

for (const [what, change, code] of CHANGES) {
  test(`a response of which ${what} was changed on the way is refused`, async () => {
    const port = await SERVERS['node:http']?.(authenticator())
    const between = await listen(async (request, response) => {
      const fields: Record<string, string> = {}
      for (const [name, value] of Object.entries(request.headers)) if (name !== 'host') fields[name] = String(value)
      const answer = await fetch(`http://localhost:${port}${request.url}`, {
        method: 'GET',
        headers: { ...fields, connection: 'close' },
      })
      const headers = Object.fromEntries(
        [...answer.headers].filter(
          ([name]) => !/^(?:connection|keep-alive|content-length|transfer-encoding|date)$/.test(name),
        ),
      )
      const [status, body] = change(headers, await answer.text())
      response.writeHead(status, headers).end(body)
    })
    for (const send of Object.values(CLIENTS)) {
      await assert.rejects(send(`http://localhost:${between}/events`, signing, undefined, 'GET'), { code })
    }
  })
}

test('a response to one request is none to another', async () => {
  const port = await SERVERS['node:http']?.(authenticator())
  const recorded: { headers?: [string, string][]; body?: string } = {}
  const between = await listen(async (request, response) => {
    if (recorded.headers === undefined) {
      const fields = Object.entries(request.headers).filter(([name]) => name !== 'host' && name !== 'connection')
      const answer = await fetch(`http://localhost:${port}${request.url}`, {
        headers: fields.map(([name, value]): [string, string] => [name, String(value)]),
      })
      recorded.headers = [...answer.headers].filter(([name]) =>
        /^(?:content-type|content-digest|signature|signature-input|workload-identity-token)$/.test(name),
      )
      recorded.body = await answer.text()
    }
    response.writeHead(200, Object.fromEntries(recorded.headers)).end(recorded.body)
  })
  const url = `http://localhost:${between}/events`
  for (const send of Object.values(CLIENTS)) {
    delete recorded.headers
    assert.equal((await send(url, signing, undefined, 'GET')).isSigned, true)
    await assert.rejects(send(url, signing, undefined, 'GET'), { code: 'signature.request_mismatch' })
  }
})

test('hints that come before a signed response are not it', async () => {
  const port = await listen(
    protect(authenticator(), async (_, response) => {
      response.writeEarlyHints({ link: '</style.css>; rel=preload' })
      response.end('signed')
    }),
  )
  for (const [name, send] of Object.entries(CLIENTS)) {
    const answer = await send(`http://localhost:${port}/events`, signing, undefined, 'GET')
    assert.deepEqual(answer, { status: 200, body: 'signed', isSigned: true }, name)
  }
})

test('what came compressed is judged as it came, and handed on as text', async () => {
  const port = await listen(
    protect(authenticator(), async (_, response) => {
      response.setHeader('content-encoding', 'gzip')
      response.end(gzipSync('signed'))
    }),
  )
  for (const name of ['axios', 'got', 'got.stream']) {
    const answer = await CLIENTS[name]?.(`http://localhost:${port}/events`, signing, undefined, 'GET')
    assert.deepEqual(answer, { status: 200, body: 'signed', isSigned: true }, name)
  }
  // fetch hands it on decompressed, and what was signed is gone.
  const sending = CLIENTS.provingFetch?.(`http://localhost:${port}/events`, signing, undefined, 'GET')
  await assert.rejects(sending ?? Promise.resolve(), { code: 'signature.digest_mismatch' })
})

test('what a handler writes after its response could not be signed goes nowhere, and does no harm', async () => {
  const written: boolean[] = []
  const port = await listen(
    protect(
      authenticator(),
      async (_, response) => {
        response.writeHead(200, 'Fine', { 'content-type': 'text/plain' })
        for (let i = 0; i < 5; i += 1) {
          written.push(response.write('x'.repeat(400)))
          await new Promise((resolve) => setImmediate(resolve))
        }
        response.write('more', () => written.push(true))
        response.end('the end')
      },
      LIMIT,
    ),
  )
  const url = `http://localhost:${port}/events`
  const response = await provingRequest(url, {
    wits,
    audience: AUDIENCE,
    httpSignature: { ...signing, demandResponse: false },
  })
  assert.equal(response.statusCode, 200)
  response.resume()
  await once(response, 'end')
  for (const send of Object.values(CLIENTS)) {
    await assert.rejects(send(url, signing, undefined, 'GET'), { code: 'signature.response_unsigned' })
  }
  const undemanding = await CLIENTS.provingFetch?.(url, { ...signing, demandResponse: false }, undefined, 'GET')
  assert.deepEqual([undemanding?.status, undemanding?.body.length], [200, 2011])
  assert.ok(written.length >= 20 && written.every((one) => one))
})
