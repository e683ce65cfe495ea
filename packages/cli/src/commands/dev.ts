import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir, userInfo } from 'node:os'
import { join, resolve } from 'node:path'
import { AimsError, apiClient } from 'aims/base'
import { startAgent } from 'aims-agent'
import { type Configuration, makeDataDirectory, type RunningServer, startServer } from 'aims-server'
import type { Command } from 'commander'
import { runDemo, writeDemoPolicy } from '../demo/scenario.ts'
import { timeline } from '../demo/timeline.ts'
import { DEV_DIRECTORY } from '../dev-directory.ts'
import { ensureEntry } from '../dev-entries.ts'
import { EXIT, UsageError } from '../exit.ts'
import { print } from '../output.ts'
import { runUntilStopped } from '../running.ts'
import { configOf } from '../server-options.ts'

interface Options {
  readonly demo?: true
  readonly once?: true
  readonly profile: string
  readonly data: string
  readonly trustDomain: string
  readonly json?: true
}

const IN_REPOSITORY = 'npm run --silent aims --'
const SELVES: { readonly [lifecycleEvent: string]: string } = {
  start: IN_REPOSITORY,
  aims: IN_REPOSITORY,
  npx: 'npx aims',
}

/** `aims dev`: server and agent in one process, on embedded storage, for the current user. */
export function define(command: Command): void {
  command
    .option('--demo', "run the overview page's flow with real processes")
    .option('--once', 'with --demo: end after the flow; exit code 1 when a step did not do what it should')
    .option('--profile <name>', "with --demo: the shape of the calendar bot's tokens, wimse or aims-00", 'wimse')
    .option('--data <directory>', 'where everything is kept', DEV_DIRECTORY)
    .option('--trust-domain <name>', 'the trust domain; the demo is about example.com', 'example.com')
    .option('--json', 'print JSON: one object when ready, or one per step of the demo')
    .addHelpText('after', '\nExample:\n  $ aims dev --demo')
    .action(run)
}

async function run(options: Options): Promise<void> {
  const { profile, json = false, demo = false, trustDomain } = options
  if (profile !== 'wimse' && profile !== 'aims-00') throw new UsageError('--profile takes wimse or aims-00')
  if (demo && trustDomain !== 'example.com') throw new UsageError('the demo is about example.com')
  const started = performance.now()
  const dataDirectory = resolve(options.data)
  makeDataDirectory(dataDirectory)
  const sockets = socketDirectory(dataDirectory)
  const overrides = {
    trustDomain,
    dataDirectory,
    'api.socket': join(sockets.path, 'api.sock'),
    'agent.socket': join(sockets.path, 'workload.sock'),
    profiles: { 'aims-00': inDays(30) },
    'policies.directory': writeDemoPolicy(dataDirectory),
  }
  const { config, server } = await startOnFreePort(overrides)
  const agent = await startAgent(config)
  const api = apiClient({ socketPath: config['api.socket'] })
  const closing = {
    close: async () => {
      api.close()
      await agent.close()
      await server.close()
      sockets.remove()
    },
  }
  try {
    // So that `aims svid fetch`, run by the same user on the same runtime, is somebody.
    const selectors = [`unix:uid:${process.getuid?.() ?? 0}`, `unix:path:${process.execPath}`]
    await ensureEntry(api, { spiffeId: `spiffe://${trustDomain}/user/${userName()}`, selectors, owner: userName() })
    if (!demo) {
      const { port, logKey } = server
      const endpoint = `unix://${config['agent.socket']}`
      print({ ok: true, trustDomain, endpoint, apiSocket: config['api.socket'], port, logKey }, json)
      if (!json) process.stdout.write(howToUse(config, trustDomain))
      await runUntilStopped(closing)
      return
    }
    if (!json)
      process.stdout.write(`trust domain ${trustDomain}, data in ${dataDirectory}, ready in ${ms(started)}\n\n`)
    const result = await runDemo({ config, server, api, profile, report: timeline(json) })
    if (!result.ok) process.exitCode = EXIT.negative
    if (options.once === true) {
      await result.close()
      await closing.close()
      return
    }
    if (!json) process.stdout.write(whatNext(config, server, result.servicePort))
    await runUntilStopped(result, closing)
  } catch (error) {
    await closing.close()
    throw error
  }
}

// A developer's ports are often taken; which one it became is printed.
async function startOnFreePort(
  overrides: Parameters<typeof configOf>[1],
): Promise<{ config: Configuration; server: RunningServer }> {
  const config = await configOf({}, overrides)
  try {
    return { config, server: await startServer(config) }
  } catch (error) {
    if (!AimsError.is(error) || error.code !== 'operation.port_busy') throw error
    const elsewhere = await configOf({}, { ...overrides, 'listen.port': 0 })
    const server = await startServer(elsewhere)
    process.stderr.write(`aims: port ${config['listen.port']} is taken, listening on ${server.port}\n`)
    return { config: elsewhere, server }
  }
}

// The kernel takes socket paths of at most 107 bytes. A deeper data directory gets its sockets in the temporary directory.
function socketDirectory(dataDirectory: string): { readonly path: string; remove(): void } {
  if (Buffer.byteLength(dataDirectory) <= 89) return { path: dataDirectory, remove: () => undefined }
  const path = mkdtempSync(join(tmpdir(), 'aims-'))
  process.stderr.write(`aims: ${dataDirectory} is too long for sockets; they are in ${path} until the end\n`)
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) }
}

// How whoever reads this started us: by a script of the repository, by npx, or as an installed command.
const SELF = SELVES[process.env.npm_lifecycle_event ?? ''] ?? 'aims'

function howToUse(config: Configuration, trustDomain: string): string {
  const uid = process.getuid?.() ?? 0
  return `
It stays up until you press Ctrl-C. In another terminal:

  export SPIFFE_ENDPOINT_SOCKET=unix://${config['agent.socket']}
  export AIMS_API_SOCKET=${config['api.socket']}
  ${SELF} svid fetch
  ${SELF} entry create --spiffe-id spiffe://${trustDomain}/agent/my-agent --selector unix:uid:${uid} \\
    --owner me --purpose 'tries AIMS'

Programs that are started there with the first variable set get an identity; see docs/quickstart.md.
`
}

function whatNext(config: Configuration, server: RunningServer, servicePort: number): string {
  const data = config.dataDirectory
  return `
It stays up until you press Ctrl-C. In another terminal:

  ${SELF} entry list --socket ${config['api.socket']}
  ${SELF} audit list --log ${data} --decision deny
  ${SELF} audit verify --log ${data} --vkey '${server.logKey}'
  ${SELF} explain <id of a refusal> --log ${data}
  ${SELF} svid fetch --socket ${config['agent.socket']} --write ./my-svid
  curl --cacert ./my-svid/bundle.pem --cert ./my-svid/svid.pem --key ./my-svid/key.pem https://localhost:${servicePort}/api/v1/events

The last one is authenticated over mTLS, and denied: no policy mentions you. The policies are in ${join(data, 'policies')}.
`
}

function userName(): string {
  const name = userInfo().username.replaceAll(/[^A-Za-z0-9._-]/g, '-')
  return name === '' || name === '.' || name === '..' ? 'me' : name
}

function inDays(days: number): string {
  return new Date(Date.now() + days * 86_400_000).toISOString().slice(0, 10)
}

function ms(started: number): string {
  return `${Math.round(performance.now() - started)} ms`
}
