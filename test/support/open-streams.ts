// Servers behind each adapter whose answers do not end by themselves, and a client that holds one of them open.
import { once } from 'node:events'
import {
  createServer,
  type IncomingMessage,
  type RequestListener,
  request,
  type Server,
  type ServerResponse,
} from 'node:http'
import * as http2 from 'node:http2'
import type { AddressInfo } from 'node:net'
import type { Readable, Writable } from 'node:stream'
import * as grpc from '@grpc/grpc-js'
import { serve } from '@hono/node-server'
import { type Authenticator, proofHeaders } from 'aims/authentication'
import { noObserver } from 'aims/base'
import type { Wit } from 'aims/credentials'
import { authenticated as onExpress } from 'aims/express'
import { authenticated as onFastify } from 'aims/fastify'
import { createGate, startSidecar } from 'aims/gateway'
import { authenticatedCalls, provingInterceptor } from 'aims/grpc'
import { authenticated as onHono } from 'aims/hono'
import { parseWorkloadSpiffeId, type WorkloadId } from 'aims/identifiers'
import { authenticated as onKoa } from 'aims/koa'
import { protectMcp } from 'aims/mcp'
import { authenticatedGuard } from 'aims/nest'
import { protect } from 'aims/node'
import { protect as protectWeb } from 'aims/web'
import { authenticatedUpgrade } from 'aims/ws'
import express from 'express'
import { fastify } from 'fastify'
import { Hono } from 'hono'
import Koa from 'koa'
import { WebSocket, WebSocketServer } from 'ws'
import { AUDIENCE } from './identities.ts'

/** What one caller has open. */
export interface OpenStream {
  /** Resolves with the next piece that the server sends. */
  piece(): Promise<string>
  /** How it ended, as the client sees it. */
  readonly ended: Promise<string>
}

/** A server with an adapter in front. */
export interface StreamServer {
  open(wit: Wit): Promise<OpenStream>
  /** Sends a piece to all that is open. */
  send(piece: string): void
  close(): unknown
}

type Start = (authenticator: Authenticator) => Promise<StreamServer>
type Sender = (piece: string) => void

/** Whom a server sends pieces to. */
interface Audience {
  add(send: Sender): void
  send(piece: string): void
}

function audience(): Audience {
  const senders: Sender[] = []
  return {
    add: (send) => void senders.push(send),
    send(piece) {
      for (const one of senders) one(piece)
    },
  }
}

/** What rights of sub-agents call the service behind a sidecar. */
export const STREAM_SERVICE: WorkloadId = parseWorkloadSpiffeId('spiffe://example.com/service/events')

/** Names of adapters, and a server of each. */
export const STREAM_SERVERS: { readonly [name: string]: Start } = {
  node: (authenticator) =>
    overHttp((everybody) => protect(authenticator, (_request, response) => stream(response, everybody))),
  express: (authenticator) =>
    overHttp((everybody) => {
      const app = express().use(onExpress(authenticator), (_request, response) => stream(response, everybody))
      return app as RequestListener
    }),
  koa: (authenticator) =>
    overHttp((everybody) => {
      const app = new Koa().use(onKoa(authenticator)).use((ctx) => {
        ctx.respond = false
        ctx.status = 200
        stream(ctx.res, everybody)
      })
      return app.callback()
    }),
  nest: (authenticator) =>
    overHttp((everybody) => {
      const guard = authenticatedGuard(authenticator)
      return async (request, response) => {
        const http = { getRequest: () => request, getResponse: () => response }
        if (await guard.canActivate({ switchToHttp: () => http })) stream(response, everybody)
      }
    }),
  async fastify(authenticator) {
    const everybody = audience()
    const app = fastify()
    app.addHook('onRequest', onFastify(authenticator))
    app.get('/', (_request, reply) => {
      reply.hijack()
      stream(reply.raw, everybody)
    })
    await app.listen({ port: 0, host: '127.0.0.1' })
    return { ...everybody, open: (wit) => openHttp(portOf(app.server), wit), close: () => closeServer(app.server) }
  },
  hono: (authenticator) =>
    overWeb(
      (everybody) => new Hono().use(onHono(authenticator)).get('/', () => streamed(everybody, 'text/plain')).fetch,
    ),
  // Nothing of node: the adapter sees the Request alone.
  'hono elsewhere': (authenticator) =>
    overWeb((everybody) => {
      const app = new Hono().use(onHono(authenticator)).get('/', () => streamed(everybody, 'text/event-stream'))
      return (request) => app.fetch(request)
    }),
  web: (authenticator) =>
    overWeb((everybody) => protectWeb(authenticator, () => streamed(everybody, 'text/event-stream; charset=utf-8'))),
  async http2(authenticator) {
    const everybody = audience()
    const server = http2.createServer(
      protect<http2.Http2ServerRequest, http2.Http2ServerResponse>(authenticator, (_request, response) =>
        stream(response, everybody),
      ),
    )
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    // One connection for all callers: what is ended is one stream of it.
    const client = http2.connect(`http://127.0.0.1:${portOf(server)}`)
    return {
      ...everybody,
      async open(wit) {
        const opened = client.request({ ':method': 'GET', ':path': '/', ...proof(wit) })
        opened.on('error', () => undefined)
        await once(opened, 'response')
        return reading(opened, () => `reset ${opened.rstCode}`)
      },
      close() {
        client.destroy()
        server.close()
      },
    }
  },
  async ws(authenticator) {
    const everybody = audience()
    const sockets = new WebSocketServer({ noServer: true })
    sockets.on('connection', (socket) => everybody.add((piece) => socket.send(piece)))
    const server = createServer()
    server.on('upgrade', authenticatedUpgrade(authenticator, sockets))
    return { ...everybody, ...(await webSockets(server)) }
  },
  async grpc(authenticator) {
    const everybody = audience()
    const bytes = (value: string): Buffer => Buffer.from(value)
    const down = {
      path: '/demo.Events/Down',
      requestStream: true,
      responseStream: true,
      requestSerialize: bytes,
      requestDeserialize: String,
      responseSerialize: bytes,
      responseDeserialize: String,
    } as const
    const server = new grpc.Server({ interceptors: [authenticatedCalls(grpc, authenticator)] })
    server.addService(
      { down },
      {
        down: (call: grpc.ServerDuplexStream<string, string>) => everybody.add((piece) => call.write(piece)),
      },
    )
    const port = await new Promise<number>((resolve, reject) =>
      server.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), (error, bound) =>
        error === null ? resolve(bound) : reject(error),
      ),
    )
    const clients: grpc.Client[] = []
    return {
      ...everybody,
      async open(wit) {
        const interceptors = [provingInterceptor(grpc, { wit: () => wit }, { audience: AUDIENCE })]
        const client = new grpc.Client(`127.0.0.1:${port}`, grpc.credentials.createInsecure(), { interceptors })
        clients.push(client)
        const call = client.makeBidiStreamRequest(down.path, bytes, String)
        const pieces = queue()
        call.on('data', (data: string) => pieces.put(data))
        const ended = new Promise<string>((resolve) =>
          call.on('error', ({ code, details }: grpc.ServiceError) => resolve(`${grpc.status[code]} ${details}`)),
        )
        return { piece: pieces.take, ended }
      },
      close() {
        for (const client of clients) client.close()
        server.forceShutdown()
      },
    }
  },
  mcp: (authenticator) =>
    overHttp((everybody) =>
      protectMcp(authenticator, (_request, response) => stream(response, everybody), {
        resource: AUDIENCE,
        observer: noObserver,
        hosts: ['127.0.0.1'],
      }),
    ),
  async sidecar(authenticator) {
    const behind = await overHttp((everybody) => (_request, response) => stream(response, everybody))
    return behindSidecar(authenticator, behind, openHttp)
  },
  async 'ws behind a sidecar'(authenticator) {
    const everybody = audience()
    const server = createServer()
    const sockets = new WebSocketServer({ server })
    sockets.on('connection', (socket) => everybody.add((piece) => socket.send(piece)))
    return behindSidecar(authenticator, { ...everybody, ...(await webSockets(server)) }, openWebSocket)
  },
}

type StreamServerAt = StreamServer & { readonly port: number }

async function overHttp(handler: (everybody: Audience) => RequestListener): Promise<StreamServerAt> {
  const everybody = audience()
  const server = createServer(handler(everybody))
  const port = await listening(server)
  return { ...everybody, port, open: (wit) => openHttp(port, wit), close: () => closeServer(server) }
}

type Fetch = (request: Request, env?: object) => Response | Promise<Response>

async function overWeb(handler: (everybody: Audience) => Fetch): Promise<StreamServer> {
  const everybody = audience()
  const { port, server } = await new Promise<{ port: number; server: Server }>((resolve) => {
    const started = serve({ fetch: handler(everybody), port: 0, hostname: '127.0.0.1' }, ({ port: bound }) =>
      resolve({ port: bound, server: started as Server }),
    )
  })
  return { ...everybody, open: (wit) => openHttp(port, wit), close: () => closeServer(server) }
}

async function webSockets(server: Server): Promise<Pick<StreamServerAt, 'port' | 'open' | 'close'>> {
  const port = await listening(server)
  return { port, open: (wit) => openWebSocket(port, wit), close: () => closeServer(server) }
}

async function behindSidecar(
  authenticator: Authenticator,
  behind: StreamServerAt,
  open: (port: number, wit: Wit) => Promise<OpenStream>,
): Promise<StreamServer> {
  const sidecar = await startSidecar({
    gate: createGate({ authenticator, observer: noObserver, service: STREAM_SERVICE }),
    listen: { host: '127.0.0.1', port: 0 },
    service: { address: { host: '127.0.0.1', port: behind.port } },
  })
  return {
    send: behind.send,
    open: (wit) => open(sidecar.port ?? 0, wit),
    async close() {
      behind.close()
      await sidecar.close()
    },
  }
}

// A first piece, so that the client sees that it is let in.
function stream(response: ServerResponse | http2.Http2ServerResponse, everybody: Audience): void {
  response.setHeader('content-type', 'text/event-stream')
  const writable: Writable = response
  writable.write('open')
  everybody.add((piece) => void writable.write(piece))
}

function streamed(everybody: Audience, type: string): Response {
  const body = new ReadableStream<Uint8Array>({
    start: (controller) =>
      everybody.add((piece) => {
        try {
          controller.enqueue(Buffer.from(piece))
        } catch {
          // The reader has gone.
        }
      }),
  })
  return new Response(body, { headers: { 'content-type': type } })
}

function proof(wit: Wit): { readonly [field: string]: string } {
  const now = Math.floor(Date.now() / 1000)
  return { ...proofHeaders(wit, { method: 'GET', target: '/', audience: AUDIENCE, body: Buffer.alloc(0) }, { now }) }
}

async function openHttp(port: number, wit: Wit): Promise<OpenStream> {
  const outgoing = request({ port, host: '127.0.0.1', agent: false, headers: proof(wit) }).end()
  const [answer] = (await once(outgoing, 'response')) as [IncomingMessage]
  if (answer.statusCode !== 200) throw new Error(`answered ${answer.statusCode}`)
  answer.on('error', () => undefined)
  return reading(answer, () => (answer.complete ? 'complete' : 'broken off'))
}

async function openWebSocket(port: number, wit: Wit): Promise<OpenStream> {
  const socket = new WebSocket(`ws://127.0.0.1:${port}/`, { headers: proof(wit) })
  const pieces = queue()
  socket.on('message', (data) => pieces.put(String(data)))
  const ended = new Promise<string>((resolve) => {
    socket.once('close', (code, reason) => resolve(`${code} ${reason}`.trim()))
  })
  await once(socket, 'open')
  return { piece: pieces.take, ended }
}

function reading(readable: Readable, how: () => string): OpenStream {
  const pieces = queue()
  readable.on('data', (data) => pieces.put(String(data)))
  return { piece: pieces.take, ended: new Promise((resolve) => readable.once('close', () => resolve(how()))) }
}

function queue(): { put(piece: string): void; take(): Promise<string> } {
  const pieces: string[] = []
  const waiting: ((piece: string) => void)[] = []
  return {
    put(piece) {
      const next = waiting.shift()
      if (next === undefined) pieces.push(piece)
      else next(piece)
    },
    take: () =>
      new Promise((resolve) => {
        const piece = pieces.shift()
        if (piece === undefined) waiting.push(resolve)
        else resolve(piece)
      }),
  }
}

async function listening(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return portOf(server)
}

function closeServer(server: Server): void {
  server.close()
  server.closeAllConnections()
}

function portOf(server: Pick<Server, 'address'>): number {
  return (server.address() as AddressInfo).port
}
