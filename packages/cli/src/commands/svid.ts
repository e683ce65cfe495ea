import { mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import type { AttestationType } from 'aims/attestation'
import { type AimsError, encodePem } from 'aims/base'
import { parseTrustDomain, trustDomainOf } from 'aims/identifiers'
import { type ConnectedIdentity, connect, connectWorkload, ENDPOINT_VARIABLE } from 'aims/provisioning'
import type { Command } from 'commander'
import { findDevFile } from '../dev-directory.ts'
import { findEvidenceType } from '../evidence-types.ts'
import { UsageError } from '../exit.ts'
import { print, type Result, visible } from '../output.ts'
import { collect } from './verify/options.ts'

interface Options {
  readonly socket?: string
  readonly write?: string
  readonly audience?: string
  readonly evidence: readonly string[]
  readonly server?: string
  readonly bundle?: string
  readonly trustDomain?: string
  readonly json?: true
}

/** `aims svid fetch`: what the Workload API, or a server that is shown evidence, says this process is. Keys and tokens leave only into files you name. */
export function define(command: Command): void {
  command
    .command('fetch')
    .description('fetch the credentials of this process from the Workload API, or for evidence')
    .option('--socket <address>', 'path, or unix:///path; default SPIFFE_ENDPOINT_SOCKET, or that of aims dev')
    .option('--write <directory>', 'write svid.pem, key.pem (mode 0600) and bundle.pem there')
    .option('--audience <uri>', 'also fetch a JWT-SVID for this audience, into jwt-svid.txt of --write')
    .option('--evidence <type>', 'show evidence of this machine to a server instead; repeatable', collect, [])
    .option('--server <address>', 'with --evidence: https://HOST:PORT; default AIMS_SERVER')
    .option('--bundle <file>', 'with --evidence: SPIFFE bundle that the server is recognised by; default AIMS_BUNDLE')
    .option('--trust-domain <name>', 'with --evidence: whose bundle that is; default what it says itself')
    .option('--json', 'print one JSON object and nothing else')
    .addHelpText(
      'after',
      `
Examples:
  $ aims svid fetch --socket unix:///run/aims/workload.sock --write ./my-svid
  $ aims svid fetch --evidence github --server https://aims.example.com:8443 --bundle aims-bundle.json`,
    )
    .action(async (options: Options) => {
      if (options.audience !== undefined && options.write === undefined)
        throw new UsageError('--audience needs --write')
      using workload = await open(options)
      const result = describe(workload)
      if (options.write !== undefined) await write(workload, options.write, options.audience)
      print(result, options.json === true)
    })
}

const WAITING = { readyTimeout: 10_000, onWaiting: sayWaiting }

async function open(options: Options): Promise<ConnectedIdentity> {
  const { evidence, server, bundle, trustDomain } = options
  if (evidence.length === 0) {
    if (server !== undefined || bundle !== undefined || trustDomain !== undefined) {
      throw new UsageError('--server, --bundle and --trust-domain need --evidence')
    }
    const socket = options.socket ?? socketOfDev()
    const address = socket === undefined ? {} : { address: addressOf(socket) }
    return await connectWorkload({ ...WAITING, ...address })
  }
  if (options.socket !== undefined) throw new UsageError('give --socket, or --evidence')
  return await connect({
    ...WAITING,
    evidence: evidence.map(typeOf),
    ...(server === undefined ? {} : { server }),
    ...(bundle === undefined ? {} : { bundle }),
    ...(trustDomain === undefined ? {} : { trustDomain: parseTrustDomain(trustDomain) }),
  })
}

function typeOf(name: string): AttestationType {
  const type = findEvidenceType(name)?.type
  if (type === undefined) throw new UsageError('--evidence takes a type of aims attest types')
  return type
}

function sayWaiting({ message, code }: AimsError): void {
  process.stderr.write(visible(`aims: waiting for an identity: ${message} [${code}]\n`))
}

function socketOfDev(): string | undefined {
  return process.env[ENDPOINT_VARIABLE] === undefined ? findDevFile('workload.sock') : undefined
}

// Other commands take the path of a socket as it is; so does this one.
function addressOf(socket: string): string {
  return /^[a-z]+:/.test(socket) ? socket : `unix://${resolve(socket)}`
}

function describe({ x509, wit, spiffeId }: ConnectedIdentity): Result {
  return {
    ok: true,
    spiffeId,
    x509: x509
      .x509Svids()
      .map((svid) => ({ spiffeId: svid.spiffeId, hint: svid.hint, expiresAt: toTime(svid.expiresAt) })),
    wit: wit.wits().map((one) => ({ subject: one.subject, profile: one.profile, expiresAt: toTime(one.expiresAt) })),
  }
}

async function write(
  { x509, jwt, bundles }: ConnectedIdentity,
  directory: string,
  audience: string | undefined,
): Promise<void> {
  mkdirSync(directory, { recursive: true, mode: 0o700 })
  const svid = x509.x509Svid()
  const authorities = bundles.bundleFor(trustDomainOf(svid.spiffeId))?.x509Authorities ?? []
  const pem = (certificates: readonly Uint8Array[]): string =>
    certificates.map((der) => encodePem('CERTIFICATE', der)).join('')
  writeFileSync(join(directory, 'svid.pem'), pem(svid.certificates))
  writeSecret(join(directory, 'key.pem'), svid.key.tlsKey.export({ type: 'pkcs8', format: 'pem' }).toString())
  writeFileSync(join(directory, 'bundle.pem'), pem(authorities))
  if (audience === undefined) return
  const { token } = await jwt.jwtSvid(audience)
  writeSecret(join(directory, 'jwt-svid.txt'), `${token}\n`)
}

/** Writes a file that only its owner reads, in place of one that others may read, or of a link to elsewhere. */
export function writeSecret(path: string, text: string | Uint8Array): void {
  const fresh = `${path}.new`
  rmSync(fresh, { force: true })
  writeFileSync(fresh, text, { mode: 0o600, flag: 'wx' })
  renameSync(fresh, path)
}

function toTime(seconds: number): string {
  return new Date(seconds * 1000).toISOString()
}
