import type { ChildProcess } from 'node:child_process'
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type ApiClient, apiClient, isJsonObject } from 'aims/base'
import { type AdminClient, adminClient } from 'aims-server'
import { freePort } from '../support/free-port.ts'
import type { FleetOptions } from './options.ts'
import { compileOnce, startAims, startCrew, stop, userOf } from './processes.ts'
import { orderOf, type Peer } from './protocol.ts'

/** A process with workloads, and the agent that serves it. */
export interface Crew {
  readonly child: ChildProcess
  readonly agent: number
  readonly peers: readonly Peer[]
}

/** A server, its agents, and all workloads. */
export interface Fleet {
  readonly api: ApiClient
  readonly admin: AdminClient
  readonly server: ChildProcess
  readonly agents: readonly ChildProcess[]
  readonly crews: readonly Crew[]
  /** Seconds that a key is published before it signs. */
  readonly publishAhead: number
  close(): Promise<void>
}

const TRUST_DOMAIN = 'fleet.example.com'
const joinName = (agent: number): string => `agent-${agent}`

/** Processes that start at a time: those that run already renew what they hold, and must not wait for long. */
const AT_ONCE = 4

/** Starts everything: the server, an agent after the other by join tokens, all entries, then crews, a few at a time. */
export async function startFleet(options: FleetOptions, say: (line: string) => void): Promise<Fleet> {
  const root = mkdtempSync(join(tmpdir(), 'aims-fleet-'))
  // Workloads are other users, and must reach the sockets.
  chmodSync(root, 0o755)
  compileOnce(join(root, 'compiled'))
  const children: ChildProcess[] = []
  const port = await freePort()
  const publishAhead = Math.max(3, Math.floor(options.rotate / 2) - 2)
  // Everything is renewed at half of its life.
  const life = 2 * options.rotate
  const lives = { default: life, max: life }
  const server = await startAims('server', {
    root,
    name: 'server',
    config: {
      trustDomain: TRUST_DOMAIN,
      dataDirectory: './data',
      listen: { port },
      ttl: { x509: lives, jwt: lives, wit: lives },
      // No longer than what they sign needs: until then each is in the bundle that everybody gets.
      keys: { lifetime: 4 * life, publishAhead },
      agents: { ttl: life },
    },
  })
  children.push(server)
  const api = apiClient({ socketPath: join(root, 'data', 'api.sock') })
  const close = async (): Promise<void> => {
    api.close()
    // Workloads first: nobody is to miss what is taken away now.
    for (const child of children.toReversed()) await stop(child)
    rmSync(root, { recursive: true, force: true })
  }
  try {
    const admin = adminClient(api)
    writeFileSync(join(root, 'bundle.json'), JSON.stringify(await admin.bundle({ includeWit: true })))
    const address = `https://127.0.0.1:${port}`
    const agents: ChildProcess[] = []
    for (let agent = 0; agent < options.agents; agent += 1) {
      const started = await startAgent(agent, { root, address, api })
      children.push(started)
      agents.push(started)
    }
    say(`server and ${agents.length} agents run`)
    const planned = planCrews(options)
    await register(admin, planned)
    const begin = async ({ number, agent, spiffeIds }: PlannedCrew): Promise<Crew> => {
      const child = startCrew(userOf(number))
      children.push(child)
      const crew = { trustDomain: TRUST_DOMAIN, address: socketOf(root, agent), server: address, spiffeIds }
      const peers = await orderOf(child, { order: 'begin', crew: { ...crew, pace: options.pace } })
      return { child, agent, peers }
    }
    const crews: Crew[] = []
    for (let first = 0; first < planned.length; first += AT_ONCE) {
      crews.push(...(await Promise.all(planned.slice(first, first + AT_ONCE).map(begin))))
    }
    say(`${options.workloads} workloads in ${crews.length} processes have their identities`)
    return { api, admin, server, agents, crews, publishAhead, close }
  } catch (error) {
    await close()
    throw error
  }
}

async function startAgent(
  agent: number,
  { root, address, api }: { readonly root: string; readonly address: string; readonly api: ApiClient },
): Promise<ChildProcess> {
  const made = await api.send({
    method: 'POST',
    path: '/v1/join-tokens',
    body: { name: joinName(agent), for: 'agent' },
  })
  if (!isJsonObject(made)) throw new TypeError('no join token')
  mkdirSync(join(root, joinName(agent)), { mode: 0o755 })
  return startAims('agent', {
    root,
    name: joinName(agent),
    config: {
      trustDomain: TRUST_DOMAIN,
      agent: {
        server: address,
        bundle: './bundle.json',
        socket: `./${joinName(agent)}/workload.sock`,
        socketMode: '0666',
      },
    },
    env: { AIMS_JOIN_TOKEN: String(made.token) },
  })
}

const socketOf = (root: string, agent: number): string => `unix://${join(root, joinName(agent), 'workload.sock')}`

interface PlannedCrew {
  readonly number: number
  readonly agent: number
  readonly spiffeIds: readonly string[]
}

function planCrews({ workloads, perProcess, agents }: FleetOptions): readonly PlannedCrew[] {
  return Array.from({ length: Math.ceil(workloads / perProcess) }, (_, number) => {
    const size = Math.min(perProcess, workloads - number * perProcess)
    const spiffeIds = Array.from({ length: size }, (_, n) => `spiffe://${TRUST_DOMAIN}/job/crew-${number}/${n}`)
    return { number, agent: number % agents, spiffeIds }
  })
}

async function register(admin: AdminClient, crews: readonly PlannedCrew[]): Promise<void> {
  const entries = crews.flatMap(({ number, agent, spiffeIds }) => {
    const uid = userOf(number)?.uid ?? process.geteuid?.() ?? 0
    const agents = [[`join-token:name:${joinName(agent)}`]]
    return spiffeIds.map((spiffeId) => ({ spiffeId, selectors: [`unix:uid:${uid}`], agents }))
  })
  await admin.applyEntries(entries.map((entry) => ({ action: 'create', entry })))
}
