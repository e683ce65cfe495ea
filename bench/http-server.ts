// Goals P3, P4 and P12 over HTTP: what authenticating a request costs a server, by its processor time. The servers are
// processes of their own, and each request carries a proof of its own. Servers are compared when they are warm, which
// takes them some 15,000 requests: until then they compile. Each thread compiles for itself, and gets the requests of its
// connections.
import { report } from './harness.ts'
import { type CpuCase, cpuRounds } from './support/cpu.ts'
import { makeRequest, type RunningServer, sendAll, startServer } from './support/http-load.ts'
import { KINDS, type ServerKind } from './support/http-servers.ts'
import { settle } from './support/table.ts'

const WARM_UP = 16_000
const servers: RunningServer[] = []
for (const kind of KINDS) servers.push(await startServer(kind))
const measured = await cpuRounds(servers.map(loaded), { rounds: 7, times: 1000, warmUp: WARM_UP })
for (const { stop } of servers) stop()

report('one request, processor time of the server', measured, [
  { id: 'P3, one bare verification', case: 'node:http, aims', atMost: 1 / 0.8 },
])
const us = (kind: ServerKind): number => measured.find(({ name }) => name === kind)?.microseconds ?? Number.NaN
const OURS = 'node:http, aims'
for (const [kind, atLeast] of [
  ['node:http, jose, WIT cached', 1.1],
  ['node:http, jose as one would write it', 3],
] as const) {
  settle({ id: 'P3, as fast', measured: us(kind) / us(OURS), unit: 'x', against: kind, limit: { atLeast } })
}
settle({
  id: 'P12, two threads on one store',
  measured: (2 * us(OURS)) / us('node:http, aims, two threads'),
  unit: 'x',
  against: OURS,
  limit: { atLeast: 1.8 },
})
// Beside a server that verifies too: what comes after a verification, which wants much of the processor's caches, costs
// a framework more than it costs node:http, whoever verifies.
const onNode = us(OURS) - us('node:http, one bare verification')
for (const name of ['express', 'fastify', 'hono', 'koa'] as const) {
  const more = us(`${name}, aims`) - us(`${name}, one bare verification`) - onNode
  settle({ id: `P4, ${name}`, measured: more, unit: 'us more', against: OURS, limit: { atMost: 5 } })
}

function loaded({ kind, sockets, cpu }: RunningServer): CpuCase {
  return {
    name: kind,
    ...(kind === 'node:http, aims, two threads' ? { warmUp: 3 * WARM_UP } : {}),
    async use(times) {
      const requests = Array.from({ length: times }, makeRequest)
      const before = await cpu()
      await Promise.all(sockets.map((socket) => sendAll(socket, requests)))
      return (await cpu()) - before
    },
  }
}
