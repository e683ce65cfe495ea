// npm run pack: builds, and leaves in packed/ one tarball per package, which `npm install` in any project takes.
import './build.ts'
import { spawnSync } from 'node:child_process'
import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const packed = join(root, 'packed')

rmSync(packed, { recursive: true, force: true })
mkdirSync(packed)
const names = ['aims', 'agent', 'server', 'cli'].flatMap((name) => ['-w', `packages/${name}`])
const { status } = spawnSync('npm', ['pack', '--silent', '--pack-destination', packed, ...names], {
  cwd: root,
  stdio: ['ignore', 1, 2],
})
if (status === 0) process.stdout.write(`npm install ${join(packed, '*.tgz')}\n`)
else process.exitCode = 1
