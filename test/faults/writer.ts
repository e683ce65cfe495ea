import { type ChildProcess, spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { type AuditEntry, databaseSource, type LogVerdict, verifyLog } from 'aims/monitoring'

/** What a writer has told before it ended. */
export interface Writer {
  readonly process: ChildProcess
  /** Index and number of every record that was acknowledged. */
  readonly acks: Map<number, number>
  /** Resolves when all it said has been read. */
  readonly ended: Promise<{ readonly signal: string | null; readonly last: string }>
  /** Resolves with that many acknowledgements, or the end. */
  acknowledged(enough: number): Promise<void>
}

/** Starts `append-records.ts`. `wrap` is put in front of the command, e.g. to limit what the process may do. */
export function startWriter(args: readonly string[], wrap: readonly string[] = []): Writer {
  const program = fileURLToPath(new URL('append-records.ts', import.meta.url))
  const [command = '', ...rest] = [...wrap, process.execPath, '--conditions=aims:source', program, ...args]
  const child = spawn(command, rest, { stdio: ['ignore', 'pipe', 'inherit'] })
  const acks = new Map<number, number>()
  let last = ''
  const waiting: { readonly enough: number; readonly resolve: () => void }[] = []
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    const lines = (last + text).split('\n')
    last = lines.pop() ?? ''
    for (const line of lines) {
      const [word, index, number] = line.split(' ')
      if (word === 'ack') acks.set(Number(index), Number(number))
      else last = line
    }
    for (const { enough, resolve } of waiting) if (acks.size >= enough) resolve()
  })
  const ended = new Promise<{ signal: string | null; last: string }>((resolve) => {
    child.on('close', (_code, signal) => {
      resolve({ signal, last })
    })
  })
  return {
    process: child,
    acks,
    ended,
    acknowledged: async (enough) => {
      await Promise.race([ended, new Promise<void>((resolve) => waiting.push({ enough, resolve }))])
    },
  }
}

/** The acknowledged records that are not, or not as they were, where they should be. */
export function lost(acks: ReadonlyMap<number, number>, entries: readonly AuditEntry[]): string[] {
  const stored = new Map(entries.map(({ record }) => [record.index, record.details?.number]))
  return [...acks].filter(([index, number]) => stored.get(index) !== number).map(([index]) => `record ${index}`)
}

/** Verifies a whole database file. */
export function verifyFile(path: string, vkey: string, remembered: readonly string[] = []): LogVerdict {
  using source = databaseSource(path)
  return verifyLog(source, { vkey, remembered })
}
