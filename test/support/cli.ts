import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after } from 'node:test'
import { run } from '../../packages/cli/src/cli.ts'
import { output } from '../../packages/cli/src/output.ts'
import type { Outcome } from '../vectors/suite.ts'

const scratch = mkdtempSync(join(tmpdir(), 'aims-files-'))
after(() => rmSync(scratch, { recursive: true, force: true }))

let files = 0

/** Writes a file as a tester would, and returns its path. Objects become JSON; nothing is added to text. */
export function file(content: string | Uint8Array | object): string {
  files += 1
  const path = join(scratch, String(files))
  const isRaw = typeof content === 'string' || content instanceof Uint8Array
  writeFileSync(path, isRaw ? content : JSON.stringify(content))
  return path
}

/** One line of output. */
export type Line = { readonly [member: string]: unknown }

/** Runs one command line in this process with `--json`. */
export async function aims(
  ...args: readonly string[]
): Promise<{ readonly exit: number; readonly results: readonly Line[] }> {
  let printed = ''
  const write = output.write
  output.write = (text) => {
    printed += text
  }
  try {
    const [command = '', ...rest] = args
    const exit = await run([command, rest[0] ?? '', '--json', ...rest.slice(1)])
    return { exit, results: printed.split('\n').flatMap((line) => (line === '' ? [] : [JSON.parse(line)])) }
  } finally {
    output.write = write
    process.exitCode = 0
  }
}

/** What a verdict of the command line says. Exit codes other than 0 and 1 are no verdict, and a defect of the test. */
export async function verdict(...args: readonly string[]): Promise<Outcome & { readonly result: Line }> {
  const { exit, results } = await aims(...args)
  const [result, ...more] = results
  assert.ok(result !== undefined && more.length === 0, 'one verdict is one line')
  assert.equal(exit, result.ok === true ? 0 : 1, JSON.stringify(result))
  if (result.ok === true) return { accepted: true, result }
  assert.equal(typeof result.message, 'string')
  return { accepted: false, code: String(result.code), result }
}

/** `--now`. */
export function at(seconds: number): readonly string[] {
  return ['--now', new Date(seconds * 1000).toISOString()]
}
