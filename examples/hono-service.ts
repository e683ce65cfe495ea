// Hono: a middleware, and the caller in the handler. The client is the fast one, on node:http's own agent.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { json } from 'node:stream/consumers'
import { serve } from '@hono/node-server'
import { authenticated, callerOf } from 'aims/hono'
import { isBelow, parseWorkloadSpiffeId } from 'aims/identifiers'
import { provingRequest } from 'aims/node'
import { Hono } from 'hono'
import { agent, audience, demoDomain } from './support/demo-domain.ts'

const { wits, authenticator } = await demoDomain()

const app = new Hono()
// Agents only, whole path segments.
app.use(authenticated(authenticator, { peer: isBelow(parseWorkloadSpiffeId('spiffe://example.com/agent')) }))
app.get('/whoami', (c) => {
  const { id, method } = callerOf(c).principal
  return c.json({ caller: id, method })
})

const server = serve({ fetch: app.fetch, port: 0, hostname: '127.0.0.1' })
if (!server.listening) await once(server, 'listening')
const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/whoami`
try {
  const response = await provingRequest(url, { wits, audience })
  assert.equal(response.statusCode, 200)
  assert.deepEqual(await json(response), { caller: agent, method: 'wit+wpt' })
  const elsewhere = await provingRequest(url, { wits, audience: 'https://other.example.com' })
  assert.equal(elsewhere.statusCode, 401)
  elsewhere.resume()
  console.log(`${agent} is known to the handler; a proof for another service is refused`)
} finally {
  server.close()
}
