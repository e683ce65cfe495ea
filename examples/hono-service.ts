// The same on Hono: a middleware, and the caller in the context. The client is the fast one, on node:http's own agent.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { serve } from '@hono/node-server'
import { createAuthenticator, createMemoryReplayStore } from 'aims/authentication'
import { noObserver, verificationKey, WorkloadKey } from 'aims/base'
import { bundleSource, emptyBundle, holdWit, issueWit } from 'aims/credentials'
import { type AuthenticatedEnv, authenticated } from 'aims/hono'
import { isBelow, parseTrustDomain, parseWorkloadSpiffeId } from 'aims/identifiers'
import { provingRequest } from 'aims/node'
import { Hono } from 'hono'

const trustDomain = parseTrustDomain('example.com')
const authority = WorkloadKey.generate()
const witAuthorities = new Map([[authority.kid, verificationKey(authority.publicKey, { kid: authority.kid })]])
const subject = parseWorkloadSpiffeId('spiffe://example.com/agent/calendar-bot')
const key = WorkloadKey.generate()
const issued = await issueWit({ subject, publicKey: key.publicKey, now: Date.now() / 1000, ttl: 600 }, authority)
const wits = { wit: () => holdWit({ ...issued, subject, key, profile: 'wimse', hint: '' }) }

const audience = 'https://api.example.com'
const authenticator = createAuthenticator({
  bundles: bundleSource({ ...emptyBundle(trustDomain), witAuthorities }),
  audiences: [audience],
  replays: createMemoryReplayStore({ capacity: 1000 }),
  observer: noObserver,
  // Agents only, whole path segments.
  peer: isBelow(parseWorkloadSpiffeId('spiffe://example.com/agent')),
})

const app = new Hono<AuthenticatedEnv>()
app.use(authenticated(authenticator))
app.get('/whoami', (c) => c.json({ caller: c.get('principal').id, method: c.get('principal').method }))

const server = serve({ fetch: app.fetch, port: 0, hostname: '127.0.0.1' })
if (!server.listening) await once(server, 'listening')
const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/whoami`
try {
  const response = await provingRequest(url, { wits, audience })
  assert.equal(response.statusCode, 200)
  let text = ''
  for await (const chunk of response) text += chunk
  assert.deepEqual(JSON.parse(text), { caller: subject, method: 'wit+wpt' })
  const elsewhere = await provingRequest(url, { wits, audience: 'https://other.example.com' })
  assert.equal(elsewhere.statusCode, 401)
  elsewhere.resume()
  console.log(`${subject} is known to the handler; a proof for another service is refused`)
} finally {
  server.close()
}
