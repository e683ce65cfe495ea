// Goals P3 and P4: what authenticating a request costs a server, by its processor time. The servers are processes of their
// own, and each request carries a proof of its own.
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { proofHeaders } from 'aims/authentication'
import { verificationKey, WorkloadKey } from 'aims/base'
import { emptyBundle, issueWit, serializeBundle } from 'aims/credentials'
import { parseSpiffeId, parseTrustDomain } from 'aims/identifiers'
import { report } from './harness.ts'
import { type CpuCase, cpuRounds } from './support/cpu.ts'
import { AUDIENCE, KINDS, type ServerKind } from './support/http-servers.ts'

const CONNECTIONS = 8
const now = Math.floor(Date.now() / 1000)
const signer = WorkloadKey.generate()
const key = WorkloadKey.generate()
const subject = parseSpiffeId('spiffe://example.com/agent/calendar-bot')
const { token } = await issueWit({ subject, publicKey: key.publicKey, now, ttl: 86_400 }, signer)
const witAuthorities = new Map([[signer.kid, verificationKey(signer.publicKey, { kid: signer.kid })]])
const bundle = serializeBundle(
  { ...emptyBundle(parseTrustDomain('example.com')), witAuthorities },
  { includeWit: true },
)

const servers: Running[] = []
for (const kind of KINDS) servers.push(await start(kind))
const measured = await cpuRounds(
  servers.map(({ kind, use }): CpuCase => ({ name: kind, use })),
  { rounds: 7, times: 500 },
)
for (const { stop } of servers) stop()

report('one request, processor time of the server', measured, [
  { id: 'P3, one bare verification', case: 'node:http, aims', atMost: 1 / 0.8 },
])
const us = (kind: ServerKind): number => measured.find(({ name }) => name === kind)?.microseconds ?? Number.NaN
goal('P3, jose, WIT cached: times as fast', us('node:http, jose, WIT cached') / us('node:http, aims'), 1.1)
goal(
  'P3, jose as one would write it: times as fast',
  us('node:http, jose as one would write it') / us('node:http, aims'),
  3,
)
const onNode = us('node:http, aims') - us('node:http, nothing')
for (const name of ['express', 'fastify', 'hono', 'koa'] as const) {
  const more = us(`${name}, aims`) - us(`${name}, nothing`) - onNode
  console.log(`  ${more <= 5 ? 'met' : 'MISSED'}  P4, ${name}: ${more.toFixed(1)} us more than on node:http <= 5`)
}

function goal(id: string, ratio: number, atLeast: number): void {
  console.log(`  ${ratio >= atLeast ? 'met' : 'MISSED'}  ${id}: ${ratio.toFixed(2)} >= ${atLeast}`)
}

interface Running {
  readonly kind: ServerKind
  readonly use: CpuCase['use']
  stop(): void
}

async function start(kind: ServerKind): Promise<Running> {
  const child = fork(new URL('./support/http-servers.ts', import.meta.url), [kind, bundle])
  const ended = once(child, 'exit').then(() => {
    throw new Error(`${kind}: the server has ended`)
  })
  ended.catch(() => undefined)
  const [port] = await Promise.race([once(child, 'message'), ended])
  const sockets = await Promise.all(
    Array.from({ length: CONNECTIONS }, async () => {
      const socket = connect(port, '127.0.0.1').setNoDelay(true)
      await once(socket, 'connect')
      return socket
    }),
  )
  const cpu = async (): Promise<number> => {
    child.send('cpu')
    return (await once(child, 'message'))[0]
  }
  return {
    kind,
    async use(times) {
      const requests = Array.from({ length: times }, makeRequest)
      const before = await cpu()
      await Promise.all(sockets.map((socket) => sendAll(socket, requests)))
      return (await cpu()) - before
    },
    stop() {
      for (const socket of sockets) socket.destroy()
      child.kill()
    },
  }
}

function makeRequest(): string {
  const wit = { token, key, subject, profile: 'wimse' as const }
  const request = { method: 'GET', target: '/api/v1/events', audience: AUDIENCE }
  const fields = proofHeaders(wit, request, { now: Math.floor(Date.now() / 1000) })
  const lines = Object.entries(fields).map(([name, value]) => `${name}: ${value}\r\n`)
  return `GET /api/v1/events HTTP/1.1\r\nHost: h\r\n${lines.join('')}\r\n`
}

// One after the other on each connection; all take from one list.
async function sendAll(socket: Socket, requests: string[]): Promise<void> {
  for (let request = requests.pop(); request !== undefined; request = requests.pop()) {
    socket.write(request)
    let answer = ''
    while (!/ok(?:\r\n0\r\n\r\n)?$/.test(answer)) {
      answer += String((await once(socket, 'data'))[0])
      if (!answer.startsWith('HTTP/1.1 200')) throw new Error('refused')
    }
  }
}
