// Two organisations, each with its own identity server, trust each other's agents without sharing a key: each fetches the
// other's bundle from its bundle endpoint. An agent of a.example calls a service of b.example by mTLS and by WIT and WPT, until
// b.example ends the relationship. All state is in a temporary directory.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, request } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { TLSSocket } from 'node:tls'
import {
  createAuthenticator,
  createMemoryReplayStore,
  mtlsAgent,
  peerPrincipal,
  proofHeaders,
  rotatingServer,
  serverTlsOptions,
} from 'aims/authentication'
import { AimsError, apiClient, noObserver } from 'aims/base'
import { isExactly, parseSpiffeId, parseTrustDomain } from 'aims/identifiers'
import { connectWorkload } from 'aims/provisioning'
import { startAgent } from 'aims-agent'
import { adminClient, loadConfig, startServer } from 'aims-server'

const directory = mkdtempSync(join(tmpdir(), 'aims-federation-'))

async function organisation(trustDomain: string) {
  const config = await loadConfig({
    env: {},
    overrides: {
      trustDomain,
      dataDirectory: join(directory, trustDomain),
      'listen.port': 0,
      'agent.socket': join(directory, `${trustDomain}.sock`),
    },
  })
  const server = await startServer(config)
  const agent = await startAgent(config)
  const api = apiClient({ socketPath: config['api.socket'] })
  const close = async (): Promise<void> => {
    api.close()
    await agent.close()
    await server.close()
  }
  return { trustDomain, server, agent, admin: adminClient(api), close }
}

const a = await organisation('a.example')
const b = await organisation('b.example')

// What each operator is told by the other: where the endpoint is, who serves it, and the bundle to begin with.
async function federate(one: typeof a, other: typeof a): Promise<void> {
  await one.admin.setRelationship(other.trustDomain, {
    url: `https://127.0.0.1:${other.server.port}/v1/bundle?include=wit-svid`,
    profile: 'https_spiffe',
    endpointSpiffeId: `spiffe://${other.trustDomain}/aims/server`,
    bundle: other.server.bundle(),
    // Both are on this machine, which is no public address.
    networks: ['127.0.0.0/8'],
  })
  const { lastError } = await one.admin.refreshRelationship(other.trustDomain)
  assert.equal(lastError, null)
}

async function until(condition: () => boolean): Promise<void> {
  for (const end = Date.now() + 10_000; !condition(); await delay(20)) assert.ok(Date.now() < end, 'not in time')
}

try {
  await federate(a, b)
  await federate(b, a)
  const selectors = [`unix:uid:${process.getuid?.()}`]
  const bot = parseSpiffeId('spiffe://a.example/agent/calendar-bot')
  const service = parseSpiffeId('spiffe://b.example/service/events-api')
  // Each entry says whose bundles its workload gets beside its own.
  await a.admin.createEntry({
    spiffeId: bot,
    selectors,
    owner: 'a',
    purpose: 'demo',
    federatesWith: [parseTrustDomain('b.example')],
  })
  await b.admin.createEntry({
    spiffeId: service,
    selectors,
    owner: 'b',
    federatesWith: [parseTrustDomain('a.example')],
  })

  using asBot = await connectWorkload({ address: a.agent.address })
  using asService = await connectWorkload({ address: b.agent.address })

  const audience = 'https://events.b.example'
  const authenticator = createAuthenticator({
    bundles: asService.bundles,
    audiences: [audience],
    replays: createMemoryReplayStore({ capacity: 1000 }),
    observer: noObserver,
  })
  const server = createServer(serverTlsOptions(asService.x509), async (incoming, response) => {
    const { method = '', url: target = '', rawHeaders } = incoming
    const headers = rawHeaders.flatMap((name, i) => (i % 2 === 0 ? [[name, rawHeaders[i + 1] ?? ''] as const] : []))
    try {
      const peer = peerPrincipal(incoming.socket as TLSSocket)
      const caller = await authenticator.authenticate({ method, target, headers, body: Buffer.alloc(0) })
      response.end(`${peer.id} ${caller.id} ${caller.method}`)
    } catch (error) {
      response.writeHead(401).end(AimsError.is(error) ? error.code : 'failed')
    }
  })
  const rotating = rotatingServer(server, asService.x509, {
    bundles: asService.bundles,
    peer: isExactly(bot),
    observer: noObserver,
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo

  const call = async (): Promise<string> => {
    const agent = mtlsAgent(asBot.x509, {
      bundles: asBot.bundles,
      trustDomain: parseTrustDomain('b.example'),
      peer: isExactly(service),
    })
    try {
      const message = { method: 'GET', target: '/events', audience, body: Buffer.alloc(0) }
      const headers = proofHeaders(asBot.wit.wit(), message, { now: Date.now() / 1000 })
      const sent = request({ host: '127.0.0.1', port, path: message.target, headers, agent }).end()
      const [response] = await once(sent, 'response')
      let text = ''
      for await (const chunk of response) text += chunk
      return text
    } finally {
      agent.destroy()
    }
  }
  assert.equal(await call(), `${bot} ${bot} wit+wpt`)

  // b.example ends it: its workloads hear of it at once, and nobody of a.example is let in any more.
  await b.admin.endRelationship('a.example')
  await until(() => asService.bundles.bundleFor(parseTrustDomain('a.example')) === undefined)
  rotating.refresh()
  await assert.rejects(call())
  const message = { method: 'GET', target: '/events', audience, body: Buffer.alloc(0) }
  const headers = Object.entries(proofHeaders(asBot.wit.wit(), message, { now: Date.now() / 1000 }))
  await assert.rejects(authenticator.authenticate({ ...message, headers }), { code: 'credential.untrusted_domain' })

  server.closeAllConnections()
  server.close()
  console.log(`${bot} called ${service} by mTLS and by WIT and WPT, until b.example ended the relationship`)
} finally {
  await a.close()
  await b.close()
  rmSync(directory, { recursive: true, force: true })
}
