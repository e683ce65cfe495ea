// A server of bench/http-server.ts, as a process of its own.
import { createHash, generateKeyPairSync, sign, verify } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type RequestListener, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { parentPort, Worker, workerData } from 'node:worker_threads'
import { createAdaptorServer } from '@hono/node-server'
import {
  type Authenticator,
  createAuthenticator,
  createMemoryReplayStore,
  type MemoryReplayStore,
  openMemoryReplayStore,
} from 'aims/authentication'
import { noObserver } from 'aims/base'
import { bundleSource, parseBundle } from 'aims/credentials'
import { authenticated as onExpress } from 'aims/express'
import { authenticated as onFastify } from 'aims/fastify'
import { authenticated as onHono } from 'aims/hono'
import { parseTrustDomain } from 'aims/identifiers'
import { authenticated as onKoa } from 'aims/koa'
import { protect } from 'aims/node'
import express from 'express'
import { fastify, type onRequestHookHandler } from 'fastify'
import { Hono } from 'hono'
import { createLocalJWKSet, importJWK, type JWK, jwtVerify } from 'jose'
import Koa from 'koa'

export const AUDIENCE = 'https://api.example.com'

/** What a server does with each request before it says ok. */
export const KINDS = [
  'node:http, one bare verification',
  'node:http, aims',
  'node:http, aims, two threads',
  'node:http, jose, WIT cached',
  'node:http, jose as one would write it',
  'node:http, nothing',
  'express, one bare verification',
  'express, aims',
  'fastify, one bare verification',
  'fastify, aims',
  'hono, one bare verification',
  'hono, aims',
  'koa, one bare verification',
  'koa, aims',
] as const
export type ServerKind = (typeof KINDS)[number]

const OK = 'ok'

const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const TEXT = Buffer.alloc(300, 'a')
const SIGNATURE = sign('sha256', TEXT, privateKey)

function verifyThen<T>(next: () => T): T {
  if (!verify('sha256', TEXT, publicKey, SIGNATURE)) throw new Error('not verified')
  return next()
}
const verifyOnFastify: onRequestHookHandler = (_request, _reply, done) => verifyThen(done)

function authenticatorOf(bundle: string, replays = createMemoryReplayStore({ capacity: 1_000_000 })): Authenticator {
  const trustDomain = parseTrustDomain('example.com')
  return createAuthenticator({
    bundles: bundleSource(parseBundle(bundle, trustDomain).bundle),
    audiences: [AUDIENCE],
    replays,
    observer: noObserver,
  })
}

const BUILD: { readonly [kind in ServerKind]: (bundle: string) => Server | Promise<Server> } = {
  'node:http, nothing': () => createServer((_, response) => response.end(OK)),
  'node:http, one bare verification': () => createServer((_, response) => verifyThen(() => response.end(OK))),
  'node:http, aims': (bundle) => aimsServer(bundle),
  'node:http, aims, two threads': (bundle) => twoThreads(bundle),
  'node:http, jose, WIT cached': (bundle) => createServer(joseListener(bundle, new Map())),
  'node:http, jose as one would write it': (bundle) => createServer(joseListener(bundle)),
  'express, one bare verification': () =>
    expressServer((app) => app.use((_request, _response, next) => verifyThen(next))),
  'express, aims': (bundle) => expressServer((app) => app.use(onExpress(authenticatorOf(bundle)))),
  'fastify, one bare verification': () => fastifyServer((app) => app.addHook('onRequest', verifyOnFastify)),
  'fastify, aims': (bundle) => fastifyServer((app) => app.addHook('onRequest', onFastify(authenticatorOf(bundle)))),
  'hono, one bare verification': () => honoServer((app) => app.use((_, next) => verifyThen(next))),
  'hono, aims': (bundle) => honoServer((app) => app.use(onHono(authenticatorOf(bundle)))),
  'koa, one bare verification': () => koaServer((app) => app.use((_, next) => verifyThen(next))),
  'koa, aims': (bundle) => koaServer((app) => app.use(onKoa(authenticatorOf(bundle)))),
}

function aimsServer(bundle: string, replays?: MemoryReplayStore): Server {
  return createServer(protect(authenticatorOf(bundle, replays), (_, response) => response.end(OK)))
}

// On one port and on one store; the system hands the connections out.
async function twoThreads(bundle: string): Promise<Server> {
  const replays = createMemoryReplayStore({ capacity: 1_000_000 })
  const server = aimsServer(bundle, replays)
  server.listen({ port: 0, host: '127.0.0.1', reusePort: true })
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const second = new Worker(new URL(import.meta.url), { workerData: { bundle, memory: replays.memory, port } })
  await once(second, 'message')
  return server
}

function secondThread({ bundle, memory, port }: { bundle: string; memory: SharedArrayBuffer; port: number }): void {
  const server = aimsServer(bundle, openMemoryReplayStore(memory))
  waitForever(server)
  server.listen({ port, host: '127.0.0.1', reusePort: true }, () => parentPort?.postMessage('listening'))
}

// Connections wait while the other servers have their turn, the first time for minutes.
function waitForever(server: Server): void {
  server.keepAliveTimeout = 0
  server.headersTimeout = 0
  server.requestTimeout = 0
}

function expressServer(more: (app: ReturnType<typeof express>) => unknown): Server {
  const app = express()
  more(app)
  app.use((_, response) => response.end(OK))
  return createServer(app as RequestListener)
}

async function fastifyServer(more: (app: ReturnType<typeof fastify>) => unknown): Promise<Server> {
  const app = fastify()
  more(app)
  app.get('/*', async () => OK)
  await app.ready()
  return app.server
}

function honoServer(more: (app: Hono<never>) => unknown): Server {
  const app = new Hono<never>()
  more(app)
  app.all('/*', (c) => c.text(OK))
  return createAdaptorServer({ fetch: app.fetch }) as Server
}

function koaServer(more: (app: Koa) => unknown): Server {
  const app = new Koa()
  more(app)
  app.use((ctx) => {
    ctx.body = OK
  })
  return createServer(app.callback())
}

function joseListener(bundle: string, cache?: Map<string, Awaited<ReturnType<typeof importJWK>>>): RequestListener {
  const parsed = JSON.parse(bundle) as { keys: (JWK & { use: string })[] }
  const keys = createLocalJWKSet({ keys: parsed.keys.map(({ use: _, ...key }) => key) })
  const seen = new Set<string>()
  return async (request, response) => {
    const wit = String(request.headers['workload-identity-token'])
    const proof = String(request.headers.authorization).slice(4)
    let key = cache?.get(wit)
    if (key === undefined) {
      const { payload } = await jwtVerify(wit, keys, { typ: 'wit+jwt' })
      const { jwk } = payload.cnf as { jwk: JWK }
      key = await importJWK(jwk)
      cache?.set(wit, key)
    }
    const { payload } = await jwtVerify(proof, key, { typ: 'wpt+jwt', audience: AUDIENCE })
    const isBound = payload.wth === createHash('sha256').update(wit).digest('base64url')
    if (!isBound || payload.jti === undefined || seen.has(payload.jti)) response.statusCode = 401
    seen.add(payload.jti ?? '')
    response.end(OK)
  }
}

if (parentPort !== null) secondThread(workerData)

const isKind = (text: string | undefined): text is ServerKind => KINDS.some((kind) => kind === text)
const [kind, bundle = ''] = process.argv.slice(2)
if (parentPort === null && process.send !== undefined && isKind(kind)) await run(kind, bundle)

async function run(which: ServerKind, given: string): Promise<void> {
  const server = await BUILD[which](given)
  waitForever(server)
  if (!server.listening) {
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
  }
  process.on('disconnect', () => process.exit())
  process.on('message', () => {
    const { user, system } = process.cpuUsage()
    process.send?.(user + system)
  })
  process.send?.((server.address() as AddressInfo).port)
}
