// Fastify: one hook, and the caller in the handler.
import assert from 'node:assert/strict'
import { authenticated, callerOf } from 'aims/fastify'
import { provingFetch } from 'aims/fetch'
import { fastify } from 'fastify'
import { agent, audience, demoDomain } from './support/demo-domain.ts'

const { wits, authenticator } = await demoDomain()
const app = fastify()
app.addHook('onRequest', authenticated(authenticator))
app.post('/notes', (request) => ({ caller: callerOf(request).principal.id, note: request.body }))

const url = `${await app.listen({ port: 0, host: '127.0.0.1' })}/notes`
const post = { method: 'POST', body: '{"title":"stand-up"}', headers: { 'content-type': 'application/json' } }
try {
  const bot = await provingFetch(wits, { audience })(url, post)
  assert.deepEqual(await bot.json(), { caller: agent, note: { title: 'stand-up' } })
  assert.equal((await fetch(url, post)).status, 401)
  console.log(`${agent} is known to the handler; nobody: 401`)
} finally {
  await app.close()
}
