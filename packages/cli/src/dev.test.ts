import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'

const main = fileURLToPath(new URL('./main.ts', import.meta.url))
const flags = ['--conditions=aims:source', '--disable-warning=ExperimentalWarning']
const TIMEOUT = 20_000

// One row per place that cannot hold a data directory: an answer with a code and exit code 3, never a stack or a hang.
for (const [why, directory] of [
  ['is a file', process.execPath],
  ['cannot be created', '/proc/aims'],
] as const) {
  test(`aims dev on a data directory that ${why} says so`, () => {
    const args = [...flags, main, 'dev', '--data', directory, '--json']
    const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8', timeout: TIMEOUT })
    assert.equal(status, 3, stderr)
    assert.equal(JSON.parse(stdout).code, 'operation.data_directory_unwritable')
  })
}

test('a reader that stops early is no failure of aims', () => {
  const command = `"${process.execPath}" ${flags.join(' ')} "${main}" compliance requirements | head -n 1`
  const { stderr, stdout } = spawnSync('sh', ['-c', command], { encoding: 'utf8', timeout: TIMEOUT })
  assert.notEqual(stdout, '')
  assert.equal(stderr, '')
})
