// Checks what users would install: packs every package, lints the tarballs, installs them into an empty folder, imports
// every subpath, runs the command, and reports the size of each subpath. Needs `npm run build` first.
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { sizeLine, subpathSizes } from './support/subpath-sizes.ts'

interface Manifest {
  readonly name: string
  readonly version: string
  readonly scripts?: { readonly [name: string]: string }
  readonly dependencies?: { readonly [name: string]: string }
  readonly exports: { readonly [subpath: string]: string | { readonly default: string } }
}

const root = fileURLToPath(new URL('..', import.meta.url))
const bin = join(root, 'node_modules/.bin')
const env = { ...process.env, PATH: `${bin}:${process.env.PATH ?? ''}` }
const scratch = mkdtempSync(join(tmpdir(), 'aims-packages-'))
const FOLDERS = ['aims', 'agent', 'server', 'cli']
const packages = FOLDERS.map((name) => {
  const folder = join(root, 'packages', name)
  const manifest: Manifest = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))
  return { folder, manifest, tarball: join(scratch, `${manifest.name}-${manifest.version}.tgz`) }
})
const SERVER_LIMIT = 10

let failed = 0
try {
  for (const { folder, manifest, tarball } of packages) {
    step(`${manifest.name}: packs`, folder, 'npm', ['pack', '--silent', '--pack-destination', scratch])
    step(`${manifest.name}: publint`, scratch, 'publint', ['--strict', tarball])
    if (subpathsOf(manifest).length > 0) {
      step(`${manifest.name}: types resolve`, scratch, 'attw', ['--profile', 'esm-only', '--format', 'ascii', tarball])
    }
    const hooks = Object.keys(manifest.scripts ?? {}).filter((name) => /install|prepare/.test(name))
    result(`${manifest.name}: no install scripts`, hooks.length === 0, hooks.join(', '))
  }
  checkDependencies()
  checkLibraryAlone()
  checkEverything()
  reportSizes()
} finally {
  rmSync(scratch, { recursive: true, force: true })
}
process.exitCode = failed > 0 ? 1 : 0

function checkDependencies(): void {
  const [aims] = packages
  const own = Object.keys(aims?.manifest.dependencies ?? {})
  result('aims: no runtime dependencies', own.length === 0, own.join(', '))
  const lock: { packages: { [path: string]: { dependencies?: { [name: string]: string } } } } = JSON.parse(
    readFileSync(join(root, 'package-lock.json'), 'utf8'),
  )
  const closure = new Set<string>()
  const visit = (name: string): void => {
    if (closure.has(name)) return
    closure.add(name)
    const entry = lock.packages[`node_modules/${name}`] ?? {}
    const workspace = packages.find(({ manifest }) => manifest.name === name)?.manifest
    Object.keys((workspace ?? entry).dependencies ?? {}).forEach(visit)
  }
  visit('aims-server')
  result(
    `aims-server: at most ${SERVER_LIMIT} packages`,
    closure.size <= SERVER_LIMIT,
    `${closure.size}: ${[...closure].join(', ')}`,
  )
}

/** The library in an empty project: nothing else comes along, and no subpath needs more when it is imported. */
function checkLibraryAlone(): void {
  const project = emptyProject('alone')
  const [aims] = packages
  if (aims === undefined) return
  step('aims installs alone, offline', project, 'npm', ['install', '--offline', '--omit=peer', aims.tarball])
  const installed = readdirSync(join(project, 'node_modules')).filter((name) => !name.startsWith('.'))
  result('aims brings nothing along', installed.join() === 'aims', installed.join(', '))
  for (const subpath of subpathsOf(aims.manifest)) {
    const specifier = join('aims', subpath)
    const program = `if (Object.keys(await import('${specifier}')).length === 0) throw new Error('exports nothing')`
    step(`import '${specifier}'`, project, process.execPath, ['--input-type=module', '--eval', program])
  }
}

/** All packages together: the command runs from its tarball. */
function checkEverything(): void {
  const project = emptyProject('everything')
  const tarballs = packages.map(({ tarball }) => tarball)
  const install = ['install', '--prefer-offline', '--ignore-scripts', '--omit=peer', ...tarballs]
  if (!step('all packages install', project, 'npm', install)) return
  step('aims --version', project, join(project, 'node_modules/.bin/aims'), ['--version'])
  const good = 'spiffe://example.com/agent/calendar-bot'
  step('aims id check', project, join(project, 'node_modules/.bin/aims'), ['id', 'check', good, '--json'])
}

function reportSizes(): void {
  for (const size of packages.flatMap(({ folder }) => subpathSizes(folder))) process.stdout.write(`${sizeLine(size)}\n`)
}

function subpathsOf({ exports }: Manifest): readonly string[] {
  return Object.keys(exports).filter((subpath) => typeof exports[subpath] !== 'string')
}

function emptyProject(name: string): string {
  const project = join(scratch, name)
  mkdirSync(project)
  writeFileSync(join(project, 'package.json'), JSON.stringify({ name, private: true, type: 'module' }))
  return project
}

function step(name: string, cwd: string, command: string, args: readonly string[]): boolean {
  const { status, stdout, stderr, error } = spawnSync(command, args, { cwd, env, encoding: 'utf8' })
  return result(name, status === 0, `${error?.message ?? ''}${stdout}${stderr}`)
}

function result(name: string, ok: boolean, why: string): boolean {
  if (!ok) failed += 1
  process.stdout.write(ok ? `  ok   ${name}\n` : `  FAIL ${name}\n${why.trim().replace(/^/gm, '       ')}\n`)
  return ok
}
