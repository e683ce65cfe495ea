// npm run build: compiles what is published, in the order of the arrows between packages, into packages/*/dist.
import { spawnSync } from 'node:child_process'
import { chmodSync, copyFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))

/** A package comes after those it imports. */
const PACKAGES: readonly string[] = ['aims', 'agent', 'server', 'cli']

for (const name of PACKAGES) {
  const folder = join(root, 'packages', name)
  rmSync(join(folder, 'dist'), { recursive: true, force: true })
  const started = performance.now()
  const compiled = spawnSync(join(root, 'node_modules/.bin/tsc'), ['-p', join(folder, 'tsconfig.build.json')], {
    cwd: root,
    stdio: ['ignore', 2, 2],
  })
  if (compiled.status !== 0) {
    process.stderr.write(`packages/${name} does not compile\n`)
    process.exit(1)
  }
  copyFileSync(join(root, 'LICENSE'), join(folder, 'LICENSE'))
  process.stdout.write(`built packages/${name} (${((performance.now() - started) / 1000).toFixed(1)} s)\n`)
}
chmodSync(join(root, 'packages/cli/dist/main.js'), 0o755)
