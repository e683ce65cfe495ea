import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { type ApiClient, apiClient, type JsonObject } from 'aims/base'
import { verifyX509Svid } from 'aims/credentials'
import { connectWorkload, type Workload } from 'aims/provisioning'
import { type AdminClient, adminClient } from 'aims-server'
import { freePort } from '../support/free-port.ts'
import { makeCertificate, makeRoot } from '../support/vendor-pki.ts'

// Two processes, each killed at moments that a seed decides, and a workload that must not notice.

// A round starts two programs anew, so a full run has fewer of them than the kill loops of store and log.
const ROUNDS = Math.min(20, Number(process.env.AIMS_KILL_ROUNDS ?? 4))
const SEED = process.env.AIMS_KILL_SEED ?? String(Date.now())
const root = mkdtempSync(join(tmpdir(), 'aims-remote-kill-'))
const main = fileURLToPath(new URL('../../packages/cli/src/main.ts', import.meta.url))
const me = `unix:uid:${process.geteuid?.()}`
const subject = 'spiffe://example.com/job/bot'
const machineCa = makeRoot('Machine CA')
const machine = makeCertificate({ subject: 'web-1', issuer: machineCa })
const processes = new Set<ChildProcess>()
let server: ChildProcess
let agent: ChildProcess
let api: ApiClient
let admin: AdminClient
/** Seconds that an SVID of the workload lives. */
let life = 0

function chance(what: string): number {
  return createHash('sha256').update(`${SEED} ${what}`).digest().readUInt32BE() / 2 ** 32
}

function run(command: string, config: string, env: NodeJS.ProcessEnv = {}): ChildProcess {
  const flags = ['--conditions=aims:source', '--disable-warning=ExperimentalWarning']
  const child = spawn(process.execPath, [...flags, main, command, '--config', join(root, config), '--json'], {
    stdio: ['ignore', 'pipe', 'ignore'],
    env: { ...process.env, ...env },
  })
  processes.add(child)
  child.once('exit', () => processes.delete(child))
  return child
}
async function started(child: ChildProcess): Promise<ChildProcess> {
  await Promise.race([once(child.stdout as NodeJS.ReadableStream, 'data'), once(child, 'exit')])
  assert.equal(child.exitCode, null, 'it did not start')
  return child
}
async function kill(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  child.kill('SIGKILL')
  await once(child, 'exit')
}

before(async () => {
  const port = await freePort()
  const file = (name: string, content: unknown): void =>
    writeFileSync(join(root, name), typeof content === 'string' ? content : JSON.stringify(content), { mode: 0o600 })
  file('ca.pem', machineCa.pem)
  file('machine.pem', machine.pem)
  file('machine.key', machine.key.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString())
  file('server.yaml', {
    trustDomain: 'example.com',
    dataDirectory: './server',
    listen: { port },
    attestation: { 'x509-pop': { authorities: join(root, 'ca.pem') } },
    agents: { attestation: { 'x509-pop': {}, 'join-token': {} }, ttl: 6 },
  })
  const agentSettings = { server: `https://127.0.0.1:${port}`, bundle: './bundle.json', socketMode: '0600' }
  const byCertificate = { attestation: 'x509-pop', certificate: './machine.pem', key: './machine.key' }
  file('agent.yaml', {
    trustDomain: 'example.com',
    agent: { ...agentSettings, ...byCertificate, socket: './workload.sock', dataDirectory: './agent' },
  })
  file('joining.yaml', {
    trustDomain: 'example.com',
    agent: { ...agentSettings, socket: './joining.sock', dataDirectory: './joining' },
  })
  const begun = performance.now()
  server = await started(run('server', 'server.yaml'))
  api = apiClient({ socketPath: join(root, 'server', 'api.sock') })
  admin = adminClient(api)
  file('bundle.json', await admin.bundle({ includeWit: true }))
  const agents = [['x509-pop:subject-cn:web-1']]
  // Half of a life is more than both programs are away, however slow this machine is.
  const start = (performance.now() - begun) / 1000
  life = Math.max(40, Math.ceil(start * 30))
  await admin.createEntry({ id: 'bot', spiffeId: subject, selectors: [me], agents, x509Ttl: life, witTtl: life })
  agent = await started(run('agent', 'agent.yaml'))
})
after(async () => {
  api.close()
  for (const child of [...processes]) await kill(child)
  rmSync(root, { recursive: true })
})

const agentsOf = async (type: string): Promise<readonly JsonObject[]> => {
  const { agents } = (await api.send({ method: 'GET', path: '/v1/agents' })) as { agents: JsonObject[] }
  return agents.filter((one) => one.type === type)
}
const serial = ({ x509 }: Workload): string => Buffer.from(x509.x509Svid().certificates[0] ?? []).toString('hex')

// Looks at the workload all the time: what it holds must verify by what it holds, at every moment.
function watch(workload: Workload) {
  const serials = new Set<string>()
  const failures: unknown[] = []
  let looks = 0
  const timer = setInterval(() => {
    looks += 1
    try {
      const { certificates } = workload.x509.x509Svid()
      verifyX509Svid(certificates, { bundles: workload.bundles, now: Date.now() / 1000 })
      serials.add(serial(workload))
    } catch (error) {
      failures.push(error)
    }
  }, 50)
  return {
    failures,
    end() {
      clearInterval(timer)
      return { looks, serials: serials.size }
    },
    [Symbol.dispose]: () => clearInterval(timer),
  }
}

test('a workload keeps fresh credentials while server and agent are killed, at attestation, sync and rotation', async (t) => {
  t.diagnostic(`AIMS_KILL_SEED=${SEED}`)
  using workload = await connectWorkload({
    address: `unix://${join(root, 'workload.sock')}`,
    backoff: 20,
    maxBackoff: 100,
  })
  using watched = watch(workload)
  for (let round = 0; round < ROUNDS; round += 1) {
    await sleep(chance(`${round} server`) * 2000)
    await kill(server)
    await sleep(chance(`${round} away`) * 1500)
    server = await started(run('server', 'server.yaml'))
    await sleep(chance(`${round} agent`) * 2000)
    await kill(agent)
    // Killed again before it is up: at its attestation or first sync.
    const short = run('agent', 'agent.yaml')
    await sleep(200 + chance(`${round} short`) * 600)
    await kill(short)
    agent = await started(run('agent', 'agent.yaml'))
  }
  const before = serial(workload)
  for (let tries = 0; tries < 20 * life && serial(workload) === before; tries += 1) await sleep(50)
  assert.notEqual(serial(workload), before, 'nothing is renewed any more')
  const { looks, serials } = watched.end()
  t.diagnostic(`${looks} looks, ${serials} SVIDs`)
  assert.deepEqual(watched.failures, [])
  assert.ok(looks > 50 && serials >= 2)
  assert.equal((await agentsOf('x509-pop')).length, 1)
})

test('an agent that is killed while it joins is in, may try again, or has used its token up; never more than one is in', async (t) => {
  t.diagnostic(`AIMS_KILL_SEED=${SEED}`)
  for (let round = 0; round < ROUNDS; round += 1) {
    const had = (await agentsOf('join-token')).length
    const made = (await api.send({
      method: 'POST',
      path: '/v1/join-tokens',
      body: { name: 'edge', for: 'agent' },
    })) as JsonObject
    const env = { AIMS_JOIN_TOKEN: String(made.token) }
    const child = run('agent', 'joining.yaml', env)
    await sleep(300 + chance(`${round} join`) * 700)
    await kill(child)
    const next = run('agent', 'joining.yaml', env)
    await Promise.race([once(next.stdout as NodeJS.ReadableStream, 'data'), once(next, 'exit')])
    // Whoever is out says so, and is not half in.
    if (next.exitCode !== null) assert.equal(next.exitCode, 1)
    await kill(next)
    assert.ok((await agentsOf('join-token')).length - had <= 1)
    rmSync(join(root, 'joining'), { recursive: true, force: true })
  }
})
