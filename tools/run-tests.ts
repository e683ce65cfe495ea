// npm test [-- FILE...]: runs every test that needs nothing but Node and npm, and says what was skipped and why.
// With --all it runs the tests that need more as well (Go, openssl, third-party vectors, minutes): .ci/run does.
import { once } from 'node:events'
import { globSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { run } from 'node:test'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const args = process.argv.slice(2)
const all = args.includes('--all')
const wanted = args.filter((arg) => !arg.startsWith('--'))
// A new directory of tests is run without being named here.
const needMore = ['test/ci/**', 'test/fleet/**', 'test/interop/**']
const found = (): readonly string[] =>
  globSync(['packages/*/src/**/*.test.ts', 'test/**/*.test.ts'], { cwd: root, exclude: all ? [] : needMore })
const files = (wanted.length > 0 ? wanted : found()).map((file) => `${root}${file}`).sort()

// Seconds. On a machine that is ten times slower than others every test still ends long before.
const limit = Number(process.env.AIMS_TEST_LIMIT ?? 1200)

let passed = 0
let failed = 0
const skipped: string[] = []
const suites: string[] = []

function tellFailure(at: { readonly name: string; readonly file?: string; readonly line?: number }, why: string): void {
  failed += 1
  const where = `${at.file ?? ''}:${at.line ?? ''}`
  process.stdout.write(`\nnot ok: ${at.name}\n  ${where}\n  ${why.split('\n').join('\n  ')}\n`)
}

/** Runs one file. A test in it that hangs, or a file that does not end after its tests, fails by its name. */
async function runFile(file: string): Promise<void> {
  const end = new AbortController()
  // The tests have theirs first, so that their hooks can clean up.
  const timer = setTimeout(() => end.abort(), 2 * limit * 1000)
  const stream = run({
    files: [file],
    timeout: limit * 1000,
    signal: end.signal,
    execArgv: ['--conditions=aims:source', '--disable-warning=ExperimentalWarning'],
  })
  stream.on('test:pass', (data) => {
    const isSkipped = data.skip !== undefined && data.skip !== false
    if (data.name === file) return tellFailure(data, 'it ended without a test')
    // A suite that is skipped says nothing of its tests; any other is counted by them.
    if (data.details.type === 'suite' && !isSkipped) return
    if (isSkipped) {
      skipped.push(`${data.name}: ${typeof data.skip === 'string' && data.skip !== '' ? data.skip : 'no reason given'}`)
    } else passed += 1
  })
  stream.on('test:fail', (data) => {
    if (data.details.type === 'suite') return
    const error = data.details.error
    const cause =
      error.cause instanceof Error ? (error.cause.stack ?? error.cause.message) : String(error.cause ?? error)
    const isEnded = data.name === file && end.signal.aborted
    tellFailure(data, isEnded ? 'the file did not end: something of it is still open' : cause)
  })
  stream.on('test:diagnostic', (data) => {
    if (data.message.startsWith('suite ')) suites.push(data.message)
  })
  stream.on('test:stderr', (data) => {
    process.stderr.write(data.message)
  })
  stream.resume()
  await once(stream, 'end')
  clearTimeout(timer)
}

const left = files.values()
async function runNext(): Promise<void> {
  for (const file of left) await runFile(file)
}
await Promise.all(Array.from({ length: Math.max(2, availableParallelism()) }, runNext))

for (const line of suites.sort()) process.stdout.write(`${line}\n`)
for (const line of skipped) process.stdout.write(`skipped: ${line}\n`)
if (passed + failed === 0) {
  process.stdout.write('no test was run\n')
  failed += 1
}
process.stdout.write(`${passed} passed, ${failed} failed, ${skipped.length} skipped\n`)
const strict = all && skipped.length > 0
if (strict) process.stdout.write('a full run must not skip anything\n')
process.exitCode = failed > 0 || strict ? 1 : 0
// What a file that was ended has started may still hold a pipe to here.
process.exit()
