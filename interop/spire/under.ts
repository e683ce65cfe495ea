import assert from 'node:assert/strict'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { apiClient } from 'aims/base'
import { verifyX509Svid } from 'aims/credentials'
import { parseTrustDomain } from 'aims/identifiers'
import { connectWorkload } from 'aims/provisioning'
import { startAgent } from 'aims-agent'
import { loadConfig, startServer } from 'aims-server'
import { eventually, ME, type Spire } from './programs.ts'

// Server and agent are one process here, and so one workload of SPIRE.
const AIMS = 'spiffe://spire.example/aims/both'

/** SPIRE says who our server and our agent are; a workload then gets its identity from ours, over an SVID rotation of SPIRE's. */
export async function underSpire({ root, workloadApi, ask }: Spire): Promise<void> {
  ask('entry', 'create', '-parentID', 'spiffe://spire.example/host', '-spiffeID', AIMS, '-selector', ME)

  const trustDomain = parseTrustDomain('agents.example.com')
  const config = await loadConfig({
    env: {},
    overrides: {
      trustDomain,
      dataDirectory: join(root, 'data'),
      'listen.port': 0,
      'listen.workloadApi': workloadApi,
      attestation: { spiffe: { trustDomains: { 'spire.example': {} } } },
      'agents.attestation': { spiffe: { ids: [AIMS] } },
    },
  })
  const server = await startServer(config)
  const agent = await startAgent({
    trustDomain,
    'agent.socket': join(root, 'workload.sock'),
    'agent.socketMode': 0o600,
    'agent.serverSocket': '/nonexistent',
    'agent.server': `https://127.0.0.1:${server.port}`,
    'agent.serverId': AIMS,
    'agent.workloadApi': workloadApi,
    'agent.attestation': 'spiffe',
  })
  const admin = apiClient({ socketPath: server.socketPath })
  const spiffeId = 'spiffe://agents.example.com/job/bot'
  const entry = { id: 'bot', spiffeId, selectors: [ME], agents: [[`spiffe:id:${AIMS}`]] }
  await admin.send({ method: 'POST', path: '/v1/entries', body: entry })
  const workload = await connectWorkload({ address: agent.address })
  const svid = workload.x509.x509Svid()
  const { subject } = verifyX509Svid(svid.certificates, { bundles: workload.bundles, now: Date.now() / 1000 })
  assert.equal(subject, spiffeId)
  console.log(`${subject}: from our agent, which SPIRE knows as ${AIMS}`)

  const foreign = await connectWorkload({ address: workloadApi })
  const before = foreign.x509.x509Svid()
  await eventually('a rotation by SPIRE', () => (foreign.x509.x509Svid() === before ? undefined : true))
  await sleep(2000)
  const { revision } = (await admin.send({ method: 'GET', path: '/v1/entries/bot' })) as { revision: number }
  const changed = {
    method: 'PUT',
    path: `/v1/entries/bot?revision=${revision}`,
    body: { ...entry, x509Ttl: 1800 },
  } as const
  await admin.send(changed)
  await eventually('an SVID after it', () => (workload.x509.x509Svid() === svid ? undefined : true))
  console.log('SPIRE rotated the SVID of both, and the next SVID of the workload came')

  for (const one of [foreign, workload, admin]) one.close()
  await agent.close()
  await server.close()
}
