// npm run check: everything that can be said about the repository without running the product. One line per check;
// what fails shows its output. `-- NAME ...` runs only these.
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const bin = join(root, 'node_modules/.bin')
const node = process.execPath
const test = (file: string): readonly [string, readonly string[]] => [
  node,
  ['--conditions=aims:source', '--disable-warning=ExperimentalWarning', '--test', '--test-reporter=spec', file],
]

interface Check {
  readonly name: string
  readonly run: readonly [command: string, args: readonly string[]]
  /** Shows its output also when it passes. */
  readonly report?: true
}

const CHECKS: readonly Check[] = [
  { name: 'lint', run: [join(bin, 'biome'), ['check', '.']] },
  { name: 'types', run: [join(bin, 'tsc'), ['-p', 'tsconfig.json']] },
  { name: 'architecture', run: test('test/architecture.test.ts') },
  { name: 'public-names', run: test('test/public-names.test.ts') },
  { name: 'requirements', run: test('test/requirements.test.ts') },
  { name: 'error-codes', run: test('test/error-codes.test.ts') },
  { name: 'quality', run: test('test/quality.test.ts') },
  { name: 'docs-fences', run: test('test/docs-fences.test.ts') },
  { name: 'dead-code', run: [join(bin, 'knip'), ['--no-progress', '--no-config-hints']] },
  { name: 'build', run: [node, ['tools/build.ts']] },
  { name: 'packages', run: [node, ['tools/check-packages.ts']], report: true },
]

const wanted = process.argv.slice(2)
const unknown = wanted.filter((name) => !CHECKS.some((check) => check.name === name))
if (unknown.length > 0) {
  process.stderr.write(`no such check: ${unknown.join(', ')}\nchecks: ${CHECKS.map(({ name }) => name).join(', ')}\n`)
  process.exit(2)
}

const env = { ...process.env, PATH: `${bin}:${process.env.PATH ?? ''}` }
let passed = 0
let failed = 0
for (const { name, run, report } of CHECKS) {
  if (wanted.length > 0 && !wanted.includes(name)) continue
  const started = performance.now()
  const { status, stdout, stderr, error } = spawnSync(run[0], run[1], { cwd: root, env, encoding: 'utf8' })
  const ok = status === 0
  if (ok) passed += 1
  else failed += 1
  const seconds = ((performance.now() - started) / 1000).toFixed(1)
  process.stdout.write(
    `${ok ? 'ok  ' : 'FAIL'} ${name} (${seconds} s)${error === undefined ? '' : `: ${error.message}`}\n`,
  )
  if (!ok || report === true) process.stdout.write(`${stdout}${stderr}\n`)
}
process.stdout.write(`${passed} passed, ${failed} failed\n`)
process.exitCode = failed > 0 ? 1 : 0
