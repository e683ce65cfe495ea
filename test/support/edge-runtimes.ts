// Bun, Deno and Cloudflare's workerd, each serving interop/edge/service.mjs with the built library.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { cpSync, globSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, relative } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../..', import.meta.url))
const installed = process.env.AIMS_EDGE_RUNTIMES ?? join(root, 'node_modules/.cache/edge')

/** One runtime: its program, if it is there, and how it serves a project. */
export interface EdgeRuntime {
  readonly program: string | undefined
  /** Writes what it needs into the project. @returns Its arguments. */
  prepare(project: string): readonly string[]
}

export const EDGE_RUNTIMES: { readonly [name: string]: EdgeRuntime } = {
  Bun: {
    program: find('@oven/bun-*/bin/bun'),
    prepare(project) {
      const options = "{ port: 0, hostname: '127.0.0.1', fetch: serve }"
      writeMain(project, 'bun', `console.log(JSON.stringify({ port: Bun.serve(${options}).port }))`)
      return ['run', 'bun.mjs']
    },
  },
  Deno: {
    program: find('@deno/*/deno'),
    prepare(project) {
      const onListen = '({ port }) => console.log(JSON.stringify({ port }))'
      writeMain(project, 'deno', `Deno.serve({ port: 0, hostname: '127.0.0.1', onListen: ${onListen} }, serve)`)
      return ['run', '--node-modules-dir=manual', '--cached-only', '--allow-net=127.0.0.1', 'deno.mjs']
    },
  },
  workerd: {
    program: find('@cloudflare/workerd-*/bin/workerd'),
    prepare(project) {
      writeMain(project, 'worker', 'export default { fetch: (request) => serve(request) }')
      writeFileSync(join(project, 'config.capnp'), workerdConfig(project))
      return ['serve', '--control-fd=1', 'config.capnp']
    },
  },
}

// In production a mistake of the service is no page of help.
const ENVIRONMENT = { ...process.env, NODE_ENV: 'production', DENO_NO_UPDATE_CHECK: '1', DO_NOT_TRACK: '1' }

/** A runtime that serves. */
export interface EdgeService {
  readonly port: number
  close(): void
}

/** Builds the library into a project, beside the service. @param config - What the service is told, as JSON. */
export function edgeProject(config: object): { readonly folder: string; remove(): void } {
  const folder = mkdtempSync(join(tmpdir(), 'aims-edge-'))
  const library = join(folder, 'node_modules/aims')
  mkdirSync(library, { recursive: true })
  cpSync(join(root, 'packages/aims/package.json'), join(library, 'package.json'))
  const build = ['-p', join(root, 'packages/aims/tsconfig.build.json'), '--outDir', join(library, 'dist')]
  const { status, stdout } = spawnSync(join(root, 'node_modules/.bin/tsc'), build, { encoding: 'utf8' })
  if (status !== 0) throw new Error(`the library does not compile: ${stdout}`)
  cpSync(join(root, 'interop/edge/service.mjs'), join(folder, 'service.mjs'))
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ type: 'module', dependencies: { aims: '*' } }))
  writeFileSync(join(folder, 'config.mjs'), `export const config = ${JSON.stringify(config)}\n`)
  return { folder, remove: () => rmSync(folder, { recursive: true, force: true }) }
}

/** Starts a runtime, and waits until it listens. */
export async function startEdge({ program = '', prepare }: EdgeRuntime, project: string): Promise<EdgeService> {
  const child = spawn(program, prepare(project), { cwd: project, stdio: ['ignore', 'pipe', 'pipe'], env: ENVIRONMENT })
  let said = ''
  child.stderr.on('data', (chunk) => {
    said += String(chunk)
  })
  return { port: await portOf(child, () => said), close: () => void child.kill('SIGKILL') }
}

function portOf(child: ChildProcess, said: () => string): Promise<number> {
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('exit', (code) => reject(new Error(`ended with ${code}: ${said()}`)))
    if (child.stdout === null) return
    createInterface({ input: child.stdout }).on('line', (line) => {
      const port = /"port":\s*(\d+)/.exec(line)?.[1]
      if (port !== undefined) resolve(Number(port))
    })
  })
}

function find(pattern: string): string | undefined {
  const [path] = globSync(`node_modules/${pattern}`, { cwd: installed })
  return path === undefined ? undefined : join(installed, path)
}

function writeMain(project: string, name: string, text: string): void {
  writeFileSync(join(project, `${name}.mjs`), `import { serve } from './service.mjs'\n${text}\n`)
}

// A Worker has no node_modules: every file is a module, and so is every subpath of the library.
function workerdConfig(project: string): string {
  const library = 'node_modules/aims'
  const manifest: { readonly exports: { readonly [subpath: string]: string | { readonly default: string } } } =
    JSON.parse(readFileSync(join(project, library, 'package.json'), 'utf8'))
  const subpaths = Object.entries(manifest.exports).flatMap(([subpath, target]) =>
    typeof target === 'string' ? [] : [moduleOf(join('aims', subpath), join(library, target.default))],
  )
  const files = ['worker.mjs', 'service.mjs', 'config.mjs', ...globSync(`${library}/dist/**/*.js`, { cwd: project })]
  const modules = [...files.map((file) => `(name = "${file}", esModule = embed "${file}")`), ...subpaths]
  return `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "service", worker = (
      modules = [${modules.join(',\n')}],
      compatibilityDate = "2026-07-01",
      compatibilityFlags = ["nodejs_compat"],
      globalOutbound = "network",
    )),
    (name = "network", network = (allow = ["private"])),
  ],
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "service")],
);
`
}

function moduleOf(name: string, file: string): string {
  const text = `export * from '${relative(dirname(name), file)}'`
  return `(name = "${name}", esModule = ${JSON.stringify(text)})`
}
