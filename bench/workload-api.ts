// Goal P11: a call of the Workload API costs the server no more than one by grpc-js, and a rotation for a thousand
// connected workloads at most 40 us each. grpc-js does not attest its caller, so the goal is on the same work; what the
// kernel's word costs on every call and every push stands beside it. The servers are processes of their own. The workloads
// are one process, whose connections share the look at it: what a look at a process of its own adds is measured last.
import { type ChildProcess, fork, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type PeerCredentials, unixAttestor } from 'aims/attestation'
import { noObserver } from 'aims/base'
import { WorkloadApiClient } from 'aims/provisioning'
import { WorkloadApiServer } from 'aims-agent'
import { FakeWorkloadApi } from '../test/support/fake-workload-api.ts'
import { IssuingBackend } from '../test/support/issuing-backend.ts'
import { type Measured, report } from './harness.ts'
import { type CpuCase, cpuRounds } from './support/cpu.ts'
import { settle } from './support/table.ts'
import { KNOWN, x509Messages } from './support/x509-messages.ts'

const KINDS = ['grpc-js, nobody attested', 'aims, caller known', 'aims, attested every time'] as const
const CONNECTIONS = 4
const CALLS_AT_ONCE = 16
const WATCHERS = process.env.AIMS_BENCH_QUICK === '1' ? 50 : 1000
const ID = 'spiffe://example.com/agent/calendar-bot'
const [, , kind, socketPath] = process.argv
if (kind === undefined || socketPath === undefined) await drive()
else await serve(Number(kind), socketPath)

interface Running {
  readonly name: string
  readonly address: string
  readonly child: ChildProcess
  ask(question: 'cpu' | 'rotate'): Promise<number>
}

async function drive(): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'aims-bench-'))
  const servers = await Promise.all(KINDS.map((name, index) => start(name, index, join(directory, String(index)))))
  report('FetchJWTSVID, processor time of the server for a call', await unaryCalls(servers), [
    { id: 'P11, call', case: KINDS[1], atMost: 1 },
  ])
  const fanOut = await rotations(servers)
  report(`a rotation for ${WATCHERS} connected workloads, processor time of the server for each`, fanOut)
  const cost = fanOut.find(({ name }) => name === KINDS[1])?.microseconds ?? Number.NaN
  settle({ id: 'P11, rotation, for each workload', measured: cost, unit: 'us', limit: { atMost: 40 } })
  for (const { child } of servers) child.disconnect()
  rmSync(directory, { recursive: true, force: true })
  await looks()
}

// Processes that each are looked at once, as in a rotation for as many workloads.
async function looks(): Promise<void> {
  const children = Array.from({ length: 100 }, () => spawn('sleep', ['600'], { stdio: 'ignore' }))
  await Promise.all(children.map((child) => once(child, 'spawn')))
  const [uid, gid] = [process.geteuid?.() ?? 0, process.getegid?.() ?? 0]
  const peers = children.map(({ pid = 0 }) => ({ pid, uid, gid }))
  const attestor = unixAttestor()
  const measured = (name: string, look: (peer: PeerCredentials) => unknown): CpuCase => ({
    name,
    async use(times) {
      const before = process.cpuUsage()
      for (let i = 0; i < times; i += peers.length) await Promise.all(peers.map(look))
      const { user, system } = process.cpuUsage(before)
      return user + system
    },
  })
  const status = ({ pid }: PeerCredentials): unknown =>
    [`/proc/${pid}/status`, `/proc/${pid}/stat`].map((path) => readFileSync(path, 'utf8'))
  const cases = [
    measured('status and stat read', status),
    measured('attested', (peer) => attestor.attest(peer, { now: 0 })),
  ]
  report(
    'processes of their own looked at, processor time for each',
    await cpuRounds(cases, { rounds: 9, times: 1000 }),
  )
  for (const child of children) child.kill()
}

async function start(name: string, index: number, path: string): Promise<Running> {
  const child = fork(new URL(import.meta.url), [String(index), path], { stdio: 'inherit' })
  await once(child, 'message')
  const ask = async (question: string): Promise<number> => {
    child.send(question)
    const [answer] = await once(child, 'message')
    return answer
  }
  return { name, address: `unix://${path}`, child, ask }
}

async function unaryCalls(servers: readonly Running[]): Promise<readonly Measured[]> {
  const clients = servers.flatMap(({ address }) =>
    Array.from({ length: CONNECTIONS }, () => new WorkloadApiClient({ address })),
  )
  const cases = servers.map(({ name, ask }, index): CpuCase => {
    const mine = clients.slice(index * CONNECTIONS, (index + 1) * CONNECTIONS)
    const call = async (client: WorkloadApiClient, times: number): Promise<void> => {
      for (let i = 0; i < times; i += 1) await client.fetchJwtSvids({ audience: 'a' })
    }
    return {
      name,
      async use(times) {
        const before = await ask('cpu')
        const share = times / (CONNECTIONS * CALLS_AT_ONCE)
        await Promise.all(mine.flatMap((client) => Array.from({ length: CALLS_AT_ONCE }, () => call(client, share))))
        return (await ask('cpu')) - before
      },
    }
  })
  const measured = await cpuRounds(cases, { rounds: 7, times: 6400 })
  for (const client of clients) client.close()
  return measured
}

async function rotations(servers: readonly Running[]): Promise<readonly Measured[]> {
  const cases: CpuCase[] = []
  const clients: WorkloadApiClient[] = []
  for (const { name, address, ask } of servers) {
    let updates = 0
    let wanted = WATCHERS
    let reached = Promise.withResolvers<void>()
    for (let i = 0; i < WATCHERS; i += 1) {
      const client = new WorkloadApiClient({ address })
      clients.push(client)
      const onUpdate = (): void => {
        updates += 1
        if (updates === wanted) reached.resolve()
      }
      client.watchX509Svids({ onUpdate }).catch(() => undefined)
    }
    await reached.promise
    cases.push({
      name,
      async use() {
        reached = Promise.withResolvers()
        wanted = updates + WATCHERS
        const before = await ask('cpu')
        await ask('rotate')
        await reached.promise
        return (await ask('cpu')) - before
      },
    })
  }
  const measured = await cpuRounds(cases, { rounds: 7, times: WATCHERS })
  for (const client of clients) client.close()
  return measured
}

async function serve(index: number, path: string): Promise<void> {
  const backend = await IssuingBackend.create()
  backend.set([{ spiffeId: ID }])
  // Issued once: what is measured is the call and not the signature.
  const svids = await backend.jwtSvids(KNOWN, ['a'])
  backend.jwtSvids = async () => svids
  const rotate = index === 0 ? await serveGrpcJs(path, backend) : await serveAims(index, path, backend)
  process.on('message', (question) => {
    const { user, system } = process.cpuUsage()
    if (question === 'cpu') process.send?.(user + system)
    else rotate().then(() => process.send?.(0))
  })
  process.on('disconnect', () => process.exit())
  process.send?.('ready')
}

async function serveAims(index: number, path: string, backend: IssuingBackend): Promise<() => Promise<void>> {
  const known = { type: 'unix', attest: async () => KNOWN } as const
  const attestor = KINDS[index] === 'aims, attested every time' ? unixAttestor() : known
  const limits = { maxConnectionsPerUser: 10_000, arrivalsPerUser: 1000 }
  await WorkloadApiServer.start({ socketPath: path, backend, observer: noObserver, attestor, ...limits })
  return async () => backend.rotate()
}

async function serveGrpcJs(path: string, backend: IssuingBackend): Promise<() => Promise<void>> {
  const api = await FakeWorkloadApi.start(`unix://${path}`)
  const svids = await backend.jwtSvids(KNOWN, ['a'])
  api.answer('fetchJwtSvid', { svids: svids.map(({ spiffeId, token, hint }) => ({ spiffeId, svid: token, hint })) })
  const rotate = async (): Promise<void> => {
    backend.rotate()
    api.answer('fetchX509Svid', await x509Messages(backend))
  }
  await rotate()
  return rotate
}
