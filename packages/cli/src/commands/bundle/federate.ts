import type { JsonObject } from 'aims/base'
import { isJsonObject } from 'aims/base'
import type { Command } from 'commander'
import { EXIT } from '../../exit.ts'
import { withExamples } from '../../help.ts'
import { readInput } from '../../input.ts'
import { meaningOf } from '../../meaning.ts'
import { output, print } from '../../output.ts'
import { ask, type ServerOptions, serverOptions } from '../../server-options.ts'
import { collect } from '../verify/options.ts'

interface AddOptions extends ServerOptions {
  readonly url: string
  readonly profile: string
  readonly endpointSpiffeId?: string
  readonly bundle?: string
  readonly authority?: string
  readonly network: readonly string[]
  readonly redirects: boolean
}

// The server waits for an endpoint, and for a fetch under way before.
const TIMEOUT = 70_000

const ADD_EXAMPLE =
  "aims bundle federate add partner.example --url 'https://aims.partner.example:8443/v1/bundle?include=wit-svid' --profile https_spiffe --endpoint-spiffe-id spiffe://partner.example/aims/server --bundle partner.json"

/** `aims bundle federate`: whose bundles are fetched, from where, and how that goes. */
export function defineFederate(parent: Command): void {
  const federate = parent.command('federate').description('relationships with other trust domains')
  withExamples(federate, ADD_EXAMPLE, 'aims bundle federate list', 'aims bundle federate remove partner.example')
  serverOptions(
    federate.command('list').description('show all relationships, and how their last fetch went'),
    'aims bundle federate list',
  ).action(async (options: ServerOptions) => {
    const { relationships } = await ask(options, { method: 'GET', path: '/v1/federation' })
    if (options.json === true) print({ ok: true, relationships }, true)
    else if (Array.isArray(relationships)) {
      for (const one of relationships.filter(isJsonObject)) output.write(`${summary(one)}\n`)
    }
  })

  serverOptions(
    federate.command('show').description('show one relationship').argument('<trust-domain>', 'its name'),
    'aims bundle federate show partner.example',
  ).action(async (name: string, options: ServerOptions) => {
    const status = await ask(options, { method: 'GET', path: pathOf(name) })
    print({ ok: true, ...forReaders(status, options) }, options.json === true)
  })

  serverOptions(
    federate
      .command('add')
      .description('begin a relationship, or put another one in its place, and fetch the bundle')
      .argument('<trust-domain>', 'whose bundle it is')
      .requiredOption('--url <url>', 'its bundle endpoint')
      .requiredOption('--profile <name>', 'https_spiffe or https_web: how the endpoint is recognised')
      .option('--endpoint-spiffe-id <id>', 'https_spiffe: exactly who serves it')
      .option(
        '--bundle <file>',
        'the bundle to begin with, SPIFFE JSON or PEM; from the other operator, not from the URL',
      )
      .option('--authority <file>', 'https_web: PEM of the authority to trust instead of those of the web')
      .option('--network <cidr>', 'a network that is not public and may be reached; repeatable', collect, [])
      .option('--no-redirects', 'follow no redirects'),
    ADD_EXAMPLE,
  ).action(async (name: string, options: AddOptions) => {
    await ask(options, { method: 'PUT', path: pathOf(name), body: relationshipOf(options) })
    await refresh(name, '', options)
  })

  serverOptions(
    federate
      .command('refresh')
      .description('fetch a bundle now')
      .argument('<trust-domain>', 'whose')
      .option('--accept-rollback', 'take a bundle that is older, or another one under the same sequence number'),
    'aims bundle federate refresh partner.example',
  ).action(async (name: string, options: ServerOptions & { acceptRollback?: true }) => {
    await refresh(name, options.acceptRollback === true ? '?acceptRollback=true' : '', options)
  })

  serverOptions(
    federate
      .command('remove')
      .description('end a relationship: its bundle is taken from all workloads')
      .argument('<trust-domain>', 'which'),
    'aims bundle federate remove partner.example',
  ).action(async (name: string, options: ServerOptions) => {
    await ask(options, { method: 'DELETE', path: pathOf(name) })
    print({ ok: true, removed: name }, options.json === true)
  })
}

// What is held stays when a fetch fails, so the status is printed either way.
async function refresh(name: string, query: string, options: ServerOptions): Promise<void> {
  const request = { method: 'POST', path: `${pathOf(name)}/refresh${query}`, timeout: TIMEOUT } as const
  const status = await ask(options, request)
  const code = status.lastError
  if (code !== null) process.exitCode = EXIT.failed
  // A relationship is kept whatever its endpoint does: what is refused is the bundle.
  const failure = code === null ? {} : { code, hint: hintOf(String(code)), kept: 'the relationship; it is tried again' }
  print({ ok: code === null, ...failure, ...forReaders(status, options) }, options.json === true)
}

/** What the settings of a relationship can do about a code, where that is more than the code says. */
const REMEDIES: { readonly [code: string]: string | undefined } = {
  'outbound.address_refused':
    'the address is not public: where that is meant, add it again with --network, e.g. 10.0.0.0/8',
  'outbound.tls_failed': 'whoever answers is not --endpoint-spiffe-id under --bundle: ask the other operator for both',
}

function hintOf(code: string): string | undefined {
  return REMEDIES[code] ?? meaningOf(code)
}

// Seconds since the epoch are for programs.
function forReaders(status: JsonObject, { json }: ServerOptions): JsonObject {
  if (json === true) return status
  const times = ['fetchedAt', 'nextFetchAt'].flatMap((name) => {
    const seconds = status[name]
    return typeof seconds === 'number' ? [[name, new Date(seconds * 1000).toISOString()]] : []
  })
  return { ...status, ...Object.fromEntries(times) }
}

function relationshipOf({
  url,
  profile,
  endpointSpiffeId,
  bundle,
  authority,
  network,
  redirects,
}: AddOptions): JsonObject {
  return {
    url,
    profile,
    redirects,
    networks: network,
    ...(endpointSpiffeId === undefined ? {} : { endpointSpiffeId }),
    ...(bundle === undefined ? {} : { bundle: readInput(bundle).toString('utf8') }),
    ...(authority === undefined ? {} : { authorities: readInput(authority).toString('latin1') }),
  }
}

function summary({ trustDomain, profile, url, sequence, lastError }: JsonObject): string {
  const state = lastError === null ? `sequence ${String(sequence ?? 'none')}` : String(lastError)
  return [trustDomain, profile, state, url].join('  ')
}

function pathOf(name: string): string {
  return `/v1/federation/${encodeURIComponent(name)}`
}
