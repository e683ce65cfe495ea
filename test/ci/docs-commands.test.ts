// Runs the commands of the documentation that are marked as ```sh run, each fence as one script in the root.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../..', import.meta.url))
const FENCE = /^```sh run\n(.*?)^```$/gms

for (const page of globSync(['*.md', 'docs/**/*.md'], { cwd: root })) {
  const text = readFileSync(join(root, page), 'utf8')
  for (const { 1: script = '', index } of text.matchAll(FENCE)) {
    test(`${page}, line ${text.slice(0, index).split('\n').length}: the commands do what the page says`, () => {
      const env = { ...process.env, PATH: `${join(root, 'node_modules/.bin')}:${process.env.PATH ?? ''}` }
      const run = spawnSync('bash', ['-euo', 'pipefail', '-c', script], {
        cwd: root,
        env,
        encoding: 'utf8',
        timeout: 120_000,
      })
      assert.equal(run.status, 0, `${run.stdout}\n${run.stderr}`)
    })
  }
}
