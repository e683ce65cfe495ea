// The stateless server among the examples of the official MCP SDK, as its package has it, protected by three lines.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client'
import { parseSpiffeId } from 'aims/identifiers'
import { provingTransport } from 'aims/mcp'
import { connect } from 'aims/provisioning'
import { freePort } from '../support/free-port.ts'
import { startTrustDomain } from '../support/trust-domain.ts'

const modules = fileURLToPath(new URL('../../node_modules', import.meta.url))
const EXAMPLE = '@modelcontextprotocol/sdk/dist/esm/examples/server/simpleStatelessStreamableHttp.js'
const BOT = parseSpiffeId('spiffe://example.com/agent/planner')
const SERVER = parseSpiffeId('spiffe://example.com/service/notes')

// The three lines, as docs/mcp.md has them.
const CHANGES: readonly (readonly [line: string, becomes: string])[] = [
  [
    'const app = createMcpExpressApp();',
    `const app = createMcpExpressApp();
const aims = await connectMcp({ resource: process.env.URL, policies: process.env.POLICIES, id: '${SERVER}' });`,
  ],
  ['const server = getServer();', 'const server = aims.guard(getServer());'],
  ['app.listen(PORT, error => {', "createServer(aims.protect(app)).listen(PORT, '127.0.0.1', error => {"],
]

function protectedExample(): string {
  let text = readFileSync(join(modules, EXAMPLE), 'utf8')
  const change = (from: string, to: string): void => {
    assert.equal(text.split(from).length, 2, `the example of the SDK has ${from} once`)
    text = text.replace(from, () => to)
  }
  for (const [from, to] of CHANGES) change(from, to)
  // Where this test may run it: on a free port, outside of the package.
  change('const PORT = 3000;', 'const PORT = Number(process.env.PORT);')
  text = text.replaceAll("'../../", "'@modelcontextprotocol/sdk/")
  return `import { createServer } from 'node:http'\nimport { connectMcp } from 'aims/mcp'\n${text}`
}

test('a public example server of the SDK on Express is protected by three lines', { timeout: 180_000 }, async () => {
  mkdirSync(join(modules, '.cache'), { recursive: true })
  const folder = mkdtempSync(join(modules, '.cache/aims-mcp-example-'))
  writeFileSync(join(folder, 'server.mjs'), protectedExample())
  mkdirSync(join(folder, 'policies'))
  writeFileSync(
    join(folder, 'policies/notes.cedar'),
    `permit (principal == Agent::"${BOT}", action == Action::"call", resource == Tool::"${SERVER}#start-notification-stream")
      when { context.numbers.hasTag("count") && context.numbers.getTag("count") <= 3 };`,
  )
  const domain = await startTrustDomain()
  const selectors = [`unix:uid:${process.getuid?.()}`]
  for (const spiffeId of [BOT, SERVER]) await domain.register({ spiffeId, selectors, shared: true })
  const port = await freePort()
  const url = `http://127.0.0.1:${port}/mcp`
  const child = spawn(process.execPath, [...process.execArgv, join(folder, 'server.mjs')], {
    env: { SPIFFE_ENDPOINT_SOCKET: domain.address, PORT: String(port), URL: url, POLICIES: join(folder, 'policies') },
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  try {
    assert.match(String((await once(child.stdout, 'data'))[0]), /listening/)
    using me = await connect({ address: domain.address, spiffeId: BOT })
    const newClient = (): Client => new Client({ name: 'planner', version: '1.0.0' })
    const stranger = new StreamableHTTPClientTransport(new URL(url))
    await assert.rejects(newClient().connect(stranger), /Not authenticated/)

    const client = newClient()
    await client.connect(await provingTransport(url, { wits: me.wit, audience: url }))
    const call = (count: number): ReturnType<Client['callTool']> =>
      client.callTool({ name: 'start-notification-stream', arguments: { interval: 1, count } })
    assert.equal((await call(2)).isError, undefined)
    await assert.rejects(call(50), { code: -32_011 })
    await assert.rejects(client.readResource({ uri: 'https://example.com/greetings/default' }), { code: -32_011 })
    await client.close()
    const elsewhere = await provingTransport(url, { wits: me.wit, audience: 'https://other.example.com/mcp' })
    await assert.rejects(newClient().connect(elsewhere), /Not authenticated/)
  } finally {
    child.kill()
    await domain.close()
    rmSync(folder, { recursive: true, force: true })
  }
})
