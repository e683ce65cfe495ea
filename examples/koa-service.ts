// Koa: one middleware, and the caller in those behind it.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { provingFetch } from 'aims/fetch'
import { authenticated, callerOf } from 'aims/koa'
import Koa from 'koa'
import { agent, audience, demoDomain } from './support/demo-domain.ts'

const { wits, authenticator } = await demoDomain()
const app = new Koa()
app.use(authenticated(authenticator))
app.use(async (ctx) => {
  ctx.body = `${callerOf(ctx).principal.id} says ${await text(ctx.req)}`
})

const server = app.listen(0, '127.0.0.1')
await once(server, 'listening')
const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/notes`
try {
  const bot = await provingFetch(wits, { audience })(url, { method: 'POST', body: 'hello' })
  assert.equal(await bot.text(), `${agent} says hello`)
  assert.equal((await fetch(url)).status, 401)
  console.log(`${agent} is known to the middleware; nobody: 401`)
} finally {
  server.close()
}
