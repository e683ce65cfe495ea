// Clients of gRPC that prove who calls by an interceptor: every kind of call, and every attempt.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { after, test } from 'node:test'
import * as grpc from '@grpc/grpc-js'
import { createAuthenticator, createMemoryReplayStore, type ProofRequest, proofHeaders } from 'aims/authentication'
import type { AuditEvent } from 'aims/base'
import type { WitSource } from 'aims/credentials'
import {
  authenticatedCalls,
  callerOf,
  type ProvingInterceptorOptions,
  provingCalls,
  provingInterceptor,
} from 'aims/grpc'
import { AUDIENCE, testDomain } from '../support/identities.ts'

const domain = testDomain('example.com', { now: Math.floor(Date.now() / 1000) })
const wit = await domain.wit()
const wits: WitSource = { wit: () => wit }
const events: AuditEvent[] = []
const seen: string[] = []
const authenticator = createAuthenticator({
  bundles: domain.bundles,
  audiences: [AUDIENCE],
  replays: createMemoryReplayStore({ capacity: 1000 }),
  contextTokens: ['x-context'],
  observer: { record: async (event) => void events.push(event) },
})

const method = (name: string, requestStream: boolean, responseStream: boolean) => ({
  path: `/demo.Echo/${name}`,
  requestStream,
  responseStream,
  requestSerialize: (value: string): Buffer => Buffer.from(value),
  requestDeserialize: (bytes: Buffer): string => bytes.toString(),
  responseSerialize: (value: string): Buffer => Buffer.from(value),
  responseDeserialize: (bytes: Buffer): string => bytes.toString(),
})
const echo = {
  unary: method('Unary', false, false),
  up: method('Up', true, false),
  down: method('Down', false, true),
  both: method('Both', true, true),
  flaky: method('Flaky', false, false),
} satisfies grpc.ServiceDefinition

const caller = ({ metadata }: { readonly metadata: grpc.Metadata }): string => {
  seen.push(String(metadata.get('authorization')[0]))
  return callerOf(metadata).principal.id
}
let failures = 0
const server = new grpc.Server({
  interceptors: [authenticatedCalls(grpc, authenticator, { requireBinding: { method: true, target: true } })],
})
server.addService(echo, {
  unary: (call: grpc.ServerUnaryCall<string, string>, done: grpc.sendUnaryData<string>) => done(null, caller(call)),
  async up(call: grpc.ServerReadableStream<string, string>, done: grpc.sendUnaryData<string>) {
    const parts: string[] = await call.toArray()
    done(null, `${caller(call)} ${parts.join()}`)
  },
  down(call: grpc.ServerWritableStream<string, string>) {
    call.write(caller(call))
    call.end()
  },
  both(call: grpc.ServerDuplexStream<string, string>) {
    const id = caller(call)
    call.on('data', (part: string) => call.write(`${id} ${part}`)).on('end', () => call.end())
  },
  flaky(call: grpc.ServerUnaryCall<string, string>, done: grpc.sendUnaryData<string>) {
    const id = caller(call)
    failures -= 1
    if (failures >= 0) done({ code: grpc.status.UNAVAILABLE })
    else done(null, id)
  },
})
const port = await new Promise<number>((resolve, reject) =>
  server.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), (error, bound) =>
    error === null ? resolve(bound) : reject(error),
  ),
)
const clients: grpc.Client[] = []
after(() => {
  for (const client of clients) client.close()
  server.forceShutdown()
})

const RETRYING = JSON.stringify({
  methodConfig: [
    {
      name: [{}],
      retryPolicy: {
        maxAttempts: 4,
        initialBackoff: '0.01s',
        maxBackoff: '0.01s',
        backoffMultiplier: 1,
        retryableStatusCodes: ['UNAVAILABLE'],
      },
    },
  ],
})

function clientFor(options: Partial<ProvingInterceptorOptions> = {}, target = `127.0.0.1:${port}`): grpc.Client {
  const interceptors = [provingInterceptor(grpc, wits, { audience: AUDIENCE, ...options })]
  const client = new grpc.Client(target, grpc.credentials.createInsecure(), {
    interceptors,
    'grpc.service_config': RETRYING,
  })
  clients.push(client)
  return client
}

function ask(
  client: grpc.Client,
  { path, requestSerialize, responseDeserialize }: (typeof echo)['unary'] = echo.unary,
  fields: { readonly [name: string]: string } = {},
  options: grpc.CallOptions = {},
): Promise<string> {
  const metadata = new grpc.Metadata()
  for (const [name, value] of Object.entries(fields)) metadata.set(name, value)
  return new Promise((resolve, reject) =>
    client.makeUnaryRequest(path, requestSerialize, responseDeserialize, 'hello', metadata, options, (error, answer) =>
      error === null ? resolve(answer ?? '') : reject(error),
    ),
  )
}

test('calls of every kind are proven when they are opened, each by a proof of its own', async () => {
  const client = clientFor()
  seen.length = 0
  assert.equal(await ask(client), wit.subject)
  assert.equal(await ask(client), wit.subject)

  const { requestSerialize, responseDeserialize } = echo.unary
  const up = await new Promise<string>((resolve, reject) => {
    const call = client.makeClientStreamRequest<string, string>(
      echo.up.path,
      requestSerialize,
      responseDeserialize,
      (error, answer = '') => (error === null ? resolve(answer) : reject(error)),
    )
    call.write('a')
    call.write('b')
    call.end()
  })
  assert.equal(up, `${wit.subject} a,b`)

  const down = client.makeServerStreamRequest(echo.down.path, requestSerialize, responseDeserialize, 'hello')
  assert.deepEqual(await down.toArray(), [wit.subject])

  const both = client.makeBidiStreamRequest<string, string>(echo.both.path, requestSerialize, responseDeserialize)
  both.write('a')
  assert.deepEqual(await once(both, 'data'), [`${wit.subject} a`])
  both.end()
  assert.deepEqual(await both.toArray(), [])

  assert.equal(seen.length, 5)
  assert.equal(new Set(seen).size, 5)
})

test('an attempt that grpc-js makes again has a proof of its own', async () => {
  seen.length = 0
  failures = 2
  assert.equal(await ask(clientFor(), echo.flaky), wit.subject)
  assert.equal(seen.length, 3)
  assert.equal(new Set(seen).size, 3)
})

test('tokens of the metadata are bound', async () => {
  const tokens = { 'txn-token': 'a', 'x-context': 'b' }
  assert.equal(await ask(clientFor({ contextTokens: ['x-context'] }), echo.unary, tokens), wit.subject)
  const cases: readonly (readonly [grpc.Client, { readonly [name: string]: string }, string])[] = [
    [clientFor(), { 'x-context': 'b' }, 'proof.other_token_mismatch'],
    [clientFor({ audience: 'https://other.example' }), {}, 'proof.audience_mismatch'],
  ]
  for (const [client, fields, reason] of cases) {
    await assert.rejects(ask(client, echo.unary, fields), { code: grpc.status.UNAUTHENTICATED })
    assert.deepEqual(events.at(-1)?.reasons, [reason])
  }
  const before = seen.length
  await assert.rejects(
    ask(clientFor(), echo.unary, { authorization: 'Bearer x' }),
    /no place for another Authorization/,
  )
  assert.equal(seen.length, before)
})

test('a proof that was seen, or is for another call, opens none', async () => {
  const bare = new grpc.Client(`127.0.0.1:${port}`, grpc.credentials.createInsecure())
  clients.push(bare)
  const proofFor = (change: Partial<ProofRequest> = {}): { readonly [name: string]: string } => {
    const request = { method: 'POST', target: echo.unary.path, audience: AUDIENCE, ...change }
    return { ...proofHeaders(wit, request, { now: Math.floor(Date.now() / 1000) }) }
  }
  const good = proofFor()
  assert.equal(await ask(bare, echo.unary, good), wit.subject)
  for (const [fields, reason] of [
    [{}, 'authentication.missing'],
    [good, 'proof.replayed'],
    [proofFor({ target: echo.both.path }), 'proof.target_mismatch'],
    [proofFor({ method: 'GET' }), 'proof.method_mismatch'],
    [proofFor({ body: Buffer.from('hello') }), 'proof.body_mismatch'],
  ] as const) {
    await assert.rejects(ask(bare, echo.unary, fields), { code: grpc.status.UNAUTHENTICATED })
    assert.deepEqual(events.at(-1)?.reasons, [reason])
  }
})

// [authentication.wpt.23]
test('a proof goes to another machine over TLS only', async () => {
  const elsewhere = ['api.example.com:443', 'dns:///api.example.com', 'ipv4:10.0.0.1:443', 'localhost.example.com:1']
  for (const target of [...elsewhere, 'ipv4:127.0.0.1:1,10.0.0.1:1', 'dns:127.0.0.1.example.com']) {
    await assert.rejects(ask(clientFor({}, target)), { name: 'TypeError', message: /over TLS/ }, target)
  }
  assert.equal(await ask(clientFor({}, `dns:///localhost:${port}`)), wit.subject)
  assert.equal(await ask(clientFor({}, `ipv4:127.0.0.1:${port}`)), wit.subject)
  // Who says that there is TLS is believed, and nothing listens there.
  await assert.rejects(ask(clientFor({ assumeTls: true }, 'ipv4:127.0.0.1:1')), { code: grpc.status.UNAVAILABLE })
  // Credentials of calls are combined with a channel that has TLS, and with no other.
  const proving = provingCalls(grpc, wits, { audience: AUDIENCE })
  assert.throws(
    () => grpc.credentials.combineChannelCredentials(grpc.credentials.createInsecure(), proving),
    /insecure/,
  )
})
