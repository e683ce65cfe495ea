import { join } from 'node:path'
import type { ApiClient, JsonObject } from 'aims/base'
import type { Configuration, RunningServer } from 'aims-server'
import { ensureEntry } from '../dev-entries.ts'
import { ownRuntime, startWorkload, type WorkloadProcess } from './workload-process.ts'

const SERVICE = 'spiffe://example.com/service/events-api'
export const BOT = 'spiffe://example.com/agent/calendar-bot'
export const LEGACY_BOT = 'spiffe://example.com/agent/legacy-bot'
const AUDIENCE = 'https://api.example.com'

/** The three processes of the demo. */
export interface Workloads {
  readonly service: WorkloadProcess
  readonly servicePort: number
  readonly bot: WorkloadProcess
  readonly legacy: WorkloadProcess
  stop(): Promise<void>
}

/** Registers the demo's workloads, each told by its user and its own executable, and starts them. */
export async function startWorkloads({
  config,
  server,
  api,
  profile,
}: {
  readonly config: Configuration
  readonly server: RunningServer
  readonly api: ApiClient
  /** The shape of calendar-bot's tokens. */
  readonly profile: 'wimse' | 'aims-00'
}): Promise<Workloads> {
  const aims00 = { profile: 'aims-00', audiences: [AUDIENCE] }
  const programs: readonly (readonly [name: string, program: string, entry: JsonObject])[] = [
    ['events-api', 'events-api', { spiffeId: SERVICE, dnsNames: ['localhost'] }],
    ['calendar-bot', 'agent', { spiffeId: BOT, ...(profile === 'aims-00' ? aims00 : { profile, audiences: [] }) }],
    ['legacy-bot', 'agent', { spiffeId: LEGACY_BOT, ...aims00 }],
  ]
  const environment = {
    SPIFFE_ENDPOINT_SOCKET: `unix://${config['agent.socket']}`,
    AIMS_SERVER_PORT: String(server.port),
    DEMO_POLICIES: join(config.dataDirectory, 'policies'),
    DEMO_AUDIENCE: AUDIENCE,
    DEMO_SERVICE_ID: SERVICE,
  }
  const starting = programs.map(async ([name, program, entry]) => {
    const executable = ownRuntime(join(config.dataDirectory, 'bin'), name)
    const selectors = [`unix:uid:${process.getuid?.() ?? 0}`, `unix:path:${executable}`]
    await ensureEntry(api, { owner: 'aims-demo', purpose: 'shows how AIMS works', selectors, ...entry })
    return startWorkload(executable, program, environment)
  })
  const settled = await Promise.allSettled(starting)
  const started = settled.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []))
  const stop = async (): Promise<void> => {
    await Promise.all(started.map((one) => one.stop()))
  }
  try {
    const [service, bot, legacy] = await Promise.all(starting)
    if (service === undefined || bot === undefined || legacy === undefined) throw new Error('a workload is missing')
    const { port } = (await service.ask({})).facts ?? {}
    return { service, servicePort: Number(port), bot, legacy, stop }
  } catch (error) {
    await stop()
    throw error
  }
}
