// Goal P11, the streams: what one open stream of the Workload API takes of the agent's memory, alone on its connection and
// one of a hundred, beside grpc-js; and how long a call takes while a thousand workloads are told of a rotation. Server and
// caller are processes of their own.
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { unixAttestor } from 'aims/attestation'
import { noObserver } from 'aims/base'
import { WorkloadApiClient } from 'aims/provisioning'
import { WorkloadApiServer } from 'aims-agent'
import { FakeWorkloadApi } from '../test/support/fake-workload-api.ts'
import { IssuingBackend } from '../test/support/issuing-backend.ts'
import { settle } from './support/table.ts'
import { x509Messages } from './support/x509-messages.ts'

const QUICK = process.env.AIMS_BENCH_QUICK === '1'
const SERVERS = ['grpc-js', 'aims'] as const
const ID = 'spiffe://example.com/agent/calendar-bot'
/** Connections before and while it is measured, and the streams of each. */
const SHAPES = [
  { first: QUICK ? 10 : 300, connections: QUICK ? 50 : 1000, streams: 1, limit: 35 },
  { first: QUICK ? 2 : 10, connections: QUICK ? 5 : 20, streams: 100, limit: 10 },
] as const
/**
 * The young generation of the heap grows when it likes, by more than a thousand streams take. It belongs to the process, and
 * is kept as small as it begins.
 */
const STEADY_HEAP = ['--max-semi-space-size=1']
const ROTATIONS = QUICK ? 3 : 20

type Question = 'memory' | 'rotate' | 'start' | 'stop'

const [, , role, socketPath] = process.argv
if (role === undefined || socketPath === undefined) await drive()
else if (role === 'caller') await call(socketPath)
else await serve(role, socketPath)

async function drive(): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'aims-bench-'))
  console.log('memory of the server for one stream that follows X.509-SVIDs')
  for (const { first, connections, streams, limit } of SHAPES) {
    for (const server of SERVERS) {
      const path = join(directory, `${server}-${streams}`)
      const child = await start(server, path, STEADY_HEAP)
      // What the first connections cost everybody, such as code that is compiled for them, is not what a stream costs.
      const early = await follow(path, first, streams)
      const before = await ask(child, 'memory')
      const clients = await follow(path, connections, streams)
      const measured = ((await ask(child, 'memory')) - before) / connections / streams / 1000
      const id = `P11, memory, ${streams === 1 ? 'a connection for each' : `${streams} on a connection`}, ${server}`
      settle({ id, measured, unit: 'kB', ...(server === 'aims' && { limit: { atMost: limit } }) })
      for (const one of [...early, ...clients]) one.close()
      child.kill()
    }
  }
  await latency(join(directory, 'latency'))
  rmSync(directory, { recursive: true, force: true })
}

async function latency(path: string): Promise<void> {
  const server = await start('aims', path)
  const clients = await follow(path, SHAPES[0].connections, 1)
  const caller = await start('caller', path)
  caller.send('start')
  for (let rotation = 0; rotation < ROTATIONS; rotation += 1) {
    await ask(server, 'rotate')
    await sleep(200)
  }
  const [half, p99, longest] = await ask<readonly number[]>(caller, 'stop')
  console.log(`FetchJWTSVID during ${ROTATIONS} rotations for ${SHAPES[0].connections} workloads`)
  settle({ id: 'P11, call while all rotate, half', measured: half ?? Number.NaN, unit: 'ms' })
  settle({ id: 'P11, call while all rotate, p99', measured: p99 ?? Number.NaN, unit: 'ms', limit: { atMost: 10 } })
  settle({ id: 'P11, call while all rotate, longest', measured: longest ?? Number.NaN, unit: 'ms' })
  for (const one of clients) one.close()
  server.kill()
  caller.kill()
}

async function start(role: string, path: string, flags: readonly string[] = []): Promise<ChildProcess> {
  const execArgv = [...process.execArgv.filter((flag) => flag !== '--expose-gc'), '--expose-gc', ...flags]
  const child = fork(new URL(import.meta.url), [role, path], { stdio: 'inherit', execArgv })
  await once(child, 'message')
  return child
}

async function ask<T = number>(child: ChildProcess, question: Question): Promise<T> {
  child.send(question)
  const [answer] = await once(child, 'message')
  return answer
}

/** Opens streams and waits for the first state of each. */
async function follow(path: string, connections: number, streams: number): Promise<readonly WorkloadApiClient[]> {
  const clients: WorkloadApiClient[] = []
  for (let connection = 0; connection < connections; connection += 1) {
    const client = new WorkloadApiClient({ address: `unix://${path}` })
    clients.push(client)
    await Promise.all(
      Array.from({ length: streams }, () => {
        const { promise, resolve } = Promise.withResolvers<void>()
        client.watchX509Svids({ onUpdate: () => resolve() }).catch(() => undefined)
        return promise
      }),
    )
  }
  return clients
}

/** Asks one call after the other, and tells how long they took. */
async function call(path: string): Promise<void> {
  const client = new WorkloadApiClient({ address: `unix://${path}` })
  await client.fetchJwtSvids({ audience: 'a' })
  const took: number[] = []
  let isRunning = true
  process.on('message', async (question: Question) => {
    if (question === 'stop') {
      isRunning = false
      took.sort((a, b) => a - b)
      process.send?.([0.5, 0.99, 1].map((part) => took[Math.floor((took.length - 1) * part)]))
      return
    }
    while (isRunning) {
      const began = performance.now()
      await client.fetchJwtSvids({ audience: 'a' })
      took.push(performance.now() - began)
      await sleep(1)
    }
  })
  process.on('disconnect', () => process.exit())
  process.send?.('ready')
}

async function serve(role: string, path: string): Promise<void> {
  const backend = await IssuingBackend.create()
  backend.set([{ spiffeId: ID }])
  if (role === 'aims') {
    const attestor = unixAttestor()
    const limits = { maxConnectionsPerUser: 10_000, arrivalsPerUser: 1000 }
    await WorkloadApiServer.start({ socketPath: path, backend, observer: noObserver, attestor, ...limits })
  } else {
    const api = await FakeWorkloadApi.start(`unix://${path}`)
    api.answer('fetchX509Svid', await x509Messages(backend))
  }
  process.on('message', (question: Question) => {
    if (question === 'rotate') backend.rotate()
    else for (let twice = 0; twice < 2; twice += 1) globalThis.gc?.()
    process.send?.(process.memoryUsage().rss)
  })
  process.on('disconnect', () => process.exit())
  process.send?.('ready')
}
