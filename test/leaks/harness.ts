// Runs the agents, and looks through everything that their models have seen.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createReadStream, rmSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { API_KEY } from '../support/broker.ts'
import { webAuthority } from '../support/tls-host.ts'
import { runAgent } from './agent-loop.ts'
import { inProcessTools } from './in-process.ts'
import { ELSEWHERE, type LeakWorld, makeWorld, NAMES, SERVICE } from './world.ts'

/** What came out of one kind of run. */
export interface RunReport {
  readonly steps: number
  readonly texts: number
  readonly channels: ReadonlySet<string>
  /** `channel: credential in encoding`, each with how often. */
  readonly leaks: ReadonlyMap<string, number>
  /** Answers that only a failure of the rules explains. */
  readonly violations: readonly string[]
}

export interface LeakReport {
  readonly broker: RunReport
  readonly inProcess: RunReport
  readonly baseline: RunReport
  /** Requests with a credential that arrived at the service. */
  readonly served: number
  /** Requests that arrived where no rule leads. */
  readonly astray: number
  readonly heapBytes: number
  readonly characters: number
}

export interface LeakOptions {
  readonly steps: number
  readonly seed: number
}

/** Of the steps, how many go through the broker, over real sockets. */
const BROKER_SHARE = 0.25
const BASELINE_SHARE = 0.01

export async function findLeaks({ steps, seed }: LeakOptions): Promise<LeakReport> {
  await using world = await makeWorld()
  const brokerSteps = Math.ceil(steps * BROKER_SHARE)
  const heap = join(world.broker.directory, 'agent.heapsnapshot')
  const { socketPath, port } = world.broker.broker
  const broker = await inChild(world, {
    steps: brokerSteps,
    seed,
    names: NAMES,
    elsewhere: ELSEWHERE,
    broker: { socketPath, port },
    heap,
  })
  const served = world.served
  const { heapBytes, findings } = await scanHeap(world, heap)
  for (const finding of findings) broker.add('heap of the agent', finding)

  const inProcess = reporter(world)
  const tools = inProcessTools(world.inProcess)
  await runAgent(steps - brokerSteps, { seed: seed + 1, tools, record: inProcess.record })

  const baselineSteps = Math.max(200, Math.ceil(steps * BASELINE_SHARE))
  const service = { port: world.host.port, authority: webAuthority, host: SERVICE }
  const baseline = await inChild(
    world,
    { steps: baselineSteps, seed, names: ['weather'], elsewhere: [], service },
    { WEATHER_API_KEY: API_KEY },
  )
  return {
    broker: broker.report(brokerSteps),
    inProcess: inProcess.report(steps - brokerSteps),
    baseline: baseline.report(baselineSteps),
    served,
    astray: world.astray.length,
    heapBytes,
    characters: world.scanner.scanned,
  }
}

interface Reporter {
  record(channel: string, text: string): void
  add(channel: string, finding: string): void
  report(steps: number): RunReport
}

function reporter({ scanner }: LeakWorld): Reporter {
  const channels = new Set<string>()
  const leaks = new Map<string, number>()
  const violations: string[] = []
  let texts = 0
  const add = (channel: string, finding: string): void => {
    const key = `${channel}: ${finding}`
    leaks.set(key, (leaks.get(key) ?? 0) + 1)
  }
  return {
    add,
    record(channel, text) {
      texts += 1
      channels.add(channel)
      for (const { credential, encoding } of scanner.scan(text)) add(channel, `${credential} in ${encoding}`)
      if (/^(?:SUB-AGENT WAS|A CREDENTIAL PARAMETER WAS)/.test(text)) violations.push(text.split('\n', 1)[0] ?? '')
    },
    report: (steps) => ({ steps, texts, channels, leaks, violations }),
  }
}

const program = fileURLToPath(new URL('agent.ts', import.meta.url))

async function inChild(
  world: LeakWorld,
  order: object,
  env: { readonly [name: string]: string } = {},
): Promise<Reporter> {
  const found = reporter(world)
  const flags = ['--conditions=aims:source', '--disable-warning=ExperimentalWarning']
  const child = spawn(process.execPath, [...flags, program, JSON.stringify(order)], {
    env: { PATH: process.env.PATH ?? '', ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const ended = once(child, 'exit')
  for await (const line of createInterface({ input: child.stdout })) {
    const [channel, text] = JSON.parse(line) as [string, string]
    found.record(channel, text)
  }
  const [code] = await ended
  if (code !== 0) throw new Error(`the agent ended with ${String(code)}`)
  return found
}

/** The memory of the agent's process, as whoever could look into it would see it. */
async function scanHeap(
  { scanner }: LeakWorld,
  file: string,
): Promise<{ readonly heapBytes: number; readonly findings: readonly string[] }> {
  const findings = new Set<string>()
  let heapBytes = 0
  let last = ''
  for await (const chunk of createReadStream(file, { encoding: 'latin1', highWaterMark: 1 << 20 })) {
    const text = String(chunk)
    heapBytes += text.length
    for (const { credential, encoding } of scanner.scan(last + text)) findings.add(`${credential} in ${encoding}`)
    last = text.slice(-4096)
  }
  rmSync(file)
  return { heapBytes, findings: [...findings] }
}
