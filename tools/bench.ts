// npm run bench: runs every program in bench/, one after the other, and ends with the goals and what was measured.
// `-- NAME ...` runs only these. `--quick` only shows that they run: few rounds, and a missed goal does not count.
import { spawnSync } from 'node:child_process'
import { globSync } from 'node:fs'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const args = process.argv.slice(2)
const quick = args.includes('--quick')
const wanted = args.filter((arg) => !arg.startsWith('--'))
const programs = globSync('bench/*.ts', { cwd: root })
  .filter((path) => path !== join('bench', 'harness.ts'))
  .filter((path) => wanted.length === 0 || wanted.includes(basename(path, '.ts')))
  .sort()
if (programs.length === 0) {
  process.stderr.write('no such benchmark\n')
  process.exit(2)
}

// Start-up is measured on what users install.
const built = spawnSync(process.execPath, [join(root, 'tools/build.ts')], { cwd: root, stdio: ['ignore', 2, 2] })
if (built.status !== 0) process.exit(1)

const goals: string[] = []
let failed = 0
for (const path of programs) {
  const run = spawnSync(
    process.execPath,
    ['--conditions=aims:source', '--disable-warning=ExperimentalWarning', '--expose-gc', path],
    {
      cwd: root,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, ...(quick && { AIMS_BENCH_QUICK: '1' }) },
    },
  )
  process.stdout.write(`\n=== ${path}\n${run.stdout}`)
  goals.push(...run.stdout.split('\n').filter((line) => /^ {2}(?:met|MISSED) {2}/.test(line)))
  if (run.status !== 0) failed += 1
}
process.stdout.write(`\n=== goals (ratios within one run; 15 % slack before a miss counts)\n${goals.join('\n')}\n`)
process.stdout.write(`${programs.length - failed} passed, ${failed} failed\n`)
process.exitCode = failed > 0 ? 1 : 0
