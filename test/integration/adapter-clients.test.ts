// Clients of other projects that prove who they are, against a server of ours; and gRPC both ways.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type IncomingMessage, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { after, test } from 'node:test'
import * as grpc from '@grpc/grpc-js'
import { createAuthenticator, createMemoryReplayStore, signRequest } from 'aims/authentication'
import { prove } from 'aims/axios'
import type { AuditEvent } from 'aims/base'
import type { WitSource } from 'aims/credentials'
import { proving as provingGot } from 'aims/got'
import { authenticatedCalls, callerOf, provingCalls } from 'aims/grpc'
import { isExactly } from 'aims/identifiers'
import { protect } from 'aims/node'
import { type ProvingOptions, proving as provingUndici } from 'aims/undici'
import axios from 'axios'
import got from 'got'
import { Agent, request as requestUndici, upgrade } from 'undici'
import { encodePem } from '../../packages/aims/src/base/pem.ts'
import { AUDIENCE, testDomain } from '../support/identities.ts'
import { extendedUsage, makeCertificate, makeRoot, newKey, subjectAltDns } from '../support/vendor-pki.ts'

const now = (): number => Math.floor(Date.now() / 1000)
const domain = testDomain('example.com', { now: now() })
const wit = await domain.wit()
const wits: WitSource = { wit: () => wit }
const events: AuditEvent[] = []
const closers: (() => unknown)[] = []
after(async () => {
  for (const close of closers.reverse()) await close()
})

const authenticator = createAuthenticator({
  bundles: domain.bundles,
  audiences: [AUDIENCE],
  replays: createMemoryReplayStore({ capacity: 1000 }),
  responses: { wits },
  observer: { record: async (event) => void events.push(event) },
})

const contextual = createAuthenticator({
  bundles: domain.bundles,
  audiences: [AUDIENCE],
  replays: createMemoryReplayStore({ capacity: 1000 }),
  contextTokens: ['x-context'],
  observer: { record: async (event) => void events.push(event) },
})

const bound = { requireBinding: { method: true, target: true } } as const
const seen: IncomingMessage[] = []
let busy = 0
const server = createServer(async (request, response) => {
  seen.push(request)
  if (request.url?.startsWith('/moved')) return void response.writeHead(307, { location: '/api/elsewhere' }).end()
  if (request.url?.startsWith('/busy') && busy++ === 0) return void response.writeHead(503).end()
  await protect(
    request.url === '/tokens' ? contextual : authenticator,
    async (incoming, outgoing, { principal: { id, covers } }) =>
      outgoing.end(`${id} ${incoming.method} ${covers.body} ${await text(incoming)}`),
    bound,
  )(request, response)
})
server.listen(0, '127.0.0.1')
await once(server, 'listening')
closers.push(
  () => server.close(),
  () => server.closeAllConnections(),
)
const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`

interface Sent {
  readonly method: 'GET' | 'POST'
  readonly body?: string
  readonly headers?: { readonly [name: string]: string }
  readonly audience?: string
}
interface Got {
  readonly status: number
  readonly text: string
}

const CLIENTS: { readonly [name: string]: (url: string, sent: Sent) => Promise<Got> } = {
  async undici(url, { method, body, headers = {}, audience = AUDIENCE }) {
    const dispatcher = new Agent().compose(provingUndici(wits, { audience }))
    const { statusCode, body: answer } = await requestUndici(url, {
      method,
      dispatcher,
      headers,
      ...(body === undefined ? {} : { body }),
    })
    const got = { status: statusCode, text: await answer.text() }
    await dispatcher.close()
    return got
  },
  async axios(url, { method, body, headers = {}, audience = AUDIENCE }) {
    const instance = prove(axios.create({ validateStatus: null, responseType: 'text' }), wits, { audience })
    const answer = await instance.request<string>({
      url,
      method,
      headers,
      ...(body === undefined ? {} : { data: body }),
    })
    return { status: answer.status, text: String(answer.data) }
  },
  async got(url, { method, body, headers = {}, audience = AUDIENCE }) {
    const client = got.extend(provingGot(wits, { audience }))
    const options = { method, headers, throwHttpErrors: false, retry: { limit: 0 } }
    const answer = await client(url, { ...options, ...(body === undefined ? {} : { body }) })
    return { status: answer.statusCode, text: answer.body }
  },
}

// [authentication.wpt.23]
for (const [name, ask] of Object.entries(CLIENTS)) {
  test(`${name}: each request proves its method, its target and its body`, async () => {
    for (const path of ['/api', '/api?b=2&a=%20c', '/api/%C3%A9/?x=%2F']) {
      assert.deepEqual(await ask(`${origin}${path}`, { method: 'GET' }), {
        status: 200,
        text: `${wit.subject} GET false `,
      })
    }
    const headers = { 'content-type': 'text/plain' }
    for (let times = 0; times < 2; times += 1) {
      const answer = await ask(`${origin}/api?x=1`, { method: 'POST', body: 'hello', headers })
      assert.deepEqual(answer, { status: 200, text: `${wit.subject} POST true hello` })
    }
  })

  test(`${name}: a proof for another service is refused there, and none is sent where it does not belong`, async () => {
    assert.equal((await ask(`${origin}/api`, { method: 'GET', audience: 'https://other.example' })).status, 401)
    assert.deepEqual(events.at(-1)?.reasons, ['proof.audience_mismatch'])
    const before = seen.length
    await assert.rejects(ask('http://api.example.com/', { method: 'GET' }), /https/)
    await assert.rejects(
      ask(`${origin}/api`, { method: 'GET', headers: { authorization: 'Bearer x' } }),
      /no place for another Authorization/,
    )
    assert.equal(seen.length, before)
    const moved = await ask(`${origin}/moved`, { method: 'GET' })
    assert.equal(moved.status, 307)
    assert.ok(!seen.some(({ url }) => url === '/api/elsewhere'))
  })
}

test('a client that was given no audience says so where it is made', () => {
  for (const make of [
    () => provingUndici(wits, {} as never),
    () => provingGot(wits, {} as never),
    () => prove(axios.create(), wits, {} as never),
    () => provingCalls(grpc, wits, {} as never),
  ]) {
    assert.throws(make, { name: 'TypeError', message: /needs \{ audience \}/ })
  }
})

test('axios: the body that is proven is the one that is sent, after it was transformed', async () => {
  const instance = prove(axios.create({ baseURL: `${origin}/api` }), wits, { audience: AUDIENCE })
  const { data } = await instance.post('/events', { title: 'stand-up' }, { params: { day: 1 } })
  assert.equal(data, `${wit.subject} POST true {"title":"stand-up"}`)
  await assert.rejects(instance.post('/events', Readable.from(['a'])), TypeError)
  await assert.rejects(instance.get('/events', { auth: { username: 'a', password: 'b' } }), /place of the proof/)
})

test('got: a retry carries a proof of its own', async () => {
  const client = got.extend(provingGot(wits, { audience: AUDIENCE }))
  const answer = await client(`${origin}/busy`, {
    retry: { limit: 1, calculateDelay: () => 1 },
  })
  assert.equal(answer.body, `${wit.subject} GET false `)
  const proofs = seen.filter(({ url }) => url === '/busy').map(({ headers }) => headers.authorization)
  assert.equal(proofs.length, 2)
  assert.notEqual(proofs[0], proofs[1])
  await assert.rejects(
    client.post(`${origin}/api`, { body: Readable.from(['a']), retry: { limit: 0 } }),
    /text or bytes/,
  )
})

test('undici: a body that is a stream is not sent without being proven', async () => {
  const dispatcher = new Agent().compose(provingUndici(wits, { audience: AUDIENCE }))
  closers.push(() => dispatcher.close())
  const sending = requestUndici(`${origin}/api`, { method: 'POST', dispatcher, body: Readable.from(['a']) })
  await assert.rejects(sending, /text or bytes/)
  const list = await requestUndici(`${origin}/api`, { method: 'GET', dispatcher, headers: ['x-a', '1', 'x-b', '2'] })
  assert.equal(list.statusCode, 200)
  assert.equal(seen.at(-1)?.headers['x-b'], '2')
  await list.body.dump()
})

test('axios: a request that is sent again carries a proof of its own', async () => {
  const instance = prove(axios.create({ baseURL: origin, validateStatus: null }), wits, { audience: AUDIENCE })
  const first = await instance.post('/api', 'hello')
  const again = await instance.request(first.config)
  assert.deepEqual([first.status, again.status], [200, 200])
  assert.equal(again.data, `${wit.subject} POST true hello`)
})

const TOKENS = { 'txn-token': 'a', 'x-context': 'b' }

// [authentication.wpt.14] [authentication.wpt.15]
for (const [name, send] of Object.entries<(options: ProvingOptions) => Promise<number>>({
  async undici(options) {
    const dispatcher = new Agent().compose(provingUndici(wits, options))
    const { statusCode, body } = await requestUndici(`${origin}/tokens`, { dispatcher, headers: TOKENS })
    await body.dump()
    await dispatcher.close()
    return statusCode
  },
  async axios(options) {
    const instance = prove(axios.create({ validateStatus: null }), wits, options)
    return (await instance.get(`${origin}/tokens`, { headers: TOKENS })).status
  },
  async got(options) {
    const client = got.extend(provingGot(wits, options))
    return (await client(`${origin}/tokens`, { headers: TOKENS, throwHttpErrors: false })).statusCode
  },
})) {
  test(`${name}: other tokens of the request are bound, by a proof and by a signature`, async () => {
    const bundles = domain.bundles
    const httpSignature = { bundles, peer: isExactly(wit.subject) }
    for (const options of [{}, { httpSignature: { ...httpSignature, demandResponse: false } }]) {
      assert.equal(await send({ audience: AUDIENCE, contextTokens: ['x-context'], ...options }), 200)
      // The service decides by a field that this client knows nothing of.
      assert.equal(await send({ audience: AUDIENCE, ...options }), 'httpSignature' in options ? 400 : 401)
      const expected = 'httpSignature' in options ? 'signature.not_covered' : 'proof.other_token_mismatch'
      assert.deepEqual(events.at(-1)?.reasons, [expected])
    }
  })
}

// A response that comes another way than by what checks it is none.
test('with signatures, ways around the check are mistakes of the program', async () => {
  const httpSignature = { bundles: domain.bundles, peer: isExactly(wit.subject) }
  const options = { audience: AUDIENCE, httpSignature }
  const before = seen.length
  const instance = prove(axios.create(), wits, options)
  const gotten = got.extend(provingGot(wits, options), { retry: { limit: 0 } })
  const dispatcher = new Agent().compose(provingUndici(wits, options))
  closers.push(() => dispatcher.close())
  for (const [send, message] of [
    [() => instance.get(`${origin}/api`, { adapter: 'fetch' }), /node:http/],
    [() => instance.get(`${origin}/api`, { adapter: () => Promise.reject(new Error('sent')) }), /node:http/],
    [() => instance.get(`${origin}/api`, { httpVersion: 2 }), /node:http/],
    [() => instance.get(`${origin}/api`, { transport: { request } }), /node:http/],
    [() => gotten(`${origin}/api`, { cache: new Map() }), /without a request function and a cache/],
    [() => gotten(`${origin}/api`, { request }), /without a request function and a cache/],
    [() => text(gotten.stream.post(`${origin}/api`)), /not to the stream/],
    [() => upgrade({ dispatcher, path: '/api', protocol: 'demo', origin } as never), /upgrade/],
    [() => requestUndici(`${origin}/api`, { dispatcher, query: { a: 1 } }), /into the path/],
  ] as const) {
    await assert.rejects(async () => void (await send()), message)
  }
  assert.equal(seen.length, before)
  assert.throws(() => provingCalls(grpc, wits, options as never), { name: 'TypeError', message: /signed/ })
})

test('got: a retry of a signed request is signed anew, and its response is checked', async () => {
  busy = 0
  const demandResponse = false
  const httpSignature = { bundles: domain.bundles, peer: isExactly(wit.subject), demandResponse }
  const client = got.extend(provingGot(wits, { audience: AUDIENCE, httpSignature }))
  const answer = await client(`${origin}/busy?signed`, { retry: { limit: 1, calculateDelay: () => 1 } })
  assert.equal(answer.body, `${wit.subject} GET false `)
  const signatures = seen.filter(({ url }) => url === '/busy?signed').map(({ headers }) => headers.signature)
  assert.equal(new Set(signatures).size, 2)
})

test('a signed response that breaks off is none', async () => {
  const broken = createServer((_, response) => {
    response.writeHead(200, { 'content-length': 10 }).write('half')
    setTimeout(() => response.destroy(), 50)
  })
  broken.listen(0, '127.0.0.1')
  await once(broken, 'listening')
  closers.push(
    () => broken.close(),
    () => broken.closeAllConnections(),
  )
  const url = `http://127.0.0.1:${(broken.address() as AddressInfo).port}/api`
  const options = { audience: AUDIENCE, httpSignature: { bundles: domain.bundles, peer: isExactly(wit.subject) } }
  const dispatcher = new Agent().compose(provingUndici(wits, options))
  closers.push(() => dispatcher.close())
  const lost = { code: 'signature.digest_mismatch' }
  await assert.rejects(prove(axios.create(), wits, options).get(url), lost)
  await assert.rejects(got.extend(provingGot(wits, options), { retry: { limit: 0 } })(url), lost)
  await assert.rejects(requestUndici(url, { dispatcher }), { code: 'UND_ERR_SOCKET' })
})

const echo = {
  echo: {
    path: '/demo.Echo/Echo',
    requestStream: false,
    responseStream: false,
    requestSerialize: (value: string): Buffer => Buffer.from(value),
    requestDeserialize: (bytes: Buffer): string => bytes.toString(),
    responseSerialize: (value: string): Buffer => Buffer.from(value),
    responseDeserialize: (bytes: Buffer): string => bytes.toString(),
  },
} satisfies grpc.ServiceDefinition

test('gRPC: a call is known by its proof, and no handler sees one that was refused', async () => {
  const root = makeRoot('Test gRPC Root', { key: newKey('P-256') })
  const extensions = [subjectAltDns('localhost'), extendedUsage('1.3.6.1.5.5.7.3.1')]
  const { der, key } = makeCertificate({ subject: 'localhost', issuer: root, key: newKey('P-256'), extensions })
  const pair = {
    cert_chain: Buffer.from(encodePem('CERTIFICATE', der)),
    private_key: Buffer.from(key.privateKey.export({ type: 'pkcs8', format: 'pem' })),
  }
  const handled = { times: 0 }
  const service = new grpc.Server({ interceptors: [authenticatedCalls(grpc, authenticator, bound)] })
  service.addService(echo, {
    echo: (call: grpc.ServerUnaryCall<string, string>, done: grpc.sendUnaryData<string>) => {
      handled.times += 1
      done(null, `${callerOf(call.metadata).principal.id} ${call.request}`)
    },
  })
  const port = await new Promise<number>((resolve, reject) =>
    service.bindAsync('localhost:0', grpc.ServerCredentials.createSsl(null, [pair]), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    ),
  )
  closers.push(() => service.forceShutdown())
  const tls = grpc.credentials.createSsl(Buffer.from(encodePem('CERTIFICATE', root.der)))
  const Client = grpc.makeClientConstructor(echo, 'Echo')

  const call = (channel: grpc.ChannelCredentials, metadata = new grpc.Metadata()): Promise<string> => {
    const client = new Client(`localhost:${port}`, channel)
    return new Promise<string>((resolve, reject) =>
      client.makeUnaryRequest(
        echo.echo.path,
        echo.echo.requestSerialize,
        echo.echo.responseDeserialize,
        'hello',
        metadata,
        (error: grpc.ServiceError | null, answer?: string) => (error === null ? resolve(answer ?? '') : reject(error)),
      ),
    ).finally(() => client.close())
  }
  const proven = (audience: string): grpc.ChannelCredentials =>
    grpc.credentials.combineChannelCredentials(tls, provingCalls(grpc, wits, { audience }))

  assert.equal(await call(proven(AUDIENCE)), `${wit.subject} hello`)
  assert.equal(await call(proven(AUDIENCE)), `${wit.subject} hello`)
  const before = handled.times
  const count = events.length
  await assert.rejects(call(tls), { code: grpc.status.UNAUTHENTICATED })
  await assert.rejects(call(proven('https://other.example')), { code: grpc.status.UNAUTHENTICATED })
  const twice = new grpc.Metadata()
  twice.add('workload-identity-token', wit.token)
  await assert.rejects(call(proven(AUDIENCE), twice), { code: grpc.status.UNAUTHENTICATED })
  const request = { method: 'POST', target: echo.echo.path, audience: AUDIENCE, headers: [], signResponse: true }
  const demanding = grpc.Metadata.fromHttp2Headers({ ...signRequest(wit, request, { now: now() }).headers })
  await assert.rejects(call(tls, demanding), { code: grpc.status.UNIMPLEMENTED })
  assert.deepEqual(
    events.slice(count).map(({ reasons }) => reasons),
    [
      ['authentication.missing'],
      ['proof.audience_mismatch'],
      ['authentication.malformed_field'],
      ['signature.cannot_sign'],
    ],
  )
  assert.equal(handled.times, before)
})
