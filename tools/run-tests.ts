// npm test [-- FILE...]: runs every test that needs nothing but Node and npm.
import { spawnSync } from 'node:child_process'
import { globSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const wanted = process.argv.slice(2)
const files =
  wanted.length > 0 ? wanted : globSync(['packages/*/src/**/*.test.ts', 'test/**/*.test.ts'], { cwd: root }).sort()
if (files.length === 0) {
  process.stderr.write('no test files found\n')
  process.exit(1)
}
const flags = ['--conditions=aims:source', '--disable-warning=ExperimentalWarning', '--test', '--test-reporter=dot']
if (process.env.AIMS_TEST_REPORTER !== undefined)
  flags.splice(3, 1, `--test-reporter=${process.env.AIMS_TEST_REPORTER}`)
const result = spawnSync(process.execPath, [...flags, ...files], { cwd: root, stdio: 'inherit' })
process.exit(result.status ?? 1)
