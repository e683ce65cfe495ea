// TPMs of the simulator swtpm, each manufactured anew with a CA of its own.
import { execFile, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import type { CollateralFile } from 'aims/attestation'

const run = promisify(execFile)

/** Whether the simulator is installed. */
export const hasSwtpm: boolean = ['swtpm', 'swtpm_setup'].every(
  (command) => spawnSync(command, ['--version']).error === undefined,
)

export interface Swtpm {
  /** Certificates of the CA that certified the endorsement keys: issuer, root. */
  readonly authorities: readonly CollateralFile[]
  /** Switches the machine on. Returns the address of its TPM. */
  start(over?: 'unix' | 'tcp'): Promise<string>
  /** Switches it off. */
  stop(): Promise<void>
}

/** Makes a TPM with certified endorsement keys, RSA and P-384. @param directory - Must not exist. */
export async function manufacture(directory: string): Promise<Swtpm> {
  const at = (name: string): string => join(directory, name)
  mkdirSync(at('state'), { recursive: true })
  mkdirSync(at('ca'))
  write('setup.conf', {
    create_certs_tool: '/usr/bin/swtpm_localca',
    create_certs_tool_config: at('localca.conf'),
    create_certs_tool_options: at('localca.options'),
    active_pcr_banks: 'sha256',
  })
  write('localca.conf', {
    statedir: at('ca'),
    signingkey: at('ca/signkey.pem'),
    issuercert: at('ca/issuercert.pem'),
    certserial: at('ca/certserial'),
  })
  writeFileSync(at('localca.options'), '--platform-manufacturer AIMS\n--platform-version 1.0\n--platform-model soft\n')
  const setup = ['--tpm2', '--tpmstate', at('state'), '--config', at('setup.conf'), '--create-ek-cert']
  await run('swtpm_setup', [...setup, '--overwrite', '--pcr-banks', 'sha256'])
  const authorities = ['issuercert.pem', 'swtpm-localca-rootca-cert.pem'].map((name) => ({
    name,
    bytes: readFileSync(at(`ca/${name}`)),
  }))
  let process: ReturnType<typeof spawn> | undefined

  return {
    authorities,
    async start(over = 'unix') {
      const port = 20_000 + (globalThis.process.pid % 20_000)
      const data = over === 'unix' ? `type=unixio,path=${at('data')}` : `type=tcp,port=${port},bindaddr=127.0.0.1`
      const control = `type=unixio,path=${at('control')}`
      const flags = ['--flags', 'not-need-init,startup-clear']
      const state = ['--tpm2', '--tpmstate', `dir=${at('state')}`]
      for (const name of ['control', 'data']) rmSync(at(name), { force: true })
      process = spawn('swtpm', ['socket', ...state, '--server', data, '--ctrl', control, ...flags], { stdio: 'ignore' })
      const sockets = over === 'unix' ? ['control', 'data'] : ['control']
      for (let i = 0; !sockets.every((name) => existsSync(at(name))) && i < 3000; i += 1) await sleep(10)
      return over === 'unix' ? `unix://${at('data')}` : `tcp://127.0.0.1:${port}`
    },
    async stop() {
      if (process === undefined) return
      const ended = once(process, 'exit')
      process.kill()
      await ended
      process = undefined
    },
  }

  function write(name: string, settings: { readonly [key: string]: string }): void {
    const lines = Object.entries(settings).map(([key, value]) => `${key} = ${value}\n`)
    writeFileSync(at(name), lines.join(''))
  }
}
