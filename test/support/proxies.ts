// Proxies of other projects in front of the echo service, each started with a configuration of docs/gateways.md.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { freePort } from './free-port.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const envoy = process.env.AIMS_ENVOY ?? join(root, 'node_modules/.cache/envoy/envoy')
const has = (command: string, flag: string): boolean => spawnSync(command, [flag]).error === undefined

/** Why tests with a proxy are skipped, or false. */
export const WITHOUT: { readonly [proxy in 'nginx' | 'caddy' | 'envoy']: string | false } = {
  nginx: has('nginx', '-v') ? false : 'nginx is not installed',
  caddy: has('caddy', 'version') ? false : 'caddy is not installed',
  envoy: existsSync(envoy) ? false : 'no Envoy on this machine',
}

/** A proxy that runs. */
export interface RunningProxy {
  readonly port: number
  close(): Promise<void>
}

/** The configuration under a heading of docs/gateways.md, with the addresses of a test. */
export function documented(heading: string, addresses: { readonly [text: string]: string }): string {
  const page = readFileSync(join(root, 'docs/gateways.md'), 'utf8')
  const section = page.slice(page.indexOf(`\n### ${heading}\n`))
  const [, text = ''] = /```\w+\n([\s\S]*?)```/.exec(section) ?? []
  return Object.entries(addresses).reduce((all, [from, to]) => {
    if (!all.includes(from)) throw new Error(`the configuration under ${heading} has no ${from}`)
    return all.replaceAll(from, to)
  }, text)
}

/** Starts nginx with a server block. */
export async function startNginx(server: (port: number) => string): Promise<RunningProxy> {
  const port = await freePort()
  return await running(port, (directory) => {
    const config = join(directory, 'nginx.conf')
    mkdirSync(join(directory, 'tmp'))
    const paths = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
      (name) => `${name}_temp_path ${directory}/tmp;`,
    )
    const user = process.getuid?.() === 0 ? 'user root;' : ''
    writeFileSync(
      config,
      `${user} daemon off; pid ${directory}/pid; error_log stderr crit; events {}
http { access_log off; ${paths.join(' ')}\n${server(port)}\n}\n`,
    )
    return ['nginx', ['-c', config, '-p', directory]]
  })
}

/** Starts Caddy with a Caddyfile. */
export async function startCaddy(file: (port: number) => string): Promise<RunningProxy> {
  const port = await freePort()
  return await running(port, (directory) => {
    const config = join(directory, 'Caddyfile')
    writeFileSync(config, `{\n\tadmin off\n\tauto_https off\n}\n${file(port)}`)
    return ['caddy', ['run', '--config', config, '--adapter', 'caddyfile']]
  })
}

/** Starts Envoy. */
export async function startEnvoy(yaml: (port: number) => string): Promise<RunningProxy> {
  const port = await freePort()
  return await running(port, (directory) => {
    const config = join(directory, 'envoy.yaml')
    writeFileSync(config, yaml(port))
    return [envoy, ['-c', config, '--use-dynamic-base-id', '--concurrency', '1', '--log-level', 'error']]
  })
}

async function running(
  port: number,
  command: (directory: string) => readonly [program: string, args: readonly string[]],
): Promise<RunningProxy> {
  const directory = mkdtempSync(join(tmpdir(), 'aims-proxy-'))
  chmodSync(directory, 0o755)
  const [program, args] = command(directory)
  const env = { ...process.env, XDG_DATA_HOME: directory, XDG_CONFIG_HOME: directory }
  const child = spawn(program, args, { stdio: ['ignore', 'ignore', 'pipe'], env })
  let said = ''
  child.stderr.on('data', (some) => {
    said += some
  })
  await answering(port, child, () => said)
  return {
    port,
    async close() {
      child.kill()
      if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
      rmSync(directory, { recursive: true, force: true, maxRetries: 10 })
    },
  }
}

async function answering(port: number, child: ChildProcess, said: () => string): Promise<void> {
  for (let attempt = 0; attempt < 600; attempt += 1) {
    if (child.exitCode !== null) throw new Error(`the proxy ended with ${child.exitCode}: ${said()}`)
    const socket = connect(port, '127.0.0.1')
    const isOpen = await once(socket, 'connect').then(
      () => true,
      () => false,
    )
    socket.destroy()
    if (isOpen) return
    await delay(50)
  }
  throw new Error(`the proxy does not listen: ${said()}`)
}
