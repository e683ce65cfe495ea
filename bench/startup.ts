// P13: what `aims --version`, importing the library and a server becoming ready cost, against `node -e ''`.
// Measures the built packages: run `npm run build` first (tools/bench.ts does).
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { report, roundRobin } from './harness.ts'

const main = fileURLToPath(new URL('../packages/cli/dist/main.js', import.meta.url))
const cwd = fileURLToPath(new URL('../packages/cli', import.meta.url))

function node(...args: readonly string[]): (times: number) => void {
  return (times) => {
    for (let i = 0; i < times; i += 1) {
      const { status, stderr } = spawnSync(process.execPath, args, { cwd, encoding: 'utf8' })
      if (status !== 0) throw new Error(stderr)
    }
  }
}

const cases = [
  { name: "node -e ''", run: node('-e', '') },
  { name: 'aims --version', run: node(main, '--version') },
  { name: 'aims id check', run: node(main, 'id', 'check', 'spiffe://example.com/agent/calendar-bot') },
  { name: "import 'aims'", run: node('--input-type=module', '-e', "import 'aims'") },
]

report('start-up (whole process)', await roundRobin(cases, { rounds: 5, ms: 400, clock: true }), [
  { id: 'P13', case: 'aims --version', atMost: 1.3 },
])
