import { type ChildProcess, spawn } from 'node:child_process'
import { copyFileSync, linkSync, mkdirSync, rmSync } from 'node:fs'
import { extname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** A program of the demo in a process of its own, which answers requests over its IPC channel. */
export interface WorkloadProcess {
  readonly pid: number
  /** The executable the kernel sees, and so what `unix:path` says. */
  readonly executable: string
  ask(request: { readonly [name: string]: unknown }): Promise<Answer>
  stop(): Promise<void>
}

/** What a workload answers: facts only, never a credential. */
export interface Answer {
  readonly observed: string
  readonly facts?: { readonly [name: string]: unknown }
}

/**
 * Gives a workload its own copy of the runtime. To the kernel a script is its interpreter, so agents that share one
 * `node` are one executable; a hard link (or copy) of it per agent is the smallest thing that tells them apart.
 */
export function ownRuntime(directory: string, name: string): string {
  mkdirSync(directory, { recursive: true, mode: 0o700 })
  const path = join(directory, name)
  rmSync(path, { force: true })
  try {
    linkSync(process.execPath, path)
  } catch {
    // Another file system, or the runtime belongs to somebody else.
    copyFileSync(process.execPath, path)
  }
  return path
}

/** Starts `program` (a file beside this one) on its own runtime and waits until it answers. */
export async function startWorkload(
  executable: string,
  program: string,
  environment: { readonly [name: string]: string },
): Promise<WorkloadProcess> {
  const script = fileURLToPath(new URL(`./${program}${extname(import.meta.url)}`, import.meta.url))
  const child = spawn(executable, [...process.execArgv, script], {
    env: { PATH: process.env.PATH, ...environment },
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  })
  let next = 0
  const waiting = new Map<number, { resolve(answer: Answer): void; reject(error: Error): void }>()
  child.on('message', (message: { id: number; answer: Answer }) => {
    waiting.get(message.id)?.resolve(message.answer)
    waiting.delete(message.id)
  })
  const gone = new Promise<void>((resolve) => child.once('close', () => resolve()))
  void gone.then(() => {
    for (const { reject } of waiting.values()) reject(new Error(`${program} ended before it answered`))
  })
  const ask = (request: { readonly [name: string]: unknown }): Promise<Answer> =>
    new Promise((resolve, reject) => {
      if (!child.connected) return reject(new Error(`${program} is not running`))
      next += 1
      waiting.set(next, { resolve, reject })
      child.send({ id: next, request })
    })
  await ready(child, program)
  return {
    pid: child.pid ?? 0,
    executable,
    ask,
    stop: async () => {
      if (child.exitCode === null && child.signalCode === null) child.kill('SIGTERM')
      await gone
    },
  }
}

// The number of the message with which a workload says that it answers requests from now on.
const READY = 0

function ready(child: ChildProcess, program: string): Promise<void> {
  return new Promise((resolve, reject) => {
    child.on('message', ({ id }: { id: number }) => {
      if (id === READY) resolve()
    })
    child.once('error', (cause) => reject(new Error(`cannot start ${program}`, { cause })))
    child.once('close', () => reject(new Error(`${program} ended at once`)))
  })
}

/** The workload's side: answers each request of the driver with what `handle` finds out. */
export function answerRequests(handle: (request: { readonly [name: string]: unknown }) => Promise<Answer>): void {
  process.on('message', (message: { id: number; request: { readonly [name: string]: unknown } }) => {
    void handle(message.request).then(
      (answer) => process.send?.({ id: message.id, answer }),
      (error: { code?: string; message?: string }) =>
        process.send?.({ id: message.id, answer: { observed: `failed: ${error.code ?? error.message}` } }),
    )
  })
  process.send?.({ id: READY })
  // The driver is gone: so are we.
  process.on('disconnect', () => process.exit(0))
}
