// The official A2A SDK, client and server, over mTLS and with proofs, with AIMS on both ends.
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { AgentCard, SendMessageRequest } from '@a2a-js/sdk'
import { type Client, ClientFactory, JsonRpcTransportFactory } from '@a2a-js/sdk/client'
import { fetchAgentCard } from '../../packages/aims/src/adapters/a2a/fetch-card.ts'
import { signedAgentCard } from '../../packages/aims/src/adapters/a2a/sign-card.ts'
import type { VerifiedAgentCard } from '../../packages/aims/src/adapters/a2a/verify-card.ts'
import { agentFetch } from '../../packages/aims/src/adapters/agent-fetch.ts'
import { provingFetch } from '../../packages/aims/src/adapters/fetch.ts'
import { createAuthenticator } from '../../packages/aims/src/authentication/authenticate.ts'
import { type MtlsAgent, mtlsAgent } from '../../packages/aims/src/authentication/mtls/client.ts'
import { createMemoryReplayStore } from '../../packages/aims/src/authentication/replay/memory.ts'
import { noObserver } from '../../packages/aims/src/base/event.ts'
import type { JsonObject } from '../../packages/aims/src/base/json.ts'
import type { Wit, WitSource } from '../../packages/aims/src/credentials/wit/source.ts'
import type { X509SvidSource } from '../../packages/aims/src/credentials/x509-svid/source.ts'
import { type IdMatcher, isExactly, isMemberOf } from '../../packages/aims/src/identifiers/matcher.ts'
import { type A2aServer, startA2aServer } from '../support/a2a-server.ts'
import { agentCard } from '../support/agent-card.ts'
import { testDomain } from '../support/identities.ts'
import { mutableBundles, mutableSvid, testCa } from '../support/x509-identities.ts'

const domain = testDomain('example.com', { now: Math.floor(Date.now() / 1000) })
const ca = await testCa('example.com')
const bundles = mutableBundles({ ...ca.bundle, witAuthorities: domain.bundle.witAuthorities })
const isOurs = isMemberOf(ca.bundle.trustDomain)
const clock = (): number => Date.now() / 1000

interface Agent {
  readonly wit: Wit
  readonly wits: WitSource
  readonly svids: X509SvidSource
  /** For connections to whom `peer` knows. */
  to(peer: IdMatcher): MtlsAgent
}

const opened: (() => void)[] = []
after(() => {
  for (const close of opened.reverse()) close()
})

async function agent(path: string): Promise<Agent> {
  const wit = await domain.wit({ path })
  const svids = mutableSvid(await ca.svid(path))
  return {
    wit,
    wits: { wit: () => wit },
    svids,
    to(peer) {
      const made = mtlsAgent(svids, { bundles, peer })
      opened.push(() => made.destroy())
      return made
    },
  }
}

async function serve({ svids, wits, wit }: Agent, card?: () => JsonObject): Promise<A2aServer> {
  const audience = wit.subject
  const authenticator = createAuthenticator({
    bundles,
    audiences: [audience],
    replays: createMemoryReplayStore({ capacity: 1000 }),
    observer: noObserver,
    methods: ['wit+wpt', 'mtls'],
    requireBinding: { method: true, target: true, body: true },
  })
  const server = await startA2aServer({
    svids,
    authenticator,
    clients: { bundles, peer: isOurs, observer: noObserver },
    card: (url) => card ?? signedAgentCard(agentCard(url), wits, { methods: authenticator.methods, audience }),
  })
  opened.push(() => server.close())
  return server
}

/** A client for the agent whose card was verified: connections prove to be its own, and requests are proven to it. */
async function clientFor({ wits, to }: Agent, { card, spiffeId, audience = '' }: VerifiedAgentCard): Promise<Client> {
  const fetch = agentFetch(to(isExactly(spiffeId)))
  const fetchImpl = provingFetch(wits, { audience, fetch })
  const factory = new ClientFactory({ transports: [new JsonRpcTransportFactory({ fetchImpl })] })
  return await factory.createFromAgentCard(AgentCard.fromJSON(card))
}

const asking = (text: string): SendMessageRequest => {
  const message = { messageId: `m-${text}`, role: 'ROLE_USER', parts: [{ text }] }
  return SendMessageRequest.fromJSON({ message })
}

const booker = await agent('/agent/booker')
const planner = await agent('/agent/planner')
const other = await agent('/agent/other')
const server = await serve(booker)

test('an agent checks the card of another, and each knows who the other is [authentication.a2a.01] [authentication.a2a.06]', async () => {
  const found = await fetchAgentCard(server.url, { agent: planner.to(isOurs), bundles, peer: isOurs, clock })
  assert.deepEqual([found.spiffeId, found.audience], [booker.wit.subject, booker.wit.subject])
  const client = await clientFor(planner, found)
  const task = await client.sendMessage(asking('book'))
  assert.ok('status' in task)
  const [part] = task.status?.message?.parts ?? []
  assert.deepEqual(part?.content, { $case: 'text', value: `done for ${planner.wit.subject}` })

  // The task is its owner's. For others it does not exist.
  assert.equal((await client.getTask({ tenant: '', id: task.id })).id, task.id)
  const stranger = await clientFor(other, found)
  await assert.rejects(stranger.getTask({ tenant: '', id: task.id }), /not found/i)
})

test('who proves nothing, or too little, is no user [authentication.a2a.01]', async () => {
  const body = JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'GetTask', params: { id: 'x' } })
  const init = { method: 'POST', headers: { 'content-type': 'application/json', 'a2a-version': '1.0' }, body }
  const overTls = agentFetch(planner.to(isOurs))
  // A certificate is a proof, and without one there is no connection.
  assert.equal((await overTls(`${server.url}/a2a`, init)).status, 200)
  await assert.rejects(fetch(`${server.url}/a2a`, init))
  const elsewhere = provingFetch(planner.wits, { audience: 'https://elsewhere.example', fetch: overTls })
  assert.equal((await elsewhere(`${server.url}/a2a`, init)).status, 401)
  // The SDK without `authenticated` in front has no users, and not an anonymous one.
  const open = await overTls(`${server.url}/open`, init)
  const answer: { readonly error?: object; readonly result?: object } = JSON.parse((await open.text()) || '{}')
  assert.equal(answer.result, undefined)
  assert.ok(open.status >= 400 || answer.error !== undefined)
})

test('the card of one agent that another serves is refused [authentication.a2a.04]', async () => {
  const stolen = signedAgentCard(agentCard(`${server.url}/a2a`), booker.wits, { methods: ['mtls'] })
  const thief = await serve(other, stolen)
  const asked = { agent: planner.to(isOurs), bundles, peer: isOurs, clock }
  await assert.rejects(fetchAgentCard(thief.url, asked), { code: 'a2a.card_mismatch' })
  // Who expects the agent itself does not get as far as its card.
  const exactly = isExactly(booker.wit.subject)
  await assert.rejects(fetchAgentCard(thief.url, { ...asked, agent: planner.to(exactly) }), {
    code: 'authentication.peer_unexpected',
  })
  // And a client that trusts the card of the one does not talk to the other.
  const found = await fetchAgentCard(server.url, asked)
  const moved = JSON.parse(JSON.stringify(found.card).replaceAll(server.url, thief.url))
  const client = await clientFor(planner, { ...found, card: moved })
  await assert.rejects(client.sendMessage(asking('book')))
})

test('a card is for everybody, and asked for again only when it has changed', async () => {
  const overTls = agentFetch(planner.to(isOurs))
  const url = `${server.url}/.well-known/agent-card.json`
  const first = await overTls(url)
  const etag = first.headers.get('etag') ?? ''
  assert.deepEqual([first.status, first.headers.get('content-type')], [200, 'application/json'])
  await first.text()
  assert.equal((await overTls(url, { headers: { 'if-none-match': etag } })).status, 304)
  assert.equal((await overTls(url, { headers: { 'if-none-match': '"other"' } })).status, 200)
  assert.equal((await overTls(url, { method: 'POST' })).status, 405)
})

test('a card that is not where it should be, or no card, is refused', async () => {
  const asked = { agent: planner.to(isOurs), bundles, peer: isOurs, clock }
  await assert.rejects(fetchAgentCard(`${server.url}/nowhere`, asked), { code: 'a2a.card_unavailable' })
  const unsigned = await serve(other, () => JSON.parse(JSON.stringify(agentCard())))
  await assert.rejects(fetchAgentCard(unsigned.url, asked), { code: 'a2a.card_unbound' })
})
