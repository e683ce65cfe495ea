// Goal P12: using up a key costs no more than two generations of a Map would (0.5 us on a quiet machine), and 24 bytes;
// two threads sharing a store do 1.8 times the work of one, which needs two processors that nobody else is using.
import { randomBytes } from 'node:crypto'
import { Worker } from 'node:worker_threads'
import { createMemoryReplayStore, type MemoryReplayStore, openSqliteReplayStore } from 'aims/authentication'
import { type BenchCase, report, roundRobin } from './harness.ts'

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
console.log(`  ${bytes <= 24 ? 'met' : 'MISSED'}  P12, memory: ${bytes.toFixed(1)} bytes a key <= 24`)

const alone = await together(1)
const pair = await together(2)
console.log(
  `  ${pair / alone >= 1.8 ? 'met' : 'MISSED'}  P12, two threads: ${(pair / alone).toFixed(2)} times one >= 1.8`,
)

/** Keys a second, of so many threads on one store at once. */
async function together(threads: number): Promise<number> {
  const { memory: shared } = createMemoryReplayStore({ capacity: 4 * KEYS })
  const module = new URL('../packages/aims/src/authentication/replay/memory.ts', import.meta.url).href
  const script = `
    const { parentPort, workerData } = require('node:worker_threads')
    import(workerData.module).then(({ openMemoryReplayStore }) => {
      const store = openMemoryReplayStore(workerData.shared)
      const run = (name, keys) => { for (let i = 0; i < keys; i += 1) store.consume('wpt ${holder} ' + name + i, 2, 1) }
      run('warm' + workerData.thread, 20000)
      parentPort.postMessage('ready')
      parentPort.once('message', () => { run(workerData.thread, ${KEYS}); parentPort.postMessage('done') })
    })`
  const workers = Array.from(
    { length: threads },
    (_, thread) => new Worker(script, { eval: true, workerData: { module, shared, thread } }),
  )
  const all = (): Promise<unknown> =>
    Promise.all(workers.map((one) => new Promise((done) => one.once('message', done))))
  await all()
  const start = process.hrtime.bigint()
  for (const one of workers) one.postMessage('go')
  await all()
  const seconds = Number(process.hrtime.bigint() - start) / 1e9
  await Promise.all(workers.map((one) => one.terminate()))
  return (threads * KEYS) / seconds
}
