// The credential broker: an agent asks it by a local URL, as any HTTP client can, holds no credential, and sees none. The
// broker knows by the kernel who asks, and attaches what the rule names: the API key of an older service, or a proof.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createAuthenticator, createMemoryReplayStore } from 'aims/authentication'
import { apiClient, noObserver } from 'aims/base'
import { protect } from 'aims/node'
import { connectWorkload } from 'aims/provisioning'
import { putSecret, startAgent } from 'aims-agent'
import { loadConfig, startServer } from 'aims-server'
import { certificates } from './support/certificates.ts'

const directory = mkdtempSync(join(tmpdir(), 'aims-example-'))
const agentId = 'spiffe://example.com/agent/calendar-bot'
const audience = 'https://events.example.com'
const apiKey = 'wk_live_7Hq29fXb4Tz0LmN8sVd'
const { authority, tls } = await certificates()
const authorities = join(directory, 'web.pem')
writeFileSync(authorities, authority)
const web = { key: tls.private_key, cert: tls.cert_chain }

// An older service that wants a key, and tells it to everybody who has it.
const weather = createServer(web, (request, response) => response.end(`sunny, for ${request.headers['x-api-key']}`))
// A service that wants a proof.
let handler: Parameters<typeof createServer>[1] = (_, response) => response.writeHead(503).end()
const events = createServer(web, (request, response) => handler?.(request, response))
for (const server of [weather, events]) await once(server.listen(0, '127.0.0.1'), 'listening')
const at = (server: typeof weather): string => `https://localhost:${(server.address() as AddressInfo).port}`

const everywhere = { paths: ['/v1/**'], agents: [agentId], authorities, networks: ['127.0.0.0/8', '::1/128'] }
const secrets = { file: join(directory, 'secrets.json'), keyFile: join(directory, 'secrets.key') }
putSecret(secrets, 'weather-key', apiKey, Date.now() / 1000)
const config = await loadConfig({
  env: {},
  overrides: {
    trustDomain: 'example.com',
    dataDirectory: join(directory, 'data'),
    'listen.port': 0,
    'agent.socket': join(directory, 'workload.sock'),
    'agent.egress.enabled': true,
    'agent.egress.socket': join(directory, 'egress.sock'),
    'agent.egress.port': 0,
    'agent.egress.secretsFile': secrets.file,
    'agent.egress.keyFile': secrets.keyFile,
    'agent.egress.rules': {
      weather: {
        ...everywhere,
        to: at(weather),
        methods: ['GET'],
        credential: { kind: 'secret', secret: 'weather-key', header: 'x-api-key' },
      },
      events: { ...everywhere, to: at(events), methods: ['POST'], credential: { kind: 'wit', audience } },
    },
  },
})
const identityServer = await startServer(config)
const agent = await startAgent(config)
const api = apiClient({ socketPath: config['api.socket'] })
try {
  const selectors = [`unix:uid:${process.getuid?.()}`]
  const body = { spiffeId: agentId, selectors, owner: 'example', purpose: 'shows the broker' }
  await api.send({ method: 'POST', path: '/v1/entries', body })
  using me = await connectWorkload({ address: agent.address })
  const replays = createMemoryReplayStore({ capacity: 1000 })
  const requireBinding = { method: true, target: true, body: true }
  const authenticator = createAuthenticator({
    bundles: me.bundles,
    audiences: [audience],
    replays,
    observer: noObserver,
    requireBinding,
  })
  handler = protect(authenticator, (_, response, { principal }) => response.end(`noted for ${principal.id}`))

  // All that the agent is told is this URL.
  const broker = `http://localhost:${agent.egress?.port}`
  const forecast = await fetch(`${broker}/weather/v1/today`)
  assert.equal(await forecast.text(), `sunny, for ${'*'.repeat(apiKey.length)}`)
  const noted = await fetch(`${broker}/events/v1/new`, { method: 'POST', body: '{"title":"stand-up"}' })
  assert.equal(await noted.text(), `noted for ${agentId}`)

  const code = async (path: string): Promise<unknown> => JSON.parse(await (await fetch(`${broker}${path}`)).text()).code
  assert.equal(await code('/weather/v2/today'), 'egress.path_denied')
  assert.equal(await code('/events/v1/new'), 'egress.method_denied')
  assert.equal(await code('/https/evil.example.com/'), 'egress.no_rule')
  console.log(`${agentId} used an API key and a proof, and saw neither; nothing else is passed on`)
} finally {
  api.close()
  await agent.close()
  await identityServer.close()
  for (const server of [weather, events]) {
    server.close()
    server.closeAllConnections()
  }
  rmSync(directory, { recursive: true, force: true })
}
