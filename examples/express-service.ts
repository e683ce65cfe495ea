// A service on Express: one line verifies who calls, a handler asks the policy, and a proving fetch is the client.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { createAuthenticator, createMemoryReplayStore } from 'aims/authentication'
import { authorize, createCedarEngine, httpAction, serviceResource } from 'aims/authorization'
import { noObserver, verificationKey, WorkloadKey } from 'aims/base'
import { bundleSource, emptyBundle, holdWit, issueWit } from 'aims/credentials'
import { authenticated, callerOf } from 'aims/express'
import { provingFetch } from 'aims/fetch'
import { parseTrustDomain, parseWorkloadSpiffeId } from 'aims/identifiers'
import { parsePolicySet } from 'aims/policy'
import express from 'express'

// What a Workload API would give both sides: see workload-api.ts for the real thing.
const trustDomain = parseTrustDomain('example.com')
const authority = WorkloadKey.generate()
const witAuthorities = new Map([[authority.kid, verificationKey(authority.publicKey, { kid: authority.kid })]])
const bundles = bundleSource({ ...emptyBundle(trustDomain), witAuthorities })

async function witOf(path: string): Promise<{ wit: () => ReturnType<typeof holdWit> }> {
  const key = WorkloadKey.generate()
  const subject = parseWorkloadSpiffeId(`spiffe://example.com${path}`)
  const issued = await issueWit({ subject, publicKey: key.publicKey, now: Date.now() / 1000, ttl: 600 }, authority)
  const wit = holdWit({ ...issued, subject, key, profile: 'wimse', hint: '' })
  return { wit: () => wit }
}

const engine = await createCedarEngine(
  await parsePolicySet([
    {
      name: 'events.cedar',
      text: `permit (
        principal == Agent::"spiffe://example.com/agent/calendar-bot", action == Action::"POST", resource
      ) when { context.path == "/api/v1/events" };`,
    },
  ]),
)
const service = serviceResource(parseWorkloadSpiffeId('spiffe://example.com/service/events-api'))
const audience = 'https://api.example.com'

const app = express()
app.use(
  authenticated(
    createAuthenticator({
      bundles,
      audiences: [audience],
      replays: createMemoryReplayStore({ capacity: 1000 }),
      observer: noObserver,
      requireBinding: { method: true, target: true, body: true },
    }),
  ),
)
app.use(express.json())
app.post('/api/v1/events', (request, response) => {
  const { principal } = callerOf(request)
  const action = httpAction(request.method, request.originalUrl)
  const { effect } = authorize({ principal, action, resource: service }, engine)
  response.status(effect === 'allow' ? 201 : 403).json({ caller: principal.id, title: request.body.title })
})

const server = app.listen(0, '127.0.0.1')
await once(server, 'listening')
const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/api/v1/events`
const post = { method: 'POST', body: '{"title":"stand-up"}', headers: { 'content-type': 'application/json' } }
try {
  const bot = await provingFetch(await witOf('/agent/calendar-bot'), { audience })(url, post)
  assert.equal(bot.status, 201)
  assert.deepEqual(await bot.json(), { caller: 'spiffe://example.com/agent/calendar-bot', title: 'stand-up' })

  const other = await provingFetch(await witOf('/agent/other-bot'), { audience })(url, post)
  assert.equal(other.status, 403)

  const nobody = await fetch(url, post)
  assert.equal(nobody.status, 401)
  assert.equal(nobody.headers.get('www-authenticate'), 'WPT')
  console.log('calendar-bot: 201, another agent: 403, nobody: 401')
} finally {
  server.close()
}
