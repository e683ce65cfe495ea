// The steps of .ci/run, one after the other, each with its time. Ends with "N passed, N failed".
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const scratch = mkdtempSync(join(tmpdir(), 'aims-ci-'))
const bin = join(root, 'node_modules/.bin')
const env = {
  ...process.env,
  PATH: `${bin}:${process.env.PATH ?? ''}`,
  AIMS_KILL_ROUNDS: process.env.AIMS_KILL_ROUNDS ?? '200',
  AIMS_RESTORE_KILL_ROUNDS: process.env.AIMS_RESTORE_KILL_ROUNDS ?? '40',
  AIMS_REPLAYS: process.env.AIMS_REPLAYS ?? '100000',
  CI: 'true',
}
/** Milliseconds that a step may take at most. */
const LONGEST = 3 * 3600 * 1000
const source = ['--conditions=aims:source', '--disable-warning=ExperimentalWarning']

/** What is run, and how many single results it counts for when it does not print its own. */
const STEPS: readonly (readonly [name: string, command: string, args: readonly string[]])[] = [
  ['check', 'node', ['tools/check.ts']],
  ['tests', 'node', ['tools/run-tests.ts', '--all']],
  ['leaks', 'node', [...source, 'test/leaks/main.ts', '--steps', '100000']],
  ['examples', 'node', ['tools/examples.ts']],
  ['npm start -- --once', 'npm', ['start', '--silent', '--', '--once', '--json', '--data', join(scratch, 'wimse')]],
  [
    'npm start -- --once --profile aims-00',
    'npm',
    ['start', '--silent', '--', '--once', '--json', '--profile', 'aims-00', '--data', join(scratch, 'aims-00')],
  ],
  ['benchmarks run', 'node', [...source, 'tools/bench.ts', '--quick']],
]

let passed = 0
let failed = 0
const summary: string[] = []

for (const [name, command, args] of STEPS) {
  process.stdout.write(`\n=== ${name}\n`)
  const started = performance.now()
  const limits = { maxBuffer: 256 * 1024 * 1024, timeout: LONGEST }
  const result = spawnSync(command, args, { cwd: root, env, encoding: 'utf8', ...limits })
  process.stdout.write(result.stdout ?? '')
  process.stderr.write(result.stderr ?? '')
  const counted = [...(result.stdout ?? '').matchAll(/^(\d+) passed, (\d+) failed(?:, \d+ skipped)?$/gm)].at(-1)
  const ok = result.status === 0
  passed += Number(counted?.[1] ?? (ok ? 1 : 0))
  // A step that ends badly counts as a failure even when its own count knows of none.
  failed += Math.max(Number(counted?.[2] ?? 0), ok ? 0 : 1)
  summary.push(`${ok ? 'ok  ' : 'FAIL'} ${name} (${((performance.now() - started) / 1000).toFixed(0)} s)`)
}

rmSync(scratch, { recursive: true, force: true })
process.stdout.write(`\n${summary.join('\n')}\n${passed} passed, ${failed} failed\n`)
process.exitCode = failed > 0 ? 1 : 0
