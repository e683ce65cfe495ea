// MCP with identities, in one go: an identity server and its agent, a weather server that was protected by three lines, an
// agent that proves itself to it, and a server over stdio that gets its identity without being given a secret.
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client'
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio'
import { apiClient } from 'aims/base'
import { parseSpiffeId } from 'aims/identifiers'
import { provingTransport } from 'aims/mcp'
import { connect } from 'aims/provisioning'
import { startAgent } from 'aims-agent'
import { loadConfig, startServer } from 'aims-server'

const directory = mkdtempSync(join(tmpdir(), 'aims-example-'))
const overrides = {
  trustDomain: 'example.com',
  dataDirectory: join(directory, 'data'),
  'listen.port': 0,
  'agent.socket': join(directory, 'workload.sock'),
}
const config = await loadConfig({ env: {}, overrides })
const identityServer = await startServer(config)
const agent = await startAgent(config)
const api = apiClient({ socketPath: config['api.socket'] })
const me = parseSpiffeId('spiffe://example.com/agent/planner')
const weather = parseSpiffeId('spiffe://example.com/service/weather')
// Nothing else is given to a server: no token, no key.
const environment = { SPIFFE_ENDPOINT_SOCKET: agent.address }
const children: ChildProcess[] = []

async function startWeather(file: string): Promise<string> {
  const port = await freePort()
  const url = `http://127.0.0.1:${port}/mcp`
  const child = spawn(process.execPath, [...process.execArgv, fileURLToPath(new URL(file, import.meta.url))], {
    env: { ...environment, PORT: String(port), URL: url, ID: weather },
    // What it decides, it writes to stderr.
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  children.push(child)
  assert.equal(String((await once(child.stdout, 'data'))[0]).trim(), 'ready')
  return url
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  return typeof address === 'object' && address !== null ? address.port : 0
}

const newClient = (): Client => new Client({ name: 'planner', version: '1.0.0' })
const forecast = (days: number): Parameters<Client['callTool']>[0] => {
  return { name: 'forecast', arguments: { city: 'Rome', days } }
}

try {
  for (const spiffeId of [me, weather]) {
    const selectors = [`unix:uid:${process.getuid?.()}`]
    const body = { spiffeId, selectors, shared: true, owner: 'example', purpose: 'shows MCP with identities' }
    await api.send({ method: 'POST', path: '/v1/entries', body })
  }
  using workload = await connect({ address: agent.address, spiffeId: me })

  // The day before: anybody.
  const open = newClient()
  await open.connect(new StreamableHTTPClientTransport(new URL(await startWeather('server.mjs'))))
  assert.equal((await open.callTool(forecast(30))).isError, undefined)
  await open.close()

  // Three lines later: who proves nothing is not let in ...
  const url = await startWeather('protected-server.mjs')
  await assert.rejects(newClient().connect(new StreamableHTTPClientTransport(new URL(url))), /Not authenticated/)

  // ... who does gets what the policies permit ...
  const client = newClient()
  await client.connect(await provingTransport(url, { wits: workload.wit, audience: url }))
  const { content } = await client.callTool(forecast(3))
  assert.deepEqual(content, [{ type: 'text', text: '3 days of sun in Rome' }])
  await assert.rejects(client.callTool(forecast(30)), { code: -32_011, message: /Not permitted/ })
  // ... and a model that was talked into it hands out nothing.
  const talkedInto = { name: 'forecast', arguments: { city: 'Rome', days: 3, access_token: 'anything' } }
  await assert.rejects(client.callTool(talkedInto), { code: 'mcp.credential_argument' })
  await client.close()

  // A server over stdio is given the address of the Workload API, and finds out who it is.
  const local = newClient()
  await local.connect(
    new StdioClientTransport({
      command: process.execPath,
      args: [...process.execArgv, fileURLToPath(new URL('stdio-server.ts', import.meta.url))],
      env: environment,
      stderr: 'ignore',
    }),
  )
  const said = (await local.callTool({ name: 'who_are_you' })).content[0]
  assert.ok(said?.type === 'text')
  const { subject } = JSON.parse(said.text)
  assert.ok([me, weather].includes(subject))
  await local.close()
  console.log(`let in with a proof, denied by policy, refused without a proof; over stdio it is ${subject}`)
} finally {
  for (const child of children) child.kill()
  api.close()
  await agent.close()
  await identityServer.close()
  rmSync(directory, { recursive: true })
}
