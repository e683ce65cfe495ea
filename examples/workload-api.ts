// The real thing in one process: an identity server, an agent that attests this very process by what the kernel says, and
// two workloads that speak mTLS with each other by SPIFFE ID. All state is in a temporary directory.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, request } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TLSSocket } from 'node:tls'
import { mtlsAgent, peerPrincipal, rotatingServer, serverTlsOptions } from 'aims/authentication'
import { apiClient, noObserver } from 'aims/base'
import { isExactly, parseSpiffeId } from 'aims/identifiers'
import { connectWorkload } from 'aims/provisioning'
import { startAgent } from 'aims-agent'
import { loadConfig, startServer } from 'aims-server'

const directory = mkdtempSync(join(tmpdir(), 'aims-example-'))
const config = await loadConfig({
  env: {},
  overrides: {
    trustDomain: 'example.com',
    dataDirectory: join(directory, 'data'),
    'listen.port': 0,
    'agent.socket': join(directory, 'workload.sock'),
  },
})
const identityServer = await startServer(config)
const agent = await startAgent(config)
const api = apiClient({ socketPath: config['api.socket'] })
const bot = parseSpiffeId('spiffe://example.com/agent/calendar-bot')
const service = parseSpiffeId('spiffe://example.com/service/events-api')
try {
  // Both are this process: its user is the selector, and it has two identities.
  for (const spiffeId of [bot, service]) {
    const selectors = [`unix:uid:${process.getuid?.()}`]
    await api.send({
      method: 'POST',
      path: '/v1/entries',
      body: { spiffeId, selectors, owner: 'example', purpose: 'shows the API' },
    })
  }
  using asService = await connectWorkload({ address: agent.address, spiffeId: service })
  using asBot = await connectWorkload({ address: agent.address, spiffeId: bot })
  assert.equal(asBot.wit.wit().subject, bot)

  const server = createServer(serverTlsOptions(asService.x509), (incoming, response) => {
    response.end(peerPrincipal(incoming.socket as TLSSocket).id)
  })
  rotatingServer(server, asService.x509, { bundles: asService.bundles, peer: isExactly(bot), observer: noObserver })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo

  const call = async (expected: typeof bot): Promise<string> => {
    const connection = mtlsAgent(asBot.x509, { bundles: asBot.bundles, peer: isExactly(expected) })
    try {
      const [response] = await once(request({ host: '127.0.0.1', port, agent: connection }).end(), 'response')
      let text = ''
      for await (const chunk of response) text += chunk
      return text
    } finally {
      connection.destroy()
    }
  }
  assert.equal(await call(service), bot)
  // The right authority, but not the server that was meant.
  await assert.rejects(call(parseSpiffeId('spiffe://example.com/service/other')), {
    code: 'authentication.peer_unexpected',
  })
  server.closeAllConnections()
  server.close()
  console.log(`${service} was called by ${bot} over mTLS, attested by the kernel`)
} finally {
  api.close()
  await agent.close()
  await identityServer.close()
  rmSync(directory, { recursive: true, force: true })
}
