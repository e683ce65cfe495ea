// An agent with sub-agents, in one process: an identity server, a node agent, a planner that is attested, and two helpers
// that it spawns with fewer rights and a shorter life. A service lets them do what the planner gave them and no more,
// refuses one after the planner has revoked it, and all after the planner was retired.
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createAuthenticator, createMemoryReplayStore, proofHeaders } from 'aims/authentication'
import { authorize, createCedarEngine, toolCall } from 'aims/authorization'
import { apiClient, noObserver } from 'aims/base'
import { parseSpiffeId, parseTrustDomain } from 'aims/identifiers'
import { connectSpawner, connectWorkload, followRevocations, type SubAgent } from 'aims/provisioning'
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
const planner = parseSpiffeId('spiffe://example.com/agent/planner')
const calendar = parseSpiffeId('spiffe://example.com/service/calendar')
try {
  // The operator says how many sub-agents there may be, how deep, and for how long.
  const entry = {
    spiffeId: planner,
    selectors: [`unix:uid:${process.getuid?.()}`],
    shared: true,
    owner: 'example',
    purpose: 'plans, and lets others do the work',
    subAgents: { maxDepth: 2, max: 1000, maxTtl: 300 },
  }
  await api.send({ method: 'POST', path: '/v1/entries', body: entry })

  using workload = await connectWorkload({ address: agent.address })
  using me = connectSpawner(workload, {
    server: `https://127.0.0.1:${identityServer.port}`,
    bundle: Buffer.from(identityServer.bundle()),
  })
  const reader = await me.spawn({ name: 'reader', ttl: 60, rights: [`call ${calendar}#list_events`] })
  const writer = await me.spawn({ rights: [`call ${calendar}`] })
  assert.equal(reader.spiffeId, `${planner}/sub/reader`)

  // The service: its policy permits the planner's helpers everything, and still nobody gets more than his rights.
  const trustDomain = parseTrustDomain('example.com')
  const { bundles } = workload
  using revocations = followRevocations({ server: api, trustDomain, bundles, maxStaleness: 30 })
  await revocations.ready()
  const audience = 'https://calendar.example.com'
  const replays = createMemoryReplayStore({ capacity: 1000 })
  const service = createAuthenticator({ bundles, revocations, audiences: [audience], replays, observer: noObserver })
  const engine = await createCedarEngine({
    version: 'sha256:example',
    policies: [{ id: 'helpers', text: `permit(principal in AgentGroup::"${planner}", action, resource);` }],
  })
  const call = async (who: Pick<SubAgent, 'wit'>, tool: string): Promise<string> => {
    const request = { method: 'POST', target: '/mcp', audience }
    const headers = Object.entries(proofHeaders(who.wit.wit(), request, { now: Date.now() / 1000 }))
    const principal = await service.authenticate({ ...request, headers })
    const decision = authorize({ principal, ...toolCall(calendar, tool) }, engine)
    return decision.effect === 'allow' ? 'allowed' : decision.because
  }
  assert.equal(await call(reader, 'list_events'), 'allowed')
  assert.equal(await call(reader, 'create_event'), 'beyond-rights')
  assert.equal(await call(writer, 'create_event'), 'allowed')

  // A helper of a helper: within the rights of the one above, and never beyond.
  const below = await writer.spawn({ rights: [`call ${calendar}#create_event`], ttl: 30 })
  assert.equal(await call(below, 'create_event'), 'allowed')
  await assert.rejects(reader.spawn({ rights: [`call ${calendar}`] }), { code: 'provisioning.rights_exceeded' })
  await assert.rejects(below.spawn({ rights: [] }), { code: 'provisioning.sub_agents_too_deep' })

  // Each has a handle of its own to end it, and what is below it.
  const changed = (): Promise<void> => new Promise((resolve) => void revocations.onChange(resolve))
  const held = {
    wit: {
      wit: (
        (wit) => () =>
          wit
      )(writer.wit.wit()),
    },
  }
  let heard = changed()
  await writer.revoke()
  await heard
  for (const gone of [held, below]) await assert.rejects(call(gone, 'create_event'), { code: 'credential.revoked' })
  assert.equal(await call(reader, 'list_events'), 'allowed')

  // The end of the planner is the end of all.
  heard = changed()
  const begun = performance.now()
  await api.send({ method: 'POST', path: '/v1/retirements', body: { spiffeId: planner, reason: 'example' } })
  await heard
  await assert.rejects(call(reader, 'list_events'), { code: 'credential.revoked' })
  console.log(
    `two helpers, three refusals of too much, and all refused ${Math.round(performance.now() - begun)} ms after the end`,
  )
} finally {
  api.close()
  await agent.close()
  await identityServer.close()
  rmSync(directory, { recursive: true })
}
