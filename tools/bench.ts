// npm run bench: runs every program in bench/, one after the other, and ends with one table of the goals and what was
// measured, and the size of each subpath.
// `-- NAME ...` runs only these. `--quick` only shows that they run: few rounds, and a missed goal does not count.
// `--json`: the rows and sizes as JSON on the standard output, everything else on the standard error.
import { spawnSync } from 'node:child_process'
import { globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { outcomeOf, type Row, tableOf } from '../bench/support/table.ts'
import { sizeLine, subpathSizes } from './support/subpath-sizes.ts'

const root = fileURLToPath(new URL('..', import.meta.url))
const args = process.argv.slice(2)
const quick = args.includes('--quick')
const json = args.includes('--json')
const wanted = args.filter((arg) => !arg.startsWith('--'))
const programs = globSync('bench/*.ts', { cwd: root })
  .filter((path) => path !== join('bench', 'harness.ts'))
  .filter((path) => wanted.length === 0 || wanted.includes(basename(path, '.ts')))
  .sort()
if (programs.length === 0) {
  process.stderr.write('no such benchmark\n')
  process.exit(2)
}
const say = (text: string): boolean => (json ? process.stderr : process.stdout).write(text)

// Start-up is measured on what users install.
const built = spawnSync(process.execPath, [join(root, 'tools/build.ts')], { cwd: root, stdio: ['ignore', 2, 2] })
if (built.status !== 0) process.exit(1)

const scratch = mkdtempSync(join(tmpdir(), 'aims-bench-'))
const table = join(scratch, 'table')
writeFileSync(table, '')
const started = Date.now()
let failed = 0
for (const path of programs) {
  const run = spawnSync(
    process.execPath,
    ['--conditions=aims:source', '--disable-warning=ExperimentalWarning', '--expose-gc', path],
    {
      cwd: root,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, AIMS_BENCH_TABLE: table, ...(quick && { AIMS_BENCH_QUICK: '1' }) },
    },
  )
  say(`\n=== ${path}\n${run.stdout}`)
  if (run.status !== 0) failed += 1
}
const rows: readonly Row[] = readFileSync(table, 'utf8')
  .split('\n')
  .filter((line) => line !== '')
  .map((line) => JSON.parse(line))
rmSync(scratch, { recursive: true })
const sizes = ['aims', 'agent', 'server', 'cli'].flatMap((name) => subpathSizes(join(root, 'packages', name)))

say(`\n=== goals (15 % slack before a missed ratio fails the run)\n${tableOf(rows)}\n`)
say(`\n=== JavaScript that importing a subpath loads\n${sizes.map(sizeLine).join('\n')}\n`)
if (json) {
  const outcomes = rows.map((row) => ({ ...row, outcome: outcomeOf(row) }))
  process.stdout.write(`${JSON.stringify({ rows: outcomes, sizes }, null, 2)}\n`)
}
say(`${Math.round((Date.now() - started) / 1000)} seconds; ${programs.length - failed} passed, ${failed} failed\n`)
process.exitCode = failed > 0 ? 1 : 0
