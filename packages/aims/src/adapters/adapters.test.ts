import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type RequestListener, type Server } from 'node:http'
import { createServer as createHttpsServer, Agent as HttpsAgent } from 'node:https'
import { type AddressInfo, connect } from 'node:net'
import { json, text } from 'node:stream/consumers'
import { after, test } from 'node:test'
import { serve } from '@hono/node-server'
import express from 'express'
import { Hono } from 'hono'
import { eventuallyTrue } from '../../../../test/support/eventually.ts'
import { AUDIENCE, testDomain } from '../../../../test/support/identities.ts'
import { mutableBundles, mutableSvid, testCa } from '../../../../test/support/x509-identities.ts'
import { type Authenticator, createAuthenticator } from '../authentication/authenticate.ts'
import { mtlsAgent } from '../authentication/mtls/client.ts'
import { rotatingServer, serverTlsOptions } from '../authentication/mtls/server.ts'
import { createMemoryReplayStore } from '../authentication/replay/memory.ts'
import { proofHeaders } from '../authentication/wpt/create.ts'
import type { AuditEvent } from '../base/event.ts'
import type { WitSource } from '../credentials/wit/source.ts'
import { isExactly, isMemberOf } from '../identifiers/matcher.ts'
import { callerOf as callerOfExpress, authenticated as expressAuthenticated } from './express.ts'
import { provingFetch } from './fetch.ts'
import { callerOf as callerOfHono, authenticated as honoAuthenticated } from './hono.ts'
import { toIncomingRequest } from './incoming.ts'
import { protect, provingRequest } from './node.ts'

const now = (): number => Math.floor(Date.now() / 1000)
const domain = testDomain('example.com', { now: now() })
const wit = await domain.wit()
const wits: WitSource = { wit: () => wit }
const opened: (() => unknown)[] = []
after(() => opened.forEach((close) => void close()))

const events: AuditEvent[] = []

const ids: (string | undefined)[] = []

function authenticator(): Authenticator {
  const inner = createAuthenticator({
    bundles: domain.bundles,
    audiences: [AUDIENCE],
    replays: createMemoryReplayStore({ capacity: 100 }),
    observer: { record: async (event) => void events.push(event) },
  })
  return {
    ...inner,
    authenticate(request) {
      ids.push(request.id)
      return inner.authenticate(request)
    },
  }
}

async function listen(server: Server): Promise<number> {
  server.listen(0)
  await once(server, 'listening')
  opened.push(
    () => server.close(),
    () => server.closeAllConnections(),
  )
  return (server.address() as AddressInfo).port
}

const LIMIT = { maxBody: 1000 }
type Start = () => Promise<number>

// Each answers with the caller, the target as the handler sees it, and the body as the handler reads it.
const SERVERS: { readonly [name: string]: Start } = {
  'node:http': () =>
    listen(
      createServer(
        protect(
          authenticator(),
          async (request, response, { principal, correlationId }) => {
            response.setHeader('x-correlation-id', correlationId)
            const body = await text(request)
            response.end(JSON.stringify({ caller: principal.id, body }))
          },
          LIMIT,
        ),
      ),
    ),
  express: () => {
    const app = express()
    app.use(
      '/api',
      expressAuthenticated(authenticator(), LIMIT),
      express.text({ type: '*/*' }),
      (request, response) => {
        const { principal, correlationId } = callerOfExpress(request)
        response.setHeader('x-correlation-id', correlationId)
        response.json({ caller: principal.id, body: typeof request.body === 'string' ? request.body : '' })
      },
    )
    return listen(createServer(app as RequestListener))
  },
  hono: () => {
    const app = new Hono()
    app.use(honoAuthenticated(authenticator(), LIMIT))
    app.all('/api/*', async (c) => {
      const { principal, correlationId } = callerOfHono(c)
      c.header('x-correlation-id', correlationId)
      return c.json({ caller: principal.id, body: await c.req.text() })
    })
    return new Promise((resolve) => {
      const server = serve({ fetch: app.fetch, port: 0 }, ({ port }) => resolve(port))
      opened.push(
        () => server.close(),
        () => (server as Server).closeAllConnections(),
      )
    })
  },
}

const PLAIN = { 'content-type': 'text/plain' }
const CHALLENGE = { 'www-authenticate': 'WPT', 'content-type': 'application/problem+json' }

// A request line and fields byte for byte, as no client library would send them.
async function raw(
  port: number,
  lines: readonly string[],
  body = '',
): Promise<{ readonly status: number; readonly text: string }> {
  const socket = connect(port, '127.0.0.1')
  socket.end(
    `${['POST /api/events?x=1 HTTP/1.1', 'Host: h', 'Connection: close', ...lines].join('\r\n')}\r\n\r\n${body}`,
  )
  const answer = await text(socket)
  return { status: Number(answer.split(' ')[1]), text: answer }
}

function proofLines(change: { readonly body?: Uint8Array; readonly target?: string } = {}): readonly string[] {
  const request = { method: 'POST', target: '/api/events?x=1', audience: AUDIENCE, ...change }
  return Object.entries(proofHeaders(wit, request, { now: now() })).map(([name, value]) => `${name}: ${value}`)
}

for (const [name, start] of Object.entries(SERVERS)) {
  test(`${name}: lets a proven request through, with its body`, async () => {
    const url = `http://localhost:${await start()}/api/events?x=1`
    for (const body of [undefined, '', '{"title":"standup"}', 'x'.repeat(1000)]) {
      const sent = { wits, audience: AUDIENCE, method: 'POST', headers: PLAIN, ...(body === undefined ? {} : { body }) }
      const response = await provingRequest(url, sent)
      assert.equal(response.statusCode, 200)
      assert.deepEqual(await json(response), { caller: wit.subject, body: body ?? '' })
      // What the handler passes on to authorize is what the caller was authenticated under.
      assert.ok(ids.at(-1))
      assert.equal(response.headers['x-correlation-id'], ids.at(-1))
    }
    const fetching = provingFetch(wits, { audience: AUDIENCE })
    const response = await fetching(url, { method: 'PUT', body: 'hello', headers: { 'content-type': 'text/plain' } })
    assert.deepEqual(await response.json(), { caller: wit.subject, body: 'hello' })
  })

  // [authentication.wpt.21] [authentication.aims.02]
  test(`${name}: answers requests without a proof with a challenge, and says no more`, async () => {
    const port = await start()
    for (const headers of [{}, { 'x-forwarded-user': 'root', 'x-forwarded-client-cert': `URI=${wit.subject}` }]) {
      const response = await fetch(`http://localhost:${port}/api/x`, { headers })
      assert.equal(response.status, 401)
      for (const [field, value] of Object.entries(CHALLENGE)) assert.equal(response.headers.get(field), value)
      const problem = (await response.json()) as { readonly code: string; readonly id: string }
      assert.equal(problem.code, 'authentication.missing')
      assert.equal(events.at(-1)?.correlationId, problem.id)
    }
  })

  test(`${name}: a replayed request, and one changed on the way, are refused`, async () => {
    const port = await start()
    const good = proofLines()
    assert.equal((await raw(port, good)).status, 200)
    assert.equal((await raw(port, good)).status, 401)
    assert.deepEqual(events.at(-1)?.reasons, ['proof.replayed'])
    assert.equal((await raw(port, proofLines({ target: '/api/events?x=2' }))).status, 401)
    assert.deepEqual(events.at(-1)?.reasons, ['proof.target_mismatch'])
    const body = proofLines({ body: Buffer.from('abc') })
    assert.equal((await raw(port, [...body, 'Content-Length: 3'], 'abd')).status, 401)
    assert.deepEqual(events.at(-1)?.reasons, ['proof.body_mismatch'])
    assert.equal(
      (await raw(port, [...body, 'Transfer-Encoding: chunked'], '1\r\na\r\n2\r\nbc\r\n0\r\n\r\n')).status,
      200,
    )
  })

  test(`${name}: fields that occur twice are refused, in every order and spelling`, async () => {
    const port = await start()
    for (const [lines, reason] of [
      [[...proofLines(), 'Authorization: Bearer x'], 'duplicate_field'],
      [['authorization: Bearer x', ...proofLines()], 'duplicate_field'],
      [[...proofLines(), `WORKLOAD-IDENTITY-TOKEN: ${wit.token}`], 'duplicate_field'],
      [[...proofLines(), 'Workload-Proof-Token: a.b.c'], 'mixed_profiles|proof.malformed'],
    ] as const) {
      const { status } = await raw(port, lines)
      assert.ok(status === 400 || status === 401, String(status))
      assert.match(String(events.at(-1)?.reasons), new RegExp(reason))
    }
  })

  test(`${name}: a body beyond the limit is read for nobody, and no further than the limit`, async () => {
    const url = `http://localhost:${await start()}/api/x`
    const large = await provingRequest(url, { wits, audience: AUDIENCE, method: 'POST', body: 'x'.repeat(1001) })
    assert.equal(large.statusCode, 413)
    large.resume()
    const stranger = await fetch(url, { method: 'POST', body: 'x'.repeat(100_000) })
    assert.equal(stranger.status, 401)
  })
}

test('node:http: a handler may read the body in any way, also in pieces', async () => {
  const collect: { readonly [way: string]: (request: IncomingMessage) => Promise<string> } = {
    events: (request) =>
      new Promise((resolve) => {
        let all = ''
        request.on('data', (chunk) => (all += String(chunk))).on('end', () => resolve(all))
      }),
    iteration: async (request) => {
      let all = ''
      for await (const chunk of request) all += String(chunk)
      return all
    },
    later: async (request) => {
      await new Promise((resolve) => setTimeout(resolve, 20))
      return text(request)
    },
  }
  for (const [way, read] of Object.entries(collect)) {
    const port = await listen(
      createServer(protect(authenticator(), async (request, response) => response.end(await read(request)))),
    )
    const body = 'y'.repeat(200_000)
    const response = await provingRequest(`http://localhost:${port}/`, {
      wits,
      audience: AUDIENCE,
      method: 'POST',
      body,
    })
    assert.equal(await text(response), body, way)
  }
})

test('node:http: a client that goes away in the middle of its body is refused, and nothing is left behind', async () => {
  const handled = { times: 0 }
  const port = await listen(createServer(protect(authenticator(), () => (handled.times += 1))))
  const count = events.length
  const socket = connect(port, '127.0.0.1')
  const request = { method: 'POST', target: '/', audience: AUDIENCE, body: Buffer.from('abc') }
  const lines = Object.entries(proofHeaders(wit, request, { now: now() })).map(([name, value]) => `${name}: ${value}`)
  socket.write(`POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n${lines.join('\r\n')}\r\n\r\na`)
  await new Promise((resolve) => setTimeout(resolve, 50))
  socket.destroy()
  await eventuallyTrue(async () => events.length > count)
  assert.equal(handled.times, 0)
  assert.deepEqual(
    events.slice(count).map(({ reasons }) => reasons),
    [['proof.body_mismatch']],
  )
})

test('a request that ended before its body was asked for is refused, and not waited for', async () => {
  const server = createServer()
  const port = await listen(server)
  const client = connect(port, '127.0.0.1')
  client.write('POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nab')
  const [request] = (await once(server, 'request')) as [IncomingMessage]
  request.on('error', () => undefined)
  const closed = new Promise((resolve) => request.once('close', resolve))
  client.destroy()
  await closed
  const { body } = toIncomingRequest(request, 'id', {})
  assert.ok(typeof body === 'function')
  await assert.rejects(body(), { code: 'proof.body_mismatch' })
})

test('express: a body parser in front makes a bound body uncheckable, and is a defect of the service', async () => {
  const app = express()
  app.use(express.text({ type: '*/*' }), expressAuthenticated(authenticator()))
  const port = await listen(createServer(app as RequestListener))
  const response = await provingRequest(`http://localhost:${port}/`, {
    wits,
    audience: AUDIENCE,
    method: 'POST',
    headers: PLAIN,
    body: 'x',
  })
  assert.equal(response.statusCode, 500)
  response.resume()
})

test('hono without node: joined fields are refused when one was sent twice, and accepted otherwise', async () => {
  const app = new Hono()
  app.use(honoAuthenticated(authenticator()))
  app.post('/api/*', async (c) => c.text(`${callerOfHono(c).principal.id} ${await c.req.text()}`))
  const body = Buffer.from('hello')
  const request = { method: 'POST', target: '/api/events?x=1', audience: AUDIENCE, body }
  const headers = (): Headers => new Headers(proofHeaders(wit, request, { now: now() }) as Record<string, string>)
  const ask = async (given: Headers): Promise<Response> =>
    app.request('https://api.example.com/api/events?x=1', { method: 'POST', headers: given, body })
  assert.equal(await (await ask(headers())).text(), `${wit.subject} hello`)
  const twice = headers()
  twice.append('authorization', 'Bearer x')
  assert.equal((await ask(twice)).status, 400)
})

// [authentication.mtls.07]
test('https: the proof says who calls although the connection is that of another workload, and mTLS does when there is none', async () => {
  const ca = await testCa()
  const bundles = mutableBundles({ ...ca.bundle, witAuthorities: domain.bundle.witAuthorities })
  const service = mutableSvid(await ca.svid('/service/events-api', { dnsNames: ['localhost'] }))
  const proxy = await ca.svid('/proxy')
  const judge = createAuthenticator({
    bundles,
    audiences: [AUDIENCE],
    replays: createMemoryReplayStore({ capacity: 100 }),
    observer: { record: async (event) => void events.push(event) },
  })
  const server = createHttpsServer(
    serverTlsOptions(service),
    protect(judge, (_request, response, { principal: { id, method } }) => response.end(`${id} ${method}`)),
  )
  const observer = { record: async () => undefined }
  rotatingServer(server, service, {
    bundles,
    peer: isMemberOf(ca.bundle.trustDomain),
    observer,
    admitWithoutCertificate: true,
  })
  const url = `https://localhost:${await listen(server)}/`
  const { spiffeId } = service.x509Svid()
  const agent = mtlsAgent(mutableSvid(proxy), { bundles, peer: isExactly(spiffeId) })
  opened.push(() => agent.destroy())

  assert.equal(await text(await provingRequest(url, { wits, audience: AUDIENCE, agent })), `${wit.subject} wit+wpt`)
  const plain = await new Promise<IncomingMessage>((resolve, reject) => {
    import('node:https').then(({ get }) => get(url, { agent }, resolve).on('error', reject), reject)
  })
  assert.equal(await text(plain), `${proxy.spiffeId} mtls`)
  await assert.rejects(provingRequest(url, { wits, audience: AUDIENCE }), /certificate/)
})

// [authentication.wpt.23] [credentials.wit.23]
test('proofs are not sent where others can read them', async () => {
  const options = { wits, audience: AUDIENCE }
  const fetching = provingFetch(wits, { ...options, fetch: () => Promise.resolve(new Response('sent')) })
  for (const url of [
    'http://api.example.com/',
    'http://10.0.0.1/',
    'http://localhost.example.com/',
    'ftp://localhost/',
  ]) {
    assert.throws(() => provingRequest(url, options), TypeError, url)
    await assert.rejects(fetching(url), TypeError, url)
  }
  assert.throws(
    () => provingRequest('https://localhost/', { ...options, agent: new HttpsAgent({ rejectUnauthorized: false }) }),
    TypeError,
  )
  const asked = provingFetch(wits, {
    ...options,
    acceptPlaintext: true,
    fetch: () => Promise.resolve(new Response('sent')),
  })
  assert.equal(await (await asked('http://api.example.com/')).text(), 'sent')
})

test('a proving fetch that was given no audience says so where it is made', () => {
  for (const options of [undefined, {}, { audience: undefined }]) {
    assert.throws(() => provingFetch(wits, options as never), { name: 'TypeError', message: /needs \{ audience \}/ })
  }
})

test('a proof does not follow a redirect', async () => {
  const seen: IncomingMessage[] = []
  const port = await listen(
    createServer((request, response) => {
      seen.push(request)
      response.writeHead(307, { location: '/elsewhere' }).end()
    }),
  )
  const url = `http://localhost:${port}/`
  await assert.rejects(provingFetch(wits, { audience: AUDIENCE })(url), TypeError)
  assert.equal((await provingFetch(wits, { audience: AUDIENCE })(url, { redirect: 'manual' })).status, 307)
  const response = await provingRequest(url, { wits, audience: AUDIENCE })
  assert.equal(response.statusCode, 307)
  response.resume()
  assert.deepEqual(
    seen.map((request) => request.url),
    ['/', '/', '/'],
  )
})

test('fetch: an Authorization that the profile has no place for is a mistake, and not dropped', async () => {
  const fetching = provingFetch(wits, { audience: AUDIENCE, fetch: () => Promise.resolve(new Response('sent')) })
  await assert.rejects(fetching('https://api.example.com/', { headers: { authorization: 'Bearer x' } }), TypeError)
  const older = await domain.wit({ profile: 'wimse-wpt-01' })
  const sent: Headers[] = []
  const fetchOlder = provingFetch(
    { wit: () => older },
    {
      audience: (url) => url.origin,
      contextTokens: ['x-context'],
      fetch: async (_url, init) => {
        sent.push(new Headers(init?.headers))
        return new Response('sent')
      },
    },
  )
  const headers = { authorization: 'Bearer x', 'txn-token': 't', 'x-context': 'c' }
  await fetchOlder('https://api.example.com/a', { headers })
  const claims = JSON.parse(
    Buffer.from(sent[0]?.get('workload-proof-token')?.split('.')[1] ?? '', 'base64url').toString(),
  )
  assert.equal(sent[0]?.get('authorization'), 'Bearer x')
  assert.equal(claims.aud, 'https://api.example.com')
  assert.deepEqual([typeof claims.ath, typeof claims.tth, Object.keys(claims.oth)], ['string', 'string', ['x-context']])
})
