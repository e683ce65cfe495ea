import { existsSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { loadPeerCredentialProvider } from 'aims/attestation'
import { AimsError, type ApiClient, apiClient, isJsonObject } from 'aims/base'
import { loadPolicyDirectory } from 'aims/policy'
import { type Configuration, examineKeyManager, examineRollback, examineVerifiers } from 'aims-server'
import type { Command } from 'commander'
import { bad, type Finding, good, privateDirectory, privateFile, socketDirectory } from '../doctor-findings.ts'
import { examineRemoteAgent } from '../doctor-remote-agent.ts'
import { EXIT } from '../exit.ts'
import { output, print } from '../output.ts'
import { configOf } from '../server-options.ts'
import { PLANNERS } from './attest/refresh-tasks.ts'

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
  findings.push(good('configuration', `trust domain ${config.trustDomain}`))
  if (config['agent.server'] !== undefined) return [...findings, ...(await examineRemoteAgent(config))]
  findings.push(
    privateDirectory('data directory', config.dataDirectory),
    privateFile('key-encryption key', config.keyEncryptionKeyFile),
    rollback(config),
    socketDirectory('Workload API socket', config['agent.socket']),
    await keyManager(config),
    ...evidence(config),
    await policies(config['policies.directory']),
    ...(await server(config['api.socket'])),
  )
  return findings
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

// It is asked for its keys: whoever can list them has the module, the network and the credentials right.
async function keyManager({ trustDomain, 'keys.manager': setting }: Configuration): Promise<Finding> {
  try {
    const found = await examineKeyManager(setting, trustDomain)
    if (found === undefined) return good('key manager', 'none is configured: keys are in the store, wrapped')
    return good('key manager', `${found.name} answers and has ${found.keys} keys of this trust domain`)
  } catch (error) {
    return bad('key manager', error, 'docs/operations.md#key-managers lists packages, credentials and permissions')
  }
}

// Settings as the server reads them at its start, and what every piece of evidence of a type needs.
function evidence({ attestation, dataDirectory, trustDomain }: Configuration): readonly Finding[] {
  try {
    return examineVerifiers(attestation, { dataDirectory, trustDomain }).map(({ type, lacks, directory }) => {
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

// What is remembered of store and log elsewhere, so that older copies of them are found out.
function rollback(config: Configuration): Finding {
  const check = 'rollback memory'
  const file = config['rollback.file']
  try {
    const { hasStore, isOnDiskOfStore } = examineRollback(config)
    if (!hasStore) return good(check, `${file} will be created at the first start`)
    const note = isOnDiskOfStore ? ', on the disk of the data directory: an image of that disk takes it along' : ''
    return good(check, `${file}, and the store is no older${note}`)
  } catch (error) {
    const isAboutKey = AimsError.is(error) && error.code.startsWith('operation.key_file_')
    const fix = 'put the newest store or the file back; docs/operations.md says when to accept an older one'
    return bad(check, error, isAboutKey ? 'as the user of the server run aims doctor, or mend the key file' : fix)
  }
}

async function policies(directory: string | undefined): Promise<Finding> {
  if (directory === undefined) {
    return good('policies', 'no directory is configured: every decision of the server is a deny')
  }
  if (!existsSync(directory)) {
    const fix = `mkdir ${directory}, or take policies.directory out of the configuration`
    return { check: 'policies', ok: false, found: `${directory} does not exist`, fix }
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

async function server(socketPath: string): Promise<readonly Finding[]> {
  const client = apiClient({ socketPath })
  try {
    await client.send({ method: 'GET', path: '/v1/status', timeout: 2000 })
    return [good('server', `answers on ${socketPath}`), ...(await federation(client))]
  } catch (error) {
    return [bad('server', error, 'start it with aims server, or name its socket in the configuration')]
  } finally {
    client.close()
  }
}

// Workloads keep the bundle of the last fetch that went well: that others fail is seen here, and not by them.
async function federation(client: ApiClient): Promise<readonly Finding[]> {
  const answer = await client.send({ method: 'GET', path: '/v1/federation', timeout: 2000 })
  const { relationships } = isJsonObject(answer) ? answer : {}
  return (Array.isArray(relationships) ? relationships.filter(isJsonObject) : []).map(
    ({ trustDomain, lastError, sequence }) => {
      const check = `federation with ${String(trustDomain)}`
      if (lastError === null)
        return good(check, sequence === null ? 'not fetched yet' : `its bundle has the sequence ${String(sequence)}`)
      const fix = `aims explain ${String(lastError)}, then aims bundle federate refresh ${String(trustDomain)}`
      return { check, ok: false, found: `the last fetch failed [${String(lastError)}]`, fix }
    },
  )
}
