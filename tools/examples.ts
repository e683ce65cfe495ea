// npm run examples: runs every program in examples/, or with `npm run example -- NAME` one. An example is a file
// NAME.ts or a folder NAME with a main.ts; it asserts what it shows and ends with exit code 0.
import { spawnSync } from 'node:child_process'
import { globSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const TIMEOUT = 120_000

const programs = new Map(
  globSync(['examples/*.ts', 'examples/*/main.ts'], { cwd: root })
    .sort()
    .map((path) => [path.replace(/^examples\//, '').replace(/(?:\/main)?\.ts$/, ''), path]),
)
const wanted = process.argv.slice(2)
const unknown = wanted.filter((name) => !programs.has(name))
if (unknown.length > 0 || programs.size === 0) {
  process.stderr.write(`no such example: ${unknown.join(', ')}\nexamples: ${[...programs.keys()].join(', ')}\n`)
  process.exit(2)
}

let failed = 0
const names = wanted.length > 0 ? wanted : [...programs.keys()]
for (const name of names) {
  const started = performance.now()
  const run = spawnSync(
    process.execPath,
    ['--conditions=aims:source', '--disable-warning=ExperimentalWarning', programs.get(name) ?? ''],
    // One example speaks for itself; of many only the trouble is shown.
    { cwd: root, encoding: 'utf8', timeout: TIMEOUT, stdio: wanted.length > 0 ? 'inherit' : 'pipe' },
  )
  const ok = run.status === 0
  if (!ok) failed += 1
  if (!ok && wanted.length === 0) process.stdout.write(`${run.stdout}\n${run.stderr}\n`)
  const why = run.error === undefined ? '' : `: ${run.error.message}`
  process.stdout.write(
    `${ok ? 'ok  ' : 'FAIL'} ${name} (${((performance.now() - started) / 1000).toFixed(1)} s)${why}\n`,
  )
}
process.stdout.write(`${names.length - failed} passed, ${failed} failed\n`)
process.exitCode = failed > 0 ? 1 : 0
