import { type ChildProcess, fork, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { setPriority } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { isJsonObject, parseJson } from 'aims/base'

/** A user of the machine, as the kernel will name a process. */
export interface User {
  readonly uid: number
  readonly gid: number
}

const FLAGS = ['--conditions=aims:source', '--disable-warning=ExperimentalWarning']
const MAIN = fileURLToPath(new URL('../../packages/cli/src/main.ts', import.meta.url))
const CREW = fileURLToPath(new URL('./crew.ts', import.meta.url))
/** What crews give up for server and agents, as `nice` counts it: they are most of the load, and wait for those two. */
const NICE = 5
/** Users that no machine has given to anybody. */
const FIRST_UID = 790_000

/**
 * Compiles what all processes run, once, into a directory that they read: for so many processes, compiling is most of
 * the start. They belong to other users, and can write nothing there.
 */
export function compileOnce(directory: string): void {
  const env = { ...process.env, NODE_COMPILE_CACHE: directory }
  for (const file of [MAIN, CREW]) {
    spawnSync(process.execPath, [...FLAGS, file, 'version'], { env, stdio: 'ignore', timeout: 60_000 })
  }
  process.env.NODE_COMPILE_CACHE = directory
}

/** Writes `NAME.yaml` and runs `aims COMMAND` with it. Resolves when it says that it runs. */
export async function startAims(
  command: 'server' | 'agent',
  options: { readonly root: string; readonly name: string; readonly config: object; readonly env?: NodeJS.ProcessEnv },
): Promise<ChildProcess> {
  const { root, name, config, env = {} } = options
  const file = join(root, `${name}.yaml`)
  writeFileSync(file, JSON.stringify(config), { mode: 0o600 })
  const child = spawn(process.execPath, [...FLAGS, MAIN, command, '--config', file, '--json'], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, ...env },
  })
  const ended = once(child, 'exit').then(([code]) => Promise.reject(new Error(`aims ${command} ended (${code})`)))
  const [line] = await Promise.race([once(child.stdout as NodeJS.ReadableStream, 'data'), ended])
  ended.catch(() => undefined)
  child.stdout?.resume()
  const said = parseJson(String(line).split('\n')[0] ?? '')
  if (!isJsonObject(said) || said.ok === false) throw new Error(`aims ${command} did not start`)
  return child
}

/** Starts the process of a crew as a user of its own. Gives way to server and agents. */
export function startCrew(user: User | undefined): ChildProcess {
  const child = fork(CREW, { execArgv: FLAGS, stdio: ['ignore', 'ignore', 'inherit', 'ipc'], ...user })
  if (child.pid !== undefined) setPriority(child.pid, NICE)
  return child
}

/** A user per crew, by which its agent knows it; `undefined`: this process may not act as others, and all are one user. */
export function userOf(crew: number): User | undefined {
  const user = { uid: FIRST_UID + crew, gid: FIRST_UID + crew }
  if (process.geteuid?.() !== 0) return undefined
  return canRead(user) ? user : undefined
}

let readable: boolean | undefined
function canRead(user: User): boolean {
  const look = `require('node:fs').readFileSync(${JSON.stringify(MAIN)})`
  readable ??= spawnSync(process.execPath, ['-e', look], { ...user, stdio: 'ignore' }).status === 0
  return readable
}

/** Ends a process and waits for that. */
export async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const ended = once(child, 'exit')
  child.kill('SIGTERM')
  const hard = setTimeout(() => child.kill('SIGKILL'), 15_000)
  await ended
  clearTimeout(hard)
}

/** Seconds of processor time that a process has used. */
export function cpuOf({ pid }: ChildProcess): number {
  // After the name, which may have blanks: state is field 3, utime and stime are 14 and 15, in ticks of 10 ms.
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /s, '')
    .split(' ')
  return (Number(fields[11]) + Number(fields[12])) / 100
}
