// Makes `npm start` and `npm test` work in a fresh clone under any Node: installs the locked
// dependencies (among them the Node that runs everything else) when they are missing or stale.
import { spawnSync } from 'node:child_process'
import { existsSync, statSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const installed = `${root}node_modules/.package-lock.json`
const nodeBinary = `${root}node_modules/.bin/node`
const wanted = statSync(`${root}package-lock.json`).mtimeMs
const fresh = existsSync(installed) && existsSync(nodeBinary) && statSync(installed).mtimeMs >= wanted

if (!fresh) {
  process.stderr.write('aims: installing the locked dependencies (npm ci) ...\n')
  const npm = process.env.npm_execpath
  const [command, args] = npm?.endsWith('.js') ? [process.execPath, [npm]] : ['npm', []]
  // Everything npm prints goes to standard error: standard output belongs to the command itself. Its warnings are about
  // the Node that is about to be replaced.
  const install = (...what) =>
    spawnSync(command, [...args, ...what, '--no-audit', '--no-fund', '--loglevel=error'], {
      cwd: root,
      stdio: ['ignore', 2, 2],
    })
  // A registry that lacks packages of other platforms makes `npm ci` give up; `npm install` keeps to the same lock.
  const done = install('ci').status === 0 || install('install', '--no-save').status === 0
  if (!done || !existsSync(nodeBinary)) {
    process.stderr.write('aims: npm ci failed; is the npm registry reachable?\n')
    process.exit(3)
  }
}
