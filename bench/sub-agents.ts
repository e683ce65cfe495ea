// Sub-agents: at least 2,000 per second and core, from the making of the key to the WIT in the hand of the parent, with the
// durable record and the register on. Client and server are in this process, so that the time of one sub-agent is all
// it costs both. Compared with what no implementation can leave out: making a key and one signature.
import { generateKeyPairSync, sign } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { apiClient, isJsonObject, systemClock, WorkloadKey } from 'aims/base'
import { holdX509Svid } from 'aims/credentials'
import { parseTrustDomain, parseWorkloadSpiffeId } from 'aims/identifiers'
import { createSpawner, identityServer, MAX_BATCH } from 'aims/provisioning'
import { loadConfig, startServer } from 'aims-server'
import { report, roundRobin } from './harness.ts'
import { settle } from './support/table.ts'

const PER_SECOND = 2000
const spiffeId = parseWorkloadSpiffeId('spiffe://example.com/agent/planner')
const rights = ['call spiffe://example.com/service/calendar#list_events']
const directory = mkdtempSync(join(tmpdir(), 'aims-bench-'))
const config = await loadConfig({
  env: {},
  overrides: { trustDomain: 'example.com', dataDirectory: directory, 'listen.port': 0, 'limits.workload': 0 },
})
const server = await startServer(config)
const api = apiClient({ socketPath: server.socketPath })
const selectors = ['unix:uid:1000']
const limits = { maxDepth: 1, max: 100_000, maxTtl: 300 }
const entry = { id: 'planner', spiffeId, selectors, shared: true, owner: 'bench', purpose: 'bench', subAgents: limits }
await api.send({ method: 'POST', path: '/v1/entries', body: entry })
const key = WorkloadKey.generate()
const body = {
  entryId: 'planner',
  posture: { type: 'unix', selectors },
  publicKey: key.publicKey.export({ format: 'jwk' }),
}
const issued = await api.send({ method: 'POST', path: '/v1/agent/x509-svids', body })
if (!isJsonObject(issued) || !Array.isArray(issued.chain)) throw new TypeError('no SVID')
const certificates = issued.chain.map((der) => Buffer.from(String(der), 'base64'))
const way = identityServer({
  trustDomain: parseTrustDomain('example.com'),
  server: `https://127.0.0.1:${server.port}`,
  bundle: Buffer.from(server.bundle()),
  clock: systemClock,
  keepAlive: true,
})
way.present(holdX509Svid({ certificates, key }))
const me = createSpawner({ spiffeId, server: way })

// Bounded: an agent may have 100,000 at a time, and those of the bench live on.
const ROUNDS = { rounds: 5, ms: 400 }
const measured = await roundRobin(
  [
    {
      name: 'raw: a key and a signature, ES256',
      run: (times) => {
        for (let i = 0; i < times; i += 1) {
          generateKeyPairSync('ec', { namedCurve: 'P-256' })
          sign('sha256', certificates[0] ?? Buffer.alloc(0), key.tlsKey)
        }
      },
    },
    {
      name: `spawn, ${MAX_BATCH} at a time`,
      run: async (times) => {
        for (let done = 0; done < times; done += MAX_BATCH) {
          const count = Math.min(MAX_BATCH, times - done)
          await Promise.all(Array.from({ length: count }, () => me.spawn({ rights })))
        }
      },
    },
  ],
  ROUNDS,
)
report('Sub-agents over HTTPS, with record and register', measured, [
  { id: 'sub-agents, 10 times the raw cryptography', case: `spawn, ${MAX_BATCH} at a time`, atMost: 10 },
])
const [, spawn] = measured
const rate = Math.round(1e6 / (spawn?.microseconds ?? Number.NaN))
settle({ id: 'sub-agents', measured: rate, unit: 'per second and core', limit: { atLeast: PER_SECOND } })
way.close()
api.close()
await server.close()
rmSync(directory, { recursive: true })
