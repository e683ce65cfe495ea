// docs/quickstart.md does what it says: its files and its commands, run as a reader would, against `aims dev`.
import assert from 'node:assert/strict'
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { freePort } from './support/free-port.ts'

const root = fileURLToPath(new URL('..', import.meta.url))
const flags = ['--conditions=aims:source', '--disable-warning=ExperimentalWarning']
const main = join(root, 'packages/cli/src/main.ts')
const page = readFileSync(join(root, 'docs/quickstart.md'), 'utf8')

// Inside node_modules, so that the names of the workspaces resolve.
mkdirSync(join(root, 'node_modules/.cache'), { recursive: true })
const folder = mkdtempSync(join(root, 'node_modules/.cache/aims-quickstart-'))
const data = join(folder, '.aims/dev')
const env = {
  ...process.env,
  SPIFFE_ENDPOINT_SOCKET: `unix://${data}/workload.sock`,
  AIMS_API_SOCKET: `${data}/api.sock`,
}
const running: ChildProcess[] = []
after(async () => {
  for (const child of running) {
    if (child.exitCode === null && child.kill()) await once(child, 'exit')
  }
  rmSync(folder, { recursive: true, force: true })
})

/** Starts something that stays, and waits until it has said so. */
async function start(args: readonly string[], ready: string): Promise<void> {
  const child = spawn(process.execPath, [...flags, ...args], { cwd: folder, env, stdio: ['ignore', 'pipe', 'inherit'] })
  running.push(child)
  let said = ''
  for await (const chunk of child.stdout) {
    said += chunk
    if (said.includes(ready)) return
  }
  assert.fail(`ended before it said ${ready}: ${said}`)
}

function run(...args: readonly string[]): { readonly status: number | null; readonly stdout: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, [...flags, ...args], {
    cwd: folder,
    env,
    encoding: 'utf8',
    timeout: 30_000,
  })
  return { status, stdout: stdout === '' ? stderr : stdout }
}

/** Writes the fence whose first line names this file, for another port. */
function write(path: string, port: number): void {
  const fence = page.split('```').find((one) => one.split('\n')[1] === `// ${path}`)
  assert.ok(fence !== undefined, `the page has no ${path}`)
  const text = fence.slice(fence.indexOf('\n') + 1)
  mkdirSync(join(folder, 'policies'), { recursive: true })
  writeFileSync(join(folder, path), text.replaceAll('8080', String(port)))
}

test('the quickstart works as written', async () => {
  const port = await freePort()
  writeFileSync(join(folder, 'package.json'), '{"type":"module"}')
  for (const path of ['policies/events.cedar', 'service.js', 'agent.js']) write(path, port)

  await start([main, 'dev'], 'Ctrl-C')
  const [, create = ''] = /^npx aims (entry create .*)$/m.exec(page) ?? []
  const entry = create.replace('$(id -u)', String(process.getuid?.())).split(' ')
  const created = run(main, ...entry)
  assert.equal(created.status, 0, created.stdout)
  assert.match(run(main, 'svid', 'fetch').stdout, /spiffe:\/\/example\.com\/agent\/calendar-bot/)
  assert.equal(run(main, 'policy', 'validate', 'policies').status, 0)
  const [, decide = ''] = /^npx aims (decide .*\\\n.*)$/m.exec(page) ?? []
  assert.equal(run(main, ...decide.split(/[\s\\]+/)).status, 0)

  await start(['service.js'], 'listening')
  assert.match(run('agent.js').stdout, /^201 /)
  assert.match(run('agent.js', 'DELETE').stdout, /^403 /)
  const elsewhere = run('agent.js', 'POST', 'https://elsewhere.example').stdout
  assert.match(elsewhere, /^401 /)
  assert.equal((await fetch(`http://localhost:${port}/api/v1/events`, { method: 'POST' })).status, 401)

  const [, id = ''] = /"id":"([^"]+)"/.exec(elsewhere) ?? []
  assert.match(run(main, 'explain', id).stdout, /proof\.audience_mismatch/)
  assert.match(run(main, 'audit', 'list', '--decision', 'deny').stdout, /authorization\.decided/)
  assert.equal(run(main, 'audit', 'verify').status, 0)
  assert.equal(run(main, 'audit', 'export', 'for-the-auditor').status, 0)
})
