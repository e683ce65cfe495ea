// One server per adapter, each on a free port. A handler answers with the caller and the body as it reads it.
import { once } from 'node:events'
import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { serve } from '@hono/node-server'
import type { Authenticator } from 'aims/authentication'
import { callerOf as callerOfExpress, authenticated as onExpress } from 'aims/express'
import { callerOf as callerOfFastify, authenticated as onFastify } from 'aims/fastify'
import { callerOf as callerOfHono, authenticated as onHono } from 'aims/hono'
import { callerOf as callerOfKoa, authenticated as onKoa } from 'aims/koa'
import { authenticatedGuard, callerOf as callerOfNest } from 'aims/nest'
import { protect } from 'aims/node'
import { protect as protectWeb } from 'aims/web'
import express from 'express'
import { fastify } from 'fastify'
import { Hono } from 'hono'
import Koa from 'koa'

export interface AdapterServer {
  readonly port: number
  close(): void
}

export const MAX_BODY = 1000
const LIMIT = { maxBody: MAX_BODY }

/** What every handler answers. */
export interface Answer {
  readonly caller: string
  readonly correlationId: string
  readonly body: string
}

/** Names of adapters, and how each is put in front of a handler. All requests to `/api` reach it. */
export const ADAPTER_SERVERS: { readonly [name: string]: (authenticator: Authenticator) => Promise<AdapterServer> } = {
  node: (authenticator) =>
    listening(
      createServer(
        protect(
          authenticator,
          async (request, response, { principal, correlationId }) =>
            answer(response, request, { caller: principal.id, correlationId }),
          LIMIT,
        ),
      ),
    ),
  express: (authenticator) => {
    const app = express()
    app.use('/api', onExpress(authenticator, LIMIT), express.text({ type: '*/*' }), (request, response) => {
      const body = typeof request.body === 'string' ? request.body : ''
      const { principal, correlationId } = callerOfExpress(request)
      response.json({ caller: principal.id, correlationId, body })
    })
    return listening(createServer(app as RequestListener))
  },
  fastify: async (authenticator) => {
    const app = fastify()
    app.addHook('onRequest', onFastify(authenticator, LIMIT))
    app.removeAllContentTypeParsers()
    app.addContentTypeParser('*', { parseAs: 'string' }, (_request, body, done) => done(null, body))
    app.all('/api/*', async (request): Promise<Answer> => {
      const { principal, correlationId } = callerOfFastify(request)
      return { caller: principal.id, correlationId, body: typeof request.body === 'string' ? request.body : '' }
    })
    await app.listen({ port: 0, host: '127.0.0.1' })
    return { port: portOf(app.server), close: () => void app.close() }
  },
  hono: (authenticator) => {
    const app = new Hono()
    app.use(onHono(authenticator, LIMIT))
    app.all('/api/*', async (c) => {
      const { principal, correlationId } = callerOfHono(c)
      return c.json({ caller: principal.id, correlationId, body: await c.req.text() })
    })
    return serving(app.fetch)
  },
  koa: (authenticator) => {
    const app = new Koa()
    app.use(onKoa(authenticator, LIMIT)).use(async (ctx) => {
      const { principal, correlationId } = callerOfKoa(ctx)
      ctx.body = { caller: principal.id, correlationId, body: await text(ctx.req) }
    })
    return listening(createServer(app.callback()))
  },
  // As NestJS calls a guard: its own answer to a `false` finds the headers sent.
  nest: (authenticator) => {
    const guard = authenticatedGuard(authenticator, LIMIT)
    return listening(
      createServer(async (request, response) => {
        const http = { getRequest: () => request, getResponse: () => response }
        if (await guard.canActivate({ switchToHttp: () => http })) {
          const { principal, correlationId } = callerOfNest(request)
          await answer(response, request, { caller: principal.id, correlationId })
        } else if (!response.headersSent) response.writeHead(403).end()
      }),
    )
  },
  // What route handlers of Next.js, and Bun, Deno and Workers take and return.
  web: (authenticator) =>
    serving(
      protectWeb(
        authenticator,
        async (request, { principal, correlationId }) =>
          Response.json({ caller: principal.id, correlationId, body: await request.text() }),
        LIMIT,
      ),
    ),
}

async function answer(response: ServerResponse, request: IncomingMessage, caller: Omit<Answer, 'body'>): Promise<void> {
  response.end(JSON.stringify({ ...caller, body: await text(request) }))
}

async function listening(server: Server): Promise<AdapterServer> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return { port: portOf(server), close: () => closeServer(server) }
}

function serving(fetch: (request: Request) => Response | Promise<Response>): Promise<AdapterServer> {
  return new Promise((resolve) => {
    const server = serve({ fetch, port: 0, hostname: '127.0.0.1' }, ({ port }) =>
      resolve({ port, close: () => closeServer(server as Server) }),
    )
  })
}

function closeServer(server: Server): void {
  server.close()
  server.closeAllConnections()
}

function portOf(server: Pick<Server, 'address'>): number {
  return (server.address() as AddressInfo).port
}
