// How long a caller waits for an authenticated answer while the server does half of what it can: at most 2 ms for 99 of 100
// on a machine that has nothing else to do. Figures, not ratios, so a miss does not fail the run. The same requests at the
// same rate to a server with one bare verification tell what of it is the machine and this client.
import { exchange, makeRequest, type RunningServer, sendAll, startServer } from './support/http-load.ts'
import { settle } from './support/table.ts'

const isQuick = process.env.AIMS_BENCH_QUICK === '1'
const REQUESTS = isQuick ? 500 : 8000
const server = await startServer('node:http, aims')
const bare = await startServer('node:http, one bare verification')
// Twice as many as it takes until all is compiled.
for (let round = 0; round < (isQuick ? 1 : 4); round += 1) await flatOut(server)
const perSecond = await flatOut(server)
await flatOut(bare)
const rate = perSecond / 2
const [ours, theirs] = [await atRate(server, rate), await atRate(bare, rate)]
server.stop()
bare.stop()

console.log(`an authenticated request on ${server.kind}, at ${Math.round(rate)} a second of ${Math.round(perSecond)}`)
console.log(
  `  the client itself was late by ${percentile(ours.late, 0.99).toFixed(2)} ms for 1 of 100, which does not count`,
)
settle({ id: 'half load, 50 of 100 wait at most', measured: percentile(ours.waited, 0.5), unit: 'ms' })
settle({
  id: 'half load, 99 of 100 wait at most',
  measured: percentile(ours.waited, 0.99),
  unit: 'ms',
  limit: { atMost: 2 },
})
settle({ id: 'the same, one bare verification', measured: percentile(theirs.waited, 0.99), unit: 'ms' })

async function flatOut({ sockets }: RunningServer): Promise<number> {
  const requests = Array.from({ length: REQUESTS }, makeRequest)
  const start = performance.now()
  await Promise.all(sockets.map((socket) => sendAll(socket, requests)))
  return (1000 * REQUESTS) / (performance.now() - start)
}

/** Milliseconds, of each request. */
interface Times {
  /** From when it was due, or from when this client came round to it if that alone was late. */
  readonly waited: number[]
  /** How late this client came round. */
  readonly late: number[]
}

// Sends when a request is due, whatever became of those before: a server that falls behind makes all later ones wait.
function atRate({ sockets }: RunningServer, perSecond: number): Promise<Times> {
  const requests = Array.from({ length: REQUESTS }, makeRequest)
  const idle = [...sockets]
  const times: Times = { waited: [], late: [] }
  const start = performance.now()
  let sent = 0
  // All connections wait for the server: then it is not the client that is late.
  let isBehind = false
  return new Promise((resolve, reject) => {
    const send = (): void => {
      while (sent < requests.length && due(sent) <= performance.now()) {
        const socket = idle.pop()
        isBehind = socket === undefined || isBehind
        if (socket === undefined) return
        const now = performance.now()
        const from = isBehind ? due(sent) : now
        if (!isBehind) times.late.push(now - due(sent))
        const request = requests[sent] ?? Buffer.alloc(0)
        sent += 1
        const done = (): void => {
          times.waited.push(performance.now() - from)
          idle.push(socket)
          if (times.waited.length === requests.length) {
            clearInterval(timer)
            resolve(times)
          } else send()
        }
        exchange(socket, request, done, reject)
      }
      isBehind = false
    }
    const due = (index: number): number => start + (1000 * index) / perSecond
    const timer = setInterval(send, 1)
  })
}

function percentile(times: readonly number[], share: number): number {
  return [...times].sort((a, b) => a - b)[Math.floor(times.length * share)] ?? Number.NaN
}
