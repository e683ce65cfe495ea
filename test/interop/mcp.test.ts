// The official MCP SDK, client and server, over real HTTP, with AIMS on both ends.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import { createServer as createHttpsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { after, test } from 'node:test'
import {
  Client,
  type ProtocolError,
  StreamableHTTPClientTransport,
  type VersionNegotiationMode,
} from '@modelcontextprotocol/client'
import { Client as Client1 } from '@modelcontextprotocol/sdk/client/index.js'
import { StreamableHTTPClientTransport as StreamableHTTPClientTransport1 } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import { Server as Server1 } from '@modelcontextprotocol/sdk/server/index.js'
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js'
import { CallToolRequestSchema } from '@modelcontextprotocol/sdk/types.js'
import type { McpServer } from '@modelcontextprotocol/server'
import { provingFetch } from '../../packages/aims/src/adapters/fetch.ts'
import { callerOf } from '../../packages/aims/src/adapters/mcp/caller.ts'
import {
  type McpHttpHandler,
  type ProtectMcpOptions,
  protectMcp,
} from '../../packages/aims/src/adapters/mcp/protect.ts'
import {
  type ProvingTransportOptions,
  provingTransport,
} from '../../packages/aims/src/adapters/mcp/proving-transport.ts'
import { type WithAimsOptions, withAims } from '../../packages/aims/src/adapters/mcp/with-aims.ts'
import { createAuthenticator } from '../../packages/aims/src/authentication/authenticate.ts'
import { mtlsAgent } from '../../packages/aims/src/authentication/mtls/client.ts'
import { rotatingServer, serverTlsOptions } from '../../packages/aims/src/authentication/mtls/server.ts'
import { createMemoryReplayStore } from '../../packages/aims/src/authentication/replay/memory.ts'
import type { AuthenticatorOptions } from '../../packages/aims/src/authentication/request.ts'
import { createAuthorizer } from '../../packages/aims/src/authorization/authorizer.ts'
import { createCedarEngine } from '../../packages/aims/src/authorization/cedar-engine.ts'
import type { AuditEvent } from '../../packages/aims/src/base/event.ts'
import type { Wit } from '../../packages/aims/src/credentials/wit/source.ts'
import { isExactly, isMemberOf } from '../../packages/aims/src/identifiers/matcher.ts'
import { parseWorkloadSpiffeId } from '../../packages/aims/src/identifiers/spiffe-id.ts'
import { parsePolicySet } from '../../packages/aims/src/policy/policy-set.ts'
import { testDomain } from '../support/identities.ts'
import { buildServer, sessionHandler, statelessHandler, unprotected } from '../support/mcp-server.ts'
import { mutableBundles, mutableSvid, testCa } from '../support/x509-identities.ts'

const domain = testDomain('example.com', { now: Math.floor(Date.now() / 1000) })
const payer = await domain.wit({ path: '/agent/payer' })
const reader = await domain.wit({ path: '/agent/reader' })
const bank = parseWorkloadSpiffeId('spiffe://example.com/service/bank')
const helper = await domain.wit({ path: '/agent/payer/sub/helper', rights: [`call ${bank}#transfer`] })

const policies = await parsePolicySet([
  {
    name: 'bank.cedar',
    text: `
      @id("payer-pays-a-little")
      permit (principal, action == Action::"call", resource == Tool::"${bank}#transfer")
      when {
        (principal == Agent::"${payer.subject}" || principal in AgentGroup::"${payer.subject}") &&
        context.numbers.hasTag("amount") && context.numbers.getTag("amount") <= 100
      };
      @id("helpers-read")
      permit (
        principal in AgentGroup::"spiffe://example.com/agent",
        action == Action::"call",
        resource in Service::"${bank}"
      ) when {
        (resource == Tool::"${bank}#read_mail" || resource == Tool::"${bank}#search") &&
        principal in AgentGroup::"${payer.subject}"
      };
      @id("notes")
      permit (principal, action == Action::"call", resource == Tool::"${bank}#mcp/resources/read")
      when { context.facts.hasTag("uri") && context.facts.getTag("uri") == "notes://all" };
      @id("payer-listens")
      permit (
        principal == Agent::"${payer.subject}",
        action == Action::"call",
        resource == Tool::"${bank}#mcp/subscriptions/listen"
      );
    `,
  },
])
const engine = await createCedarEngine(policies)
const events: AuditEvent[] = []
const observer = { record: async (event: AuditEvent): Promise<void> => void events.push(event) }
const rules: WithAimsOptions = { id: bank, authorizer: createAuthorizer({ engine, observer }) }
const guarded = (): McpServer => withAims(buildServer(), rules)

const opened: (() => unknown)[] = []
after(async () => {
  for (const close of opened.reverse()) await close()
})

async function listen(server: Server): Promise<number> {
  server.listen(0)
  await once(server, 'listening')
  opened.push(() => {
    server.close()
    server.closeAllConnections()
  })
  return (server.address() as AddressInfo).port
}

const AUDIENCE = 'https://bank.example.com/mcp'

async function start(
  handler: McpHttpHandler,
  more: Partial<AuthenticatorOptions> = {},
  listening: Pick<ProtectMcpOptions, 'rules'> = {},
): Promise<string> {
  const authenticator = createAuthenticator({
    bundles: domain.bundles,
    audiences: [AUDIENCE],
    replays: createMemoryReplayStore({ capacity: 1000 }),
    observer,
    ...more,
  })
  const protect = protectMcp(authenticator, handler, {
    resource: AUDIENCE,
    hosts: ['localhost'],
    observer,
    ...listening,
  })
  return `http://localhost:${await listen(createServer((request, response) => void protect(request, response)))}/mcp`
}

async function connect(
  url: string,
  wit: Wit,
  mode: VersionNegotiationMode = 'legacy',
  more: Partial<ProvingTransportOptions> = {},
): Promise<Client> {
  const client = new Client({ name: 'agent', version: '1.0.0' }, { versionNegotiation: { mode } })
  await client.connect(await provingTransport(url, { wits: { wit: () => wit }, audience: AUDIENCE, ...more }))
  opened.push(() => client.close())
  return client
}

const transfer = (amount: unknown): Parameters<Client['callTool']>[0] => {
  return { name: 'transfer', arguments: { to: 'alice', amount } }
}

function isDenied(error: Error): boolean {
  const { code, data, message } = error as ProtocolError
  const { code: reason, id } = data as { readonly code: string; readonly id: string }
  assert.deepEqual([code, reason], [-32_011, 'mcp.denied'])
  // No policy, no argument, nobody's name; and an id under which the operator finds all of that.
  assert.match(message, /Not permitted$/)
  const record = events.find(({ correlationId, type }) => correlationId === id && type === 'authorization.decided')
  assert.equal(record?.decision, 'deny')
  return true
}

const WAYS: readonly (readonly [string, () => Promise<string>, VersionNegotiationMode])[] = [
  ['2026-07-28', () => start(statelessHandler(guarded)), 'auto'],
  ['2025-11-25 without sessions', () => start(statelessHandler(guarded)), 'legacy'],
  ['2025-11-25 with sessions', () => start(sessionHandler(guarded)), 'legacy'],
]

for (const [name, begin, mode] of WAYS) {
  test(`${name}: each call is proven, decided and answered [authentication.mcp.01] [authorization.mcp.01] [authorization.mcp.05]`, async () => {
    const url = await begin()
    const client = await connect(url, payer, mode)
    const { tools } = await client.listTools()
    assert.deepEqual(tools.map((tool) => tool.name).sort(), ['read_mail', 'search', 'transfer'])

    const { content } = await client.callTool(transfer(50))
    const [said] = content
    assert.equal(said?.type, 'text')
    const { id, ...seen } = JSON.parse(said.text)
    assert.deepEqual(seen, { to: 'alice', amount: 50, caller: payer.subject, chain: [payer.subject] })
    assert.ok(events.some(({ correlationId, decision }) => correlationId === id && decision === 'allow'))
    const note = await client.readResource({ uri: 'notes://all' })
    assert.deepEqual(
      note.contents.map((one) => 'text' in one && one.text),
      ['a note'],
    )

    await assert.rejects(client.callTool(transfer(500)), isDenied)
    await assert.rejects(client.callTool(transfer(1.5)), isDenied)
    await assert.rejects(client.callTool(transfer('5'.repeat(2000))), isDenied)
    await assert.rejects(client.callTool({ name: 'read_mail' }), isDenied)
    await assert.rejects(client.callTool({ name: 'no such tool' }), isDenied)
    await assert.rejects(client.callTool({ name: 'mcp/resources/read', arguments: { uri: 'notes://all' } }), isDenied)
    await assert.rejects(client.readResource({ uri: 'notes://secret' }), isDenied)
  })

  test(`${name}: another identity gets what its own policies say [authorization.mcp.02]`, async () => {
    const url = await begin()
    const helping = await connect(url, helper, mode)
    const { content } = await helping.callTool(transfer(50))
    const [said] = content
    assert.equal(said?.type, 'text')
    const { caller, chain } = JSON.parse(said.text)
    assert.equal(caller, helper.subject)
    assert.deepEqual(chain, [helper.subject, payer.subject])
    // It may, as far as the policies say. Its parent did not give it that.
    await assert.rejects(helping.callTool({ name: 'read_mail' }), isDenied)
    // Policies permit it, and it has an argument that they cannot see.
    await assert.rejects(helping.callTool({ name: 'search', arguments: { filter: {} } }), isDenied)
    const reading = await connect(url, reader, mode)
    await assert.rejects(reading.callTool(transfer(50)), isDenied)
    await assert.rejects(reading.callTool({ name: 'read_mail' }), isDenied)
  })

  test(`${name}: who proves nothing gets nothing [authentication.mcp.01]`, async () => {
    const url = await begin()
    const client = new Client({ name: 'agent', version: '1.0.0' }, { versionNegotiation: { mode } })
    await assert.rejects(client.connect(new StreamableHTTPClientTransport(new URL(url))), /Unauthorized|401/)
  })

  test(`${name}: a server that is not protected serves nobody [authorization.mcp.03]`, async () => {
    const handler = name.endsWith('with sessions') ? sessionHandler(guarded) : statelessHandler(guarded)
    const url = `http://localhost:${await listen(createServer(unprotected(handler)))}/mcp`
    const client = new Client({ name: 'agent', version: '1.0.0' }, { versionNegotiation: { mode } })
    await assert.rejects(client.connect(new StreamableHTTPClientTransport(new URL(url))), /Not authenticated/)
  })
}

test('what the SDK answers in front of a server is decided as well [authorization.mcp.01]', async () => {
  const url = await start(statelessHandler(guarded), {}, { rules })
  const filter = { toolsListChanged: true }
  const client = await connect(url, payer, 'auto')
  const subscription = await client.listen(filter)
  assert.deepEqual(subscription.honoredFilter, filter)
  await subscription.close()
  await assert.rejects((await connect(url, helper, 'auto')).listen(filter), /mcp\.denied/)
  // Where nobody decides, nobody may.
  const undecided = await connect(await start(statelessHandler(guarded)), payer, 'auto')
  await assert.rejects(undecided.listen(filter), /mcp\.denied/)
  assert.deepEqual(events.at(-1)?.reasons, ['mcp.denied'])

  // Nobody gets past by another name in the header: the SDK does not take it.
  const meta = { protocolVersion: '2026-07-28', clientInfo: { name: 'agent', version: '1' }, clientCapabilities: {} }
  const _meta = Object.fromEntries(
    Object.entries(meta).map(([name, value]) => [`io.modelcontextprotocol/${name}`, value]),
  )
  const body = { jsonrpc: '2.0', id: 1, method: 'subscriptions/listen', params: { notifications: filter, _meta } }
  const answer = async (wit: Wit, method: object): Promise<number> => {
    const headers = {
      'content-type': 'application/json',
      accept: 'application/json, text/event-stream',
      'mcp-protocol-version': '2026-07-28',
      ...method,
    }
    const proving = provingFetch({ wit: () => wit }, { audience: AUDIENCE })
    const response = await proving(url, { method: 'POST', headers, body: JSON.stringify(body) })
    await response.body?.cancel()
    return response.status
  }
  assert.equal(await answer(payer, { 'mcp-method': 'subscriptions/listen' }), 200)
  assert.equal(await answer(helper, { 'mcp-method': 'subscriptions/listen' }), 403)
  assert.equal(await answer(helper, { 'mcp-method': 'tools/list' }), 400)
  assert.equal(await answer(helper, {}), 400)
})

test('a credential in an argument is not sent', async () => {
  const client = await connect(await start(sessionHandler(guarded)), payer)
  const before = events.length
  await assert.rejects(client.callTool({ name: 'transfer', arguments: { to: 'alice', amount: 1, token: 'x' } }), {
    code: 'mcp.credential_argument',
  })
  await assert.rejects(client.callTool({ name: 'transfer', arguments: { to: payer.token, amount: 1 } }), {
    code: 'mcp.credential_argument',
  })
  assert.equal(events.length, before)
})

test('a transport that signs checks what it gets', async () => {
  const service = await domain.wit({ path: '/service/bank' })
  const responses = { wits: { wit: () => service } }
  const url = await start(sessionHandler(guarded), { responses })
  const signing = (peer: Wit): Partial<ProvingTransportOptions> => ({
    httpSignature: { bundles: domain.bundles, peer: isExactly(peer.subject) },
  })
  const client = await connect(url, payer, 'legacy', signing(service))
  const { content } = await client.callTool(transfer(50))
  assert.equal(content.length, 1)
  await assert.rejects(client.callTool(transfer(500)), isDenied)
  await assert.rejects(connect(url, payer, 'legacy', signing(reader)), { code: 'authentication.peer_unexpected' })
  // Who cannot sign does not do it first and then say so.
  const without = await start(sessionHandler(guarded))
  await assert.rejects(connect(without, payer, 'legacy', signing(service)), { code: 'signature.response_unsigned' })
})

test('version 1 of the SDK, client and server [authentication.mcp.01] [authorization.mcp.01]', async () => {
  const handler: McpHttpHandler = async (request, response) => {
    const server = new Server1({ name: 'bank', version: '1' }, { capabilities: { tools: {} } })
    server.setRequestHandler(CallToolRequestSchema, (_, context) => {
      return { content: [{ type: 'text', text: callerOf(context).principal.id }] }
    })
    const transport = new StreamableHTTPServerTransport({ enableJsonResponse: true })
    await Reflect.apply(withAims(server, rules).connect, server, [transport])
    await transport.handleRequest(request, response)
  }
  const url = new URL(await start(handler))
  const connect1 = async (fetch?: typeof globalThis.fetch): Promise<Client1> => {
    const client = new Client1({ name: 'agent', version: '1.0.0' })
    const transport = new StreamableHTTPClientTransport1(url, fetch === undefined ? {} : { fetch })
    await Reflect.apply(client.connect, client, [transport])
    opened.push(() => client.close())
    return client
  }
  const client = await connect1(provingFetch({ wit: () => payer }, { audience: AUDIENCE }))
  const { content } = await client.callTool(transfer(50))
  assert.deepEqual(content, [{ type: 'text', text: payer.subject }])
  await assert.rejects(client.callTool(transfer(500)), isDenied)
  await assert.rejects(connect1(), /Not authenticated/)
})

test('mTLS over Streamable HTTP, with the server known by its SPIFFE ID', async () => {
  const ca = await testCa('example.com')
  const bundles = mutableBundles({ ...ca.bundle, witAuthorities: domain.bundle.witAuthorities })
  const authenticator = createAuthenticator({
    bundles,
    audiences: [AUDIENCE],
    replays: createMemoryReplayStore({ capacity: 1000 }),
    observer,
    methods: ['mtls'],
  })
  const protect = protectMcp(authenticator, sessionHandler(guarded), {
    resource: AUDIENCE,
    hosts: ['127.0.0.1'],
    observer,
  })
  const svids = mutableSvid(await ca.svid('/service/bank'))
  const server = createHttpsServer(serverTlsOptions(svids), (request, response) => {
    void protect(request, response)
  })
  rotatingServer(server, svids, { bundles, peer: isMemberOf(ca.bundle.trustDomain), observer })
  const url = `https://127.0.0.1:${await listen(server)}/mcp`
  const agentOf = async (path: string, peer: string): Promise<ReturnType<typeof mtlsAgent>> => {
    const source = mutableSvid(await ca.svid(path))
    const agent = mtlsAgent(source, { bundles, peer: isExactly(parseWorkloadSpiffeId(peer)) })
    opened.push(() => agent.destroy())
    return agent
  }
  const client = await connect(url, payer, 'legacy', { agent: await agentOf('/agent/payer', bank) })
  const { content } = await client.callTool(transfer(50))
  assert.equal(content.length, 1)
  await assert.rejects(client.callTool(transfer(500)), isDenied)
  await assert.rejects(connect(url, payer, 'legacy', { agent: await agentOf('/agent/payer', payer.subject) }))
  // The certificate counts here, and nothing else that the request carries.
  const other = await connect(url, payer, 'legacy', { agent: await agentOf('/agent/reader', bank) })
  await assert.rejects(other.callTool(transfer(50)), isDenied)
})

test('three lines protect the example server, and the documentation shows them', () => {
  const read = (path: string): string => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8')
  const code = (path: string): readonly string[] =>
    read(path)
      .split('\n')
      .filter((line) => !line.startsWith('//'))
  const before = code('examples/mcp/server.mjs')
  const after = code('examples/mcp/protected-server.mjs')
  const added = after.filter((line) => !before.includes(line))
  const removed = before.filter((line) => !after.includes(line))
  assert.deepEqual([added.length, removed.length], [3, 1])
  const page = read('docs/mcp.md')
  for (const line of added) assert.ok(page.includes(`\n+${line}\n`), line)
  for (const line of removed) assert.ok(page.includes(`\n-${line}\n`), line)
})
