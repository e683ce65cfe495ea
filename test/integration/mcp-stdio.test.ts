// An MCP server over stdio, started by the official client with nothing but the address of the Workload API.
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { Client } from '@modelcontextprotocol/client'
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio'
import { apiClient } from 'aims/base'
import { startAgent } from 'aims-agent'
import { loadConfig, startServer } from 'aims-server'

const directory = mkdtempSync(join(tmpdir(), 'aims-mcp-stdio-'))
const config = await loadConfig({
  env: {},
  overrides: {
    trustDomain: 'example.com',
    dataDirectory: join(directory, 'data'),
    'listen.port': 0,
    'agent.socket': join(directory, 'workload.sock'),
  },
})
const identityServer = await startServer(config, { log: () => undefined })
const agent = await startAgent(config)
after(async () => {
  await agent.close()
  await identityServer.close()
  rmSync(directory, { recursive: true })
})
const api = apiClient({ socketPath: config['api.socket'] })
const spiffeId = 'spiffe://example.com/agent/notes'
await api.send({
  method: 'POST',
  path: '/v1/entries',
  body: { spiffeId, selectors: [`unix:uid:${process.getuid?.()}`], owner: 'test', purpose: 'a server over stdio' },
})
api.close()

function transport(env: Record<string, string>): StdioClientTransport {
  const program = fileURLToPath(new URL('../../examples/mcp/stdio-server.ts', import.meta.url))
  return new StdioClientTransport({
    command: process.execPath,
    args: [...process.execArgv, program],
    env,
    stderr: 'ignore',
  })
}

test('it learns who it is from the Workload API, and is given no secret [authentication.mcp.10]', async () => {
  const client = new Client({ name: 'planner', version: '1.0.0' })
  await client.connect(transport({ SPIFFE_ENDPOINT_SOCKET: agent.address }))
  const [said] = (await client.callTool({ name: 'who_are_you' })).content
  assert.equal(said?.type, 'text')
  const { subject, environment } = JSON.parse(said.text)
  assert.equal(subject, spiffeId)
  // What the SDK hands on of itself is that of a shell.
  const harmless = ['HOME', 'LOGNAME', 'PATH', 'SHELL', 'SPIFFE_ENDPOINT_SOCKET', 'TERM', 'USER']
  assert.deepEqual(
    environment.filter((name: string) => !harmless.includes(name)),
    [],
  )
  await client.close()
})
