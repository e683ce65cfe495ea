// Goal P12: using up a key costs no more than two generations of a Map would (0.5 us on a quiet machine), and 24 bytes;
// two threads on one store do 1.8 times the work of one. Whether two processors are free is nothing the store can
// change, so two threads on one store are compared with two that have a store each, in the same round.
import { randomBytes } from 'node:crypto'
import { Worker } from 'node:worker_threads'
import { createMemoryReplayStore, type MemoryReplayStore, openSqliteReplayStore } from 'aims/authentication'
import { type BenchCase, report, roundRobin } from './harness.ts'
import { settle } from './support/table.ts'

const KEYS = 200_000
const now = 1_800_000_000
const holder = randomBytes(32).toString('base64url')
const ids = Array.from({ length: KEYS }, () => randomBytes(16).toString('base64url'))

// Emptied by time: each pass is later than all before it, as it is in a service.
function consuming(store: Pick<MemoryReplayStore, 'consume'>): (times: number) => void {
  let at = 0
  return (times) => {
    for (let i = 0; i < times; i += 1, at += 1) {
      const time = now + 400 * Math.floor(at / KEYS)
      if (!store.consume(`wpt ${holder} ${ids[at % KEYS]}`, time + 300, time)) throw new Error('not fresh')
    }
  }
}

// What one would write without thinking about memory: two generations of a Map.
function generations(): Pick<MemoryReplayStore, 'consume'> {
  let [older, newer] = [new Map<string, number>(), new Map<string, number>()]
  let turnsAt = now
  return {
    consume(id, expiresAt, time) {
      if (time >= turnsAt) [older, newer, turnsAt] = [newer, new Map(), time + 300]
      if (newer.has(id) || (older.get(id) ?? 0) >= time) return false
      newer.set(id, expiresAt)
      return true
    },
  }
}

const memory = createMemoryReplayStore({ capacity: 2 * KEYS })
const sqlite = openSqliteReplayStore(':memory:')
const cases: readonly BenchCase[] = [
  { name: 'two generations of a Map', run: consuming(generations()) },
  { name: 'memory', run: consuming(memory) },
  { name: 'SQLite, without a disk', run: consuming(sqlite) },
]
report(`using up a key, ${KEYS} alive`, await roundRobin(cases), [{ id: 'P12, time', case: 'memory', atMost: 1 }])

const bytes = memory.memory.byteLength / (2 * KEYS)
settle({ id: 'P12, memory', measured: bytes, unit: 'bytes a key', limit: { atMost: 24 } })

const shares = await sharing()
const scaling = 2 * shares.wall
settle({
  id: 'P12, two threads on one store',
  measured: scaling,
  unit: 'x',
  against: 'one thread',
  limit: { atLeast: 1.8 },
})
console.log(
  `       by processor time ${shares.cpu.toFixed(2)} us a key on one store, ${shares.cpuApart.toFixed(2)} us apart`,
)

interface Sharing {
  /** Median over the rounds: time of two threads with a store each, divided by the time of two on one store. */
  readonly wall: number
  readonly cpu: number
  readonly cpuApart: number
}

async function sharing(): Promise<Sharing> {
  const rounds: { readonly wall: number; readonly cpu: number; readonly cpuApart: number }[] = []
  for (let round = 0; round < (process.env.AIMS_BENCH_QUICK === '1' ? 1 : 9); round += 1) {
    const apart = await pair([
      createMemoryReplayStore({ capacity: 2 * KEYS }),
      createMemoryReplayStore({ capacity: 2 * KEYS }),
    ])
    const one = createMemoryReplayStore({ capacity: 4 * KEYS })
    const shared = await pair([one, one])
    rounds.push({ wall: apart.wall / shared.wall, cpu: shared.cpu, cpuApart: apart.cpu })
  }
  const median = (of: (round: Sharing) => number): number =>
    rounds.map(of).sort((a, b) => a - b)[rounds.length >> 1] ?? 0
  return {
    wall: median(({ wall }) => wall),
    cpu: median(({ cpu }) => cpu),
    cpuApart: median(({ cpuApart }) => cpuApart),
  }
}

/** Microseconds a key, of two threads at once: until the later one is done, and of their processors. */
async function pair(stores: readonly MemoryReplayStore[]): Promise<{ readonly wall: number; readonly cpu: number }> {
  const module = new URL('../packages/aims/src/authentication/replay/memory.ts', import.meta.url).href
  const script = `
    const { parentPort, workerData } = require('node:worker_threads')
    import(workerData.module).then(({ openMemoryReplayStore }) => {
      const store = openMemoryReplayStore(workerData.memory)
      const run = (name, keys) => { for (let i = 0; i < keys; i += 1) store.consume('wpt ${holder} ' + name + i, 2, 1) }
      run('warm' + workerData.thread, 20000)
      parentPort.postMessage('ready')
      parentPort.once('message', () => {
        const before = process.threadCpuUsage()
        run(workerData.thread, ${KEYS})
        const { user, system } = process.threadCpuUsage(before)
        parentPort.postMessage(user + system)
      })
    })`
  const workers = stores.map(
    ({ memory }, thread) => new Worker(script, { eval: true, workerData: { module, memory, thread } }),
  )
  const all = (): Promise<readonly number[]> =>
    Promise.all(workers.map((one) => new Promise<number>((done) => one.once('message', done))))
  await all()
  const start = process.hrtime.bigint()
  for (const one of workers) one.postMessage('go')
  const used = await all()
  const wall = Number(process.hrtime.bigint() - start) / 1000 / KEYS
  await Promise.all(workers.map((one) => one.terminate()))
  return { wall, cpu: used.reduce((sum, one) => sum + one) / KEYS / stores.length }
}
