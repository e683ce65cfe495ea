// How long a caller waits for an authenticated answer while the server does half of what it can: at most 2 ms for 99 of 100
// on a machine that has nothing else to do. Figures, not ratios, so a miss does not fail the run.
import { exchange, makeRequest, sendAll, startServer } from './support/http-load.ts'
import { settle } from './support/table.ts'

const REQUESTS = process.env.AIMS_BENCH_QUICK === '1' ? 500 : 8000
const server = await startServer('node:http, aims')
await flatOut()
const perSecond = await flatOut()
const waited = await atRate(perSecond / 2)
server.stop()

console.log(
  `an authenticated request on ${server.kind}, at ${Math.round(perSecond / 2)} a second of ${Math.round(perSecond)}`,
)
settle({ id: 'half load, 50 of 100 wait at most', measured: percentile(0.5), unit: 'ms' })
settle({ id: 'half load, 99 of 100 wait at most', measured: percentile(0.99), unit: 'ms', limit: { atMost: 2 } })

async function flatOut(): Promise<number> {
  const requests = Array.from({ length: REQUESTS }, makeRequest)
  const start = performance.now()
  await Promise.all(server.sockets.map((socket) => sendAll(socket, requests)))
  return (1000 * REQUESTS) / (performance.now() - start)
}

// Sends when a request is due, whatever became of those before: a server that falls behind makes all later ones wait.
function atRate(rate: number): Promise<readonly number[]> {
  const requests = Array.from({ length: REQUESTS }, makeRequest)
  const idle = [...server.sockets]
  const took: number[] = []
  const start = performance.now()
  let sent = 0
  return new Promise((resolve, reject) => {
    const send = (): void => {
      while (sent < requests.length && due(sent) <= performance.now()) {
        const socket = idle.pop()
        if (socket === undefined) return
        const dueAt = due(sent)
        const request = requests[sent] ?? Buffer.alloc(0)
        sent += 1
        const done = (): void => {
          took.push(performance.now() - dueAt)
          idle.push(socket)
          if (took.length === requests.length) {
            clearInterval(timer)
            resolve(took)
          } else send()
        }
        exchange(socket, request, done, reject)
      }
    }
    const due = (index: number): number => start + (1000 * index) / rate
    const timer = setInterval(send, 1)
  })
}

function percentile(share: number): number {
  return [...waited].sort((a, b) => a - b)[Math.floor(waited.length * share)] ?? Number.NaN
}
