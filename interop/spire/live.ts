// node --conditions=aims:source interop/spire/live.ts DIRECTORY: with `spire-server` and `spire-agent` of the directory.
// SPIRE says who our server and our agent are; a workload then gets its identity from ours, over an SVID rotation of
// SPIRE's. By hand, because building SPIRE takes many minutes and gigabytes: `go build ./cmd/spire-server ./cmd/spire-agent`
// in github.com/spiffe/spire.
import assert from 'node:assert/strict'
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { apiClient } from 'aims/base'
import { verifyX509Svid } from 'aims/credentials'
import { parseTrustDomain } from 'aims/identifiers'
import { connectWorkload } from 'aims/provisioning'
import { startAgent } from 'aims-agent'
import { loadConfig, startServer } from 'aims-server'

const [, , directory] = process.argv
if (directory === undefined) throw new TypeError('the directory with spire-server and spire-agent is needed')
const root = mkdtempSync(join(tmpdir(), 'aims-spire-'))
const api = join(root, 'spire-server.sock')
const socket = join(root, 'spire-agent.sock')
const me = `unix:uid:${process.geteuid?.()}`
// Server and agent are one process here, and so one workload of SPIRE.
const AIMS = 'spiffe://spire.example/aims/both'
const started: ChildProcess[] = []

const spire = (...args: readonly string[]): string =>
  execFileSync(join(directory, 'spire-server'), [...args, '-socketPath', api], { encoding: 'utf8' })
const run = (program: string, config: string): void => {
  const file = join(root, `${program}.conf`)
  writeFileSync(file, config)
  started.push(spawn(join(directory, program), ['run', '-config', file], { stdio: ['ignore', 'ignore', 'inherit'] }))
}
async function eventually<T>(what: string, look: () => T | undefined): Promise<T> {
  for (let tries = 0; tries < 600; tries += 1) {
    try {
      const found = look()
      if (found !== undefined) return found
    } catch {
      // Not yet.
    }
    await sleep(200)
  }
  throw new Error(`never happened: ${what}`)
}

try {
  run(
    'spire-server',
    `server {
      bind_address = "127.0.0.1"
      bind_port = "18081"
      socket_path = "${api}"
      trust_domain = "spire.example"
      data_dir = "${root}"
      log_level = "ERROR"
      ca_ttl = "1h"
      default_x509_svid_ttl = "1m"
    }
    plugins {
      DataStore "sql" { plugin_data { database_type = "sqlite3" connection_string = "${root}/spire.sqlite3" } }
      NodeAttestor "join_token" { plugin_data {} }
      KeyManager "memory" { plugin_data {} }
    }`,
  )
  await eventually('the SPIRE server', () => spire('healthcheck'))
  const token = /Token: (\S+)/.exec(spire('token', 'generate', '-spiffeID', 'spiffe://spire.example/host'))?.[1]
  writeFileSync(join(root, 'bundle.pem'), spire('bundle', 'show'))
  run(
    'spire-agent',
    `agent {
      data_dir = "${root}/agent"
      log_level = "ERROR"
      server_address = "127.0.0.1"
      server_port = "18081"
      socket_path = "${socket}"
      trust_bundle_path = "${root}/bundle.pem"
      trust_domain = "spire.example"
      join_token = "${token}"
    }
    plugins {
      NodeAttestor "join_token" { plugin_data {} }
      KeyManager "memory" { plugin_data {} }
      WorkloadAttestor "unix" { plugin_data {} }
    }`,
  )
  spire('entry', 'create', '-parentID', 'spiffe://spire.example/host', '-spiffeID', AIMS, '-selector', me)

  const workloadApi = `unix://${socket}`
  const trustDomain = parseTrustDomain('agents.example.com')
  const config = await loadConfig({
    env: {},
    overrides: {
      trustDomain,
      dataDirectory: join(root, 'data'),
      'listen.port': 0,
      'listen.workloadApi': workloadApi,
      attestation: { spiffe: { trustDomains: { 'spire.example': {} } } },
      'agents.attestation': { spiffe: { ids: [AIMS] } },
    },
  })
  const server = await startServer(config)
  const agent = await startAgent({
    trustDomain,
    'agent.socket': join(root, 'workload.sock'),
    'agent.socketMode': 0o600,
    'agent.serverSocket': '/nonexistent',
    'agent.server': `https://127.0.0.1:${server.port}`,
    'agent.serverId': AIMS,
    'agent.workloadApi': workloadApi,
    'agent.attestation': 'spiffe',
  })
  const admin = apiClient({ socketPath: server.socketPath })
  const spiffeId = 'spiffe://agents.example.com/job/bot'
  const entry = { id: 'bot', spiffeId, selectors: [me], agents: [[`spiffe:id:${AIMS}`]] }
  await admin.send({ method: 'POST', path: '/v1/entries', body: entry })
  const workload = await connectWorkload({ address: agent.address })
  const svid = workload.x509.x509Svid()
  const { subject } = verifyX509Svid(svid.certificates, { bundles: workload.bundles, now: Date.now() / 1000 })
  assert.equal(subject, spiffeId)
  console.log(`${subject}: from our agent, which SPIRE knows as ${AIMS}`)

  const foreign = await connectWorkload({ address: workloadApi })
  const before = foreign.x509.x509Svid()
  await eventually('a rotation by SPIRE', () => (foreign.x509.x509Svid() === before ? undefined : true))
  await sleep(2000)
  const { revision } = (await admin.send({ method: 'GET', path: '/v1/entries/bot' })) as { revision: number }
  const changed = {
    method: 'PUT',
    path: `/v1/entries/bot?revision=${revision}`,
    body: { ...entry, x509Ttl: 1800 },
  } as const
  await admin.send(changed)
  await eventually('an SVID after it', () => (workload.x509.x509Svid() === svid ? undefined : true))
  console.log('SPIRE rotated the SVID of both, and the next SVID of the workload came')

  for (const one of [foreign, workload, admin]) one.close()
  await agent.close()
  await server.close()
} finally {
  for (const child of started.toReversed()) {
    child.kill('SIGTERM')
    if (child.exitCode === null) await once(child, 'exit')
  }
  rmSync(root, { recursive: true, force: true })
}
