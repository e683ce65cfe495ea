// Servers of other projects, each started anew in a directory of its own and on a free port.
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, chownSync, globSync, mkdtempSync, rmSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { createClient } from '@redis/client'
import pg from 'pg'
import { freePort } from './free-port.ts'

/** A server that a test has started. */
export interface TestServer {
  readonly port: number
  /** Ends the process without a word, as a crash does. */
  kill(): Promise<void>
  /** Starts it again, on the same data and port. */
  start(): Promise<void>
  /** Ends it and removes its data. */
  remove(): Promise<void>
}

const redisProgram = ['redis-server', 'valkey-server'].find((name) => spawnSync(name, ['--version']).status === 0)
const postgresPrograms = globSync('/usr/lib/postgresql/*/bin').sort().at(-1)

/** Why tests with Redis are skipped, or false. */
export const withoutRedis: string | false = redisProgram === undefined ? 'redis-server is not installed' : false
/** Why tests with PostgreSQL are skipped, or false. */
export const withoutPostgres: string | false = postgresPrograms === undefined ? 'postgresql is not installed' : false

/** @param settings - As on the command line, e.g. `--maxmemory 10mb`. */
export async function startRedis(settings: readonly string[] = []): Promise<TestServer> {
  const directory = mkdtempSync(join(tmpdir(), 'aims-redis-'))
  const port = await freePort()
  const args = ['--port', `${port}`, '--bind', '127.0.0.1', '--dir', directory, '--save', '', ...settings]
  return serving(directory, port, {
    run: () => spawn(redisProgram ?? '', args, { stdio: 'ignore' }),
    isReady: () => isOpen(port),
    crash: 'SIGKILL',
  })
}

/** The user `aims` needs no password. @param settings - As `name=value`. */
export async function startPostgres(settings: readonly string[] = []): Promise<TestServer> {
  const directory = mkdtempSync(join(tmpdir(), 'aims-postgres-'))
  const data = join(directory, 'data')
  const bin = (name: string): string => join(postgresPrograms ?? '', name)
  // PostgreSQL refuses to run as root.
  const user = process.getuid?.() === 0 ? { uid: 65_534, gid: 65_534 } : {}
  if (user.uid !== undefined) chownSync(directory, user.uid, user.gid)
  chmodSync(directory, 0o700)
  const init = ['--pgdata', data, '--username', 'aims', '--auth', 'trust', '--encoding', 'UTF8', '--no-sync']
  execFileSync(bin('initdb'), init, { stdio: 'ignore', cwd: directory, ...user })
  const port = await freePort()
  const all = [`unix_socket_directories=${directory}`, 'listen_addresses=127.0.0.1', `port=${port}`, ...settings]
  const args = ['-D', data, ...all.flatMap((setting) => ['-c', setting])]
  const run = (): ChildProcess => spawn(bin('postgres'), args, { stdio: 'ignore', cwd: directory, ...user })
  // Its own word for a crash: SIGKILL would leave processes that answer on.
  // It listens before it answers.
  const isReady = async (): Promise<boolean> =>
    spawnSync(bin('pg_isready'), ['--host=127.0.0.1', `--port=${port}`]).status === 0
  return serving(directory, port, { run, isReady, crash: 'SIGQUIT' })
}

interface Program {
  run(): ChildProcess
  isReady(): Promise<boolean>
  /** The signal that ends it without a word. */
  readonly crash: NodeJS.Signals
}

async function serving(directory: string, port: number, { run, isReady, crash }: Program): Promise<TestServer> {
  let child = run()
  const kill = async (): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return
    const ended = once(child, 'exit')
    child.kill(crash)
    await ended
  }
  await answering(isReady, child)
  return {
    port,
    kill,
    async start() {
      // What a killed server leaves running, or its port, may need a moment.
      for (let attempt = 0; ; attempt += 1) {
        child = run()
        try {
          return await answering(isReady, child)
        } catch (error) {
          if (attempt === 50) throw error
          await sleep(100)
        }
      }
    },
    async remove() {
      await kill()
      await sleep(20)
      rmSync(directory, { recursive: true, force: true, maxRetries: 20 })
    },
  }
}

async function answering(isReady: () => Promise<boolean>, child: ChildProcess): Promise<void> {
  for (let attempt = 0; attempt < 600; attempt += 1) {
    if (child.exitCode !== null) throw new Error(`the server ended with ${child.exitCode}`)
    if (await isReady()) return
    await sleep(50)
  }
  throw new Error('the server does not answer')
}

async function isOpen(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1')
  const opened = once(socket, 'connect').then(
    () => true,
    () => false,
  )
  return opened.finally(() => socket.destroy())
}

/** Asks a Redis one thing. */
export async function redisCommand(port: number, ...args: string[]): Promise<unknown> {
  const client = createClient({ socket: { host: '127.0.0.1', port } })
  client.on('error', () => undefined)
  await client.connect()
  const answer = await client.sendCommand(args)
  await client.close()
  return answer
}

/** Runs a statement as `aims`. @returns Its rows. */
export async function postgresStatement(
  text: string,
  where: { readonly port: number; readonly database: string },
): Promise<unknown[]> {
  const client = new pg.Client({ host: '127.0.0.1', user: 'aims', ...where })
  client.on('error', () => undefined)
  await client.connect()
  try {
    return (await client.query(text)).rows
  } finally {
    await client.end()
  }
}
