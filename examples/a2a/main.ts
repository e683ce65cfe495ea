// Two agents of the A2A SDK, each with an identity of its own: they check each other's cards, prove themselves with each
// message, and do not talk to an agent that shows the card of another.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type Server } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { AgentCard, SendMessageRequest, Task } from '@a2a-js/sdk'
import { ClientFactory, JsonRpcTransportFactory } from '@a2a-js/sdk/client'
import { AgentEvent, type AgentExecutor, DefaultRequestHandler, InMemoryTaskStore } from '@a2a-js/sdk/server'
import { jsonRpcHandler } from '@a2a-js/sdk/server/express'
import { agentCardListener, callerOf, fetchAgentCard, signedAgentCard, userBuilder } from 'aims/a2a'
import {
  createAuthenticator,
  createMemoryReplayStore,
  mtlsAgent,
  rotatingServer,
  serverTlsOptions,
} from 'aims/authentication'
import { apiClient, noObserver } from 'aims/base'
import { authenticated } from 'aims/express'
import { provingFetch } from 'aims/fetch'
import { isExactly, isMemberOf, parseSpiffeId, parseTrustDomain, type SpiffeId } from 'aims/identifiers'
import { agentFetch } from 'aims/node'
import { type Connected, connect } from 'aims/provisioning'
import { startAgent } from 'aims-agent'
import { loadConfig, startServer } from 'aims-server'
import express from 'express'

const directory = mkdtempSync(join(tmpdir(), 'aims-example-'))
const overrides = {
  trustDomain: 'example.com',
  dataDirectory: join(directory, 'data'),
  'listen.port': 0,
  'agent.socket': join(directory, 'workload.sock'),
}
const config = await loadConfig({ env: {}, overrides })
const identityServer = await startServer(config)
const nodeAgent = await startAgent(config)
const api = apiClient({ socketPath: config['api.socket'] })
const ours = isMemberOf(parseTrustDomain('example.com'))
const servers: Server[] = []

async function identityOf(name: string): Promise<Connected> {
  const spiffeId: SpiffeId = parseSpiffeId(`spiffe://example.com/agent/${name}`)
  const selectors = [`unix:uid:${process.getuid?.()}`]
  const body = { spiffeId, selectors, shared: true, owner: 'example', purpose: 'shows A2A with identities' }
  await api.send({ method: 'POST', path: '/v1/entries', body })
  return await connect({ address: nodeAgent.address, spiffeId })
}

// What it does for others: it says who has asked, which it knows from the proof, and not from the message.
const executor: AgentExecutor = {
  async execute({ taskId, contextId, context }, bus) {
    const { principal } = callerOf(context)
    const message = { messageId: taskId, role: 'ROLE_AGENT', parts: [{ text: `booked for ${principal.id}` }] }
    const status = { state: 'TASK_STATE_COMPLETED', message }
    bus.publish(AgentEvent.task(Task.fromJSON({ id: taskId, contextId, status })))
    bus.finished()
  },
  async cancelTask() {},
}

/** @param shown - The identity whose card it shows. */
async function serve(me: Connected, shown: Connected = me): Promise<string> {
  const app = express()
  const server = createServer(serverTlsOptions(me.x509), app)
  rotatingServer(server, me.x509, { bundles: me.bundles, peer: ours, observer: noObserver })
  servers.push(server.listen(0, '127.0.0.1'))
  await once(server, 'listening')
  const address = server.address()
  assert.ok(typeof address === 'object' && address !== null)
  const url = `https://127.0.0.1:${address.port}`
  const audience = me.spiffeId
  const authenticator = createAuthenticator({
    bundles: me.bundles,
    audiences: [audience],
    replays: createMemoryReplayStore({ capacity: 1000 }),
    observer: noObserver,
    methods: ['wit+wpt', 'mtls'],
  })
  const card = {
    name: 'Booker',
    description: 'Books trips',
    version: '1.0.0',
    supportedInterfaces: [{ url: `${url}/a2a`, protocolBinding: 'JSONRPC', protocolVersion: '1.0' }],
    capabilities: { streaming: false, pushNotifications: false },
    defaultInputModes: ['text/plain'],
    defaultOutputModes: ['text/plain'],
    skills: [{ id: 'book', name: 'Book', description: 'Books a trip', tags: ['trips'] }],
  }
  const signed = signedAgentCard(card, shown.wit, { methods: authenticator.methods, audience })
  const requestHandler = new DefaultRequestHandler(AgentCard.fromJSON(signed()), new InMemoryTaskStore(), executor)
  app.use('/.well-known/agent-card.json', agentCardListener(signed))
  app.use('/a2a', authenticated(authenticator), jsonRpcHandler({ requestHandler, userBuilder }))
  return url
}

/** Checks whose agent it is, and sends it a message. */
async function ask(me: Connected, url: string): Promise<string> {
  const { bundles } = me
  const discovery = mtlsAgent(me.x509, { bundles, peer: ours })
  const found = await fetchAgentCard(url, { agent: discovery, bundles, peer: ours })
  const agent = mtlsAgent(me.x509, { bundles, peer: isExactly(found.spiffeId) })
  const fetchImpl = provingFetch(me.wit, { audience: found.audience ?? '', fetch: agentFetch(agent) })
  const factory = new ClientFactory({ transports: [new JsonRpcTransportFactory({ fetchImpl })] })
  const client = await factory.createFromAgentCard(AgentCard.fromJSON(found.card))
  const message = { messageId: 'one', role: 'ROLE_USER', parts: [{ text: 'Rome, please' }] }
  const task = await client.sendMessage(SendMessageRequest.fromJSON({ message }))
  discovery.destroy()
  agent.destroy()
  const content = 'status' in task ? task.status?.message?.parts[0]?.content : undefined
  return content?.$case === 'text' ? content.value : 'no answer'
}

const planner = await identityOf('planner')
const booker = await identityOf('booker')
const thief = await identityOf('thief')
try {
  assert.equal(await ask(planner, await serve(booker)), `booked for ${planner.spiffeId}`)
  assert.equal(await ask(booker, await serve(planner)), `booked for ${booker.spiffeId}`)
  // An agent with the best of certificates, and somebody else's card.
  await assert.rejects(ask(planner, await serve(thief, booker)), { code: 'a2a.card_mismatch' })
  console.log('two agents know each other, and a third one is not taken for one of them')
} finally {
  for (const me of [planner, booker, thief]) me.close()
  for (const server of servers) {
    server.close()
    server.closeAllConnections()
  }
  api.close()
  await nodeAgent.close()
  await identityServer.close()
  rmSync(directory, { recursive: true })
}
