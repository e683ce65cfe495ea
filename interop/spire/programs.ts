import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

/** The selector of everything that this user runs. */
export const ME: string = `unix:uid:${process.geteuid?.()}`

/** A SPIRE server and an agent of it, with the trust domain `spire.example`. */
export interface Spire {
  /** For files of the scenario; removed at the end. */
  readonly root: string
  /** `https://HOST:PORT` of the server. */
  readonly server: string
  /** `unix://PATH` of the agent. */
  readonly workloadApi: string
  /** Runs `spire-server` and gives what it prints. */
  ask(...args: readonly string[]): string
  /** Runs `spire-agent` and gives what it prints. */
  askAgent(...args: readonly string[]): string
}

/** Tries until there is an answer, for two minutes. */
export async function eventually<T>(what: string, look: () => T | undefined | Promise<T | undefined>): Promise<T> {
  for (let tries = 0; tries < 600; tries += 1) {
    try {
      const found = await look()
      if (found !== undefined) return found
    } catch {
      // Not yet.
    }
    await sleep(200)
  }
  throw new Error(`never happened: ${what}`)
}

/** Starts both programs of `directory`, runs the scenario, and stops them. */
export async function withSpire(directory: string, scenario: (spire: Spire) => Promise<void>): Promise<void> {
  const root = mkdtempSync(join(tmpdir(), 'aims-spire-'))
  const api = join(root, 'spire-server.sock')
  const socket = join(root, 'spire-agent.sock')
  const started: ChildProcess[] = []
  const run = (program: string, config: string): void => {
    const file = join(root, `${program}.conf`)
    writeFileSync(file, config)
    started.push(spawn(join(directory, program), ['run', '-config', file], { stdio: ['ignore', 'ignore', 'inherit'] }))
  }
  const call = (program: string, args: readonly string[], at: string): string =>
    execFileSync(join(directory, program), [...args, '-socketPath', at], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    })
  const ask = (...args: readonly string[]): string => call('spire-server', args, api)
  try {
    run('spire-server', serverConfig(root, api))
    await eventually('the SPIRE server', () => ask('healthcheck'))
    const token = /Token: (\S+)/.exec(ask('token', 'generate', '-spiffeID', 'spiffe://spire.example/host'))?.[1]
    writeFileSync(join(root, 'bundle.pem'), ask('bundle', 'show'))
    run('spire-agent', agentConfig(root, socket, token))
    await scenario({
      root,
      server: 'https://127.0.0.1:18081',
      workloadApi: `unix://${socket}`,
      ask,
      askAgent: (...args) => call('spire-agent', args, socket),
    })
  } finally {
    for (const child of started.toReversed()) {
      child.kill('SIGTERM')
      if (child.exitCode === null) await once(child, 'exit')
    }
    rmSync(root, { recursive: true, force: true })
  }
}

function serverConfig(root: string, api: string): string {
  return `server {
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
    }`
}

function agentConfig(root: string, socket: string, token: string | undefined): string {
  return `agent {
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
    }`
}
