import { accessSync, constants, existsSync, lstatSync, readdirSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { loadPeerCredentialProvider } from 'aims/attestation'
import { AimsError, apiClient } from 'aims/base'
import { loadPolicyDirectory } from 'aims/policy'
import { type Configuration, examineVerifiers } from 'aims-server'
import type { Command } from 'commander'
import { EXIT } from '../exit.ts'
import { output, print } from '../output.ts'
import { configOf } from '../server-options.ts'
import { PLANNERS } from './attest/refresh-tasks.ts'

/** What one check found. `fix` says what to do when it is not well. */
interface Finding {
  readonly check: string
  readonly ok: boolean
  readonly found: string
  readonly fix?: string
}

/** `aims doctor`: looks at this machine, the configuration and a running server, and says what to mend. */
export function define(command: Command): void {
  command
    .option('--config <file>', 'configuration file')
    .option('--json', 'print one JSON object and nothing else')
    .addHelpText('after', '\nExample:\n  $ aims doctor --config /etc/aims/server.yaml')
    .action(async (options: { config?: string; json?: true }) => {
      const findings = await examine(options)
      const ok = findings.every((finding) => finding.ok)
      if (!ok) process.exitCode = EXIT.negative
      if (options.json === true) print({ ok, findings }, true)
      else for (const finding of findings) output.write(readable(finding))
    })
}

function readable({ check, ok, found, fix }: Finding): string {
  return `${ok ? 'ok  ' : 'BAD '} ${check}: ${found}\n${fix === undefined ? '' : `     -> ${fix}\n`}`
}

async function examine(options: { readonly config?: string }): Promise<readonly Finding[]> {
  const findings = [runtime(), await peerCredentials()]
  let config: Configuration
  try {
    config = await configOf(options)
  } catch (error) {
    return [...findings, bad('configuration', error, 'mend the place named, or see docs/configuration.md')]
  }
  findings.push(
    good('configuration', `trust domain ${config.trustDomain}`),
    privateDirectory('data directory', config.dataDirectory),
    privateFile('key-encryption key', config.keyEncryptionKeyFile),
    socketDirectory('Workload API socket', config['agent.socket']),
    ...evidence(config),
    await policies(config['policies.directory']),
    await server(config['api.socket']),
  )
  return findings
}

function good(check: string, found: string): Finding {
  return { check, ok: true, found }
}

function bad(check: string, error: unknown, fix: string): Finding {
  const found = AimsError.is(error) ? `${error.message} [${error.code}]` : String(error)
  return { check, ok: false, found, fix }
}

function runtime(): Finding {
  return good('node', process.versions.node)
}

async function peerCredentials(): Promise<Finding> {
  try {
    await loadPeerCredentialProvider()
    return good('kernel peer credentials', 'available')
  } catch (error) {
    return bad('kernel peer credentials', error, 'install the package koffi; the agent runs on Linux only')
  }
}

function privateDirectory(check: string, path: string): Finding {
  if (!existsSync(path)) return willBeCreated(check, path)
  const { mode, uid } = statSync(path)
  if ((mode & 0o077) !== 0) return { check, ok: false, found: `${path} is open to others`, fix: `chmod 0700 ${path}` }
  return owned(check, path, uid)
}

// The nearest directory that is there decides whether the first start can make the rest.
function willBeCreated(check: string, path: string): Finding {
  let parent = dirname(path)
  while (!existsSync(parent)) parent = dirname(parent)
  try {
    accessSync(parent, constants.W_OK | constants.X_OK)
    return good(check, `${path} will be created at the first start`)
  } catch {
    const found = `${path} does not exist and ${parent} is not writable`
    return { check, ok: false, found, fix: `create ${path} for this user, or configure another directory` }
  }
}

function privateFile(check: string, path: string): Finding {
  if (!existsSync(path)) return good(check, `${path} will be created at the first start`)
  const { mode, uid } = lstatSync(path)
  if ((mode & 0o177) !== 0) return { check, ok: false, found: `${path} is open to others`, fix: `chmod 0600 ${path}` }
  return owned(check, path, uid)
}

function owned(check: string, path: string, uid: number): Finding {
  const mine = process.getuid?.()
  if (mine === undefined || mine === 0 || mine === uid) return good(check, path)
  return { check, ok: false, found: `${path} belongs to uid ${uid}`, fix: 'run as that user, or hand the path over' }
}

function socketDirectory(check: string, path: string): Finding {
  const directory = dirname(path)
  if (!existsSync(directory)) {
    return { check, ok: false, found: `${directory} does not exist`, fix: `create it, writable for the agent only` }
  }
  const { mode } = statSync(directory)
  const open = (mode & 0o002) !== 0
  if (open) return { check, ok: false, found: `${directory} is writable for everybody`, fix: `chmod o-w ${directory}` }
  return good(check, existsSync(path) ? `${path} is there` : `${path} will be created by the agent`)
}

// Settings as the server reads them at its start, and what every piece of evidence of a type needs.
function evidence({ attestation, dataDirectory }: Configuration): readonly Finding[] {
  try {
    return examineVerifiers(attestation, dataDirectory).map(({ type, lacks, directory }) => {
      const check = `evidence of ${type}`
      if (lacks === undefined) return good(check, 'is accepted')
      const fix = Object.hasOwn(PLANNERS, type)
        ? `aims attest refresh --type ${type} --directory ${directory}`
        : 'put it there by hand: docs/layers/3-attestation-collateral.md'
      return { check, ok: false, found: `${lacks} is not there: none is accepted until it is`, fix }
    })
  } catch (error) {
    return [bad('evidence', error, 'mend the setting named; docs/configuration.md lists those of each type')]
  }
}

async function policies(directory: string | undefined): Promise<Finding> {
  if (directory === undefined) {
    return good('policies', 'no directory is configured: every decision of the server is a deny')
  }
  const open = openToOthers(directory)
  if (open !== undefined) {
    const found = `${open} is writable for everybody: whoever is on this machine decides`
    return { check: 'policies', ok: false, found, fix: `chmod o-w ${open}` }
  }
  try {
    const set = await loadPolicyDirectory(directory)
    return good('policies', `${set.policies.length} policies, ${set.version}`)
  } catch (error) {
    return bad('policies', error, 'mend the policy named; aims policy validate shows all problems')
  }
}

// The directory, or the first policy in it. Links are judged by what they lead to.
function openToOthers(directory: string): string | undefined {
  if (!existsSync(directory)) return undefined
  const files = readdirSync(directory).filter((name) => name.endsWith('.cedar'))
  return [directory, ...files.map((name) => join(directory, name))].find(
    (path) => ((statSync(path, { throwIfNoEntry: false })?.mode ?? 0) & 0o002) !== 0,
  )
}

async function server(socketPath: string): Promise<Finding> {
  const client = apiClient({ socketPath })
  try {
    await client.send({ method: 'GET', path: '/v1/status', timeout: 2000 })
    return good('server', `answers on ${socketPath}`)
  } catch (error) {
    return bad('server', error, 'start it with aims server, or name its socket in the configuration')
  } finally {
    client.close()
  }
}
