import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { after, test } from 'node:test'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const dir = mkdtempSync(join(tmpdir(), 'aims-runner-'))
after(() => rmSync(dir, { recursive: true }))

/** What the runner says about a file of this text, and its exit code. */
function outcomeOf(text: string, limit?: number): { readonly status: number | null; readonly stdout: string } {
  const file = join(dir, 'one.test.ts')
  writeFileSync(file, `import { test } from 'node:test'\n${text}`)
  const { NODE_TEST_CONTEXT: _ours, ...env } = process.env
  return spawnSync(process.execPath, [join(root, 'tools/run-tests.ts'), relative(root, file)], {
    encoding: 'utf8',
    env: { ...env, ...(limit === undefined ? {} : { AIMS_TEST_LIMIT: String(limit) }) },
  })
}

test('a run of tests that pass is a success', () => {
  const { status, stdout } = outcomeOf("test('good', () => undefined)")
  assert.equal(stdout, '1 passed, 0 failed, 0 skipped\n')
  assert.equal(status, 0)
})

// One row per way not to pass. The limit is for those that would never end.
for (const [what, text, says, limit] of [
  ['a test that fails', "test('bad', () => { throw new Error('x') })", /^not ok: bad\n[\s\S]* 1 failed/m],
  [
    'a file that ends before its tests',
    "test('cut', () => process.exit(0))",
    /^not ok: .*one\.test\.ts\n.*\n {2}it ended without a test/m,
  ],
  ['a file that cannot be loaded', "throw new Error('x')", /^not ok: .*one\.test\.ts\n[\s\S]* 1 failed/m],
  [
    'a test that hangs',
    "test('stuck', () => new Promise(() => setInterval(() => 0, 1000)))",
    /^not ok: .*one\.test\.ts\n.*\n {2}the file did not end/m,
    1,
  ],
  [
    'a file that leaves something open',
    "test('good', () => void setInterval(() => 0, 1000))",
    /^not ok: .*one\.test\.ts\n.*\n {2}the file did not end/m,
    1,
  ],
  [
    'a file whose child does not end',
    "import { spawn } from 'node:child_process'\ntest('good', () => void spawn('sleep', ['60'], { stdio: 'inherit' }).unref())",
    /^not ok: .*one\.test\.ts\n.*\n {2}the file did not end/m,
    1,
  ],
  ['a file without a test', '', /^not ok: .*one\.test\.ts\n.*\n {2}it ended without a test/m],
] as const) {
  test(`${what} is told by its name`, () => {
    const { status, stdout } = outcomeOf(text, limit)
    assert.match(stdout, says)
    assert.equal(status, 1, stdout)
  })
}
