import { setTimeout as sleep } from 'node:timers/promises'
import { collateralDirectory, type RefreshOutcome, refreshCollateral } from 'aims/attestation'
import { type OutboundPurpose, outbound } from 'aims/base'
import type { Command } from 'commander'
import { EXIT, UsageError } from '../../exit.ts'
import { readInput } from '../../input.ts'
import { print } from '../../output.ts'
import { collect } from '../verify/options.ts'
import { type NeedsOptions, PLANNERS } from './refresh-tasks.ts'

interface Options extends NeedsOptions {
  readonly directory: string
  readonly type: readonly string[]
  readonly authority?: string
  readonly network: readonly string[]
  readonly json?: true
}

/** `aims attest refresh`: fetches what vendors publish into a directory of collateral. */
export function defineRefresh(parent: Command): void {
  const types = Object.keys(PLANNERS).join(', ')
  parent
    .command('refresh')
    .description('fetch what vendors publish into a directory, for verifiers that fetch nothing')
    .requiredOption('--directory <path>', 'the directory of collateral; made when absent')
    .requiredOption('--type <name>', `one of ${types}; repeatable`, collect, [])
    .option('--evidence <file>', 'also what this quote or report needs; repeatable', collect, [])
    .option('--fmspc <hex>', 'Intel: a kind of platform; repeatable; those at hand are refreshed anyway', collect, [])
    .option(
      '--product <name>',
      'AMD: Milan, Genoa or Turin; repeatable; those at hand are refreshed anyway',
      collect,
      [],
    )
    .option('--tenant <id>', 'Azure: a tenant; repeatable; those at hand are refreshed anyway', collect, [])
    .option('--cluster <name>', 'Kubernetes: what you call the cluster')
    .option(
      '--keys-url <url>',
      'Kubernetes, GitHub Enterprise: where the keys are, e.g. https://HOST:6443/openid/v1/jwks',
    )
    .option('--token <file>', 'Kubernetes: sent as bearer token')
    .option('--service <origin>', 'Intel, AMD: a caching service of your own instead of that of the vendor')
    .option('--authority <file>', 'PEM of the authority of that service or cluster')
    .option(
      '--network <cidr>',
      'a network that is not public and may be reached, e.g. 10.0.0.0/8; repeatable',
      collect,
      [],
    )
    .option('--json', 'print one JSON object and nothing else')
    .addHelpText(
      'after',
      '\nExample:\n  $ aims attest refresh --directory /var/lib/aims/collateral --type tdx --evidence quote.bin',
    )
    .action((options: Options) => refresh(options))
}

async function refresh(options: Options): Promise<void> {
  const directory = collateralDirectory(options.directory)
  const plans = [...new Set(options.type)].map((type) => {
    const plan = Object.hasOwn(PLANNERS, type) ? PLANNERS[type] : undefined
    if (plan === undefined) throw new UsageError(`--type takes one of ${Object.keys(PLANNERS).join(', ')}`)
    return plan(options, directory)
  })
  const tasks = plans.flatMap((plan) => plan.tasks)
  const purposes: { [purpose: string]: OutboundPurpose } = {}
  for (const { tasks: own, hosts } of plans) {
    for (const { purpose } of own) purposes[purpose] = { hosts, networks: options.network, ...authoritiesOf(options) }
  }
  const fetcher = outbound({ purposes })
  // Lists and identities of Intel are those of both its types.
  const unique = [...new Map(tasks.map((task) => [task.name, task])).values()]
  // A service of one's own does not count.
  const pause = options.service === undefined ? 1000 : 0
  report(await refreshCollateral(unique, { directory, outbound: fetcher, sleep, pause }), options)
}

function authoritiesOf({ authority }: Options): { readonly authorities?: string } {
  return authority === undefined ? {} : { authorities: readInput(authority).toString('latin1') }
}

function report(files: readonly RefreshOutcome[], { directory, json }: Options): void {
  const failed = files.find((one) => one.state === 'failed')
  if (failed !== undefined) process.exitCode = EXIT.failed
  const { code, message } = failed ?? {}
  const shown = json === true ? files : files.map(lineOf)
  print({ ok: failed === undefined, code, message, directory, files: shown }, json === true)
}

function lineOf(outcome: RefreshOutcome): string {
  return outcome.state === 'failed'
    ? `${outcome.name}: ${outcome.message} [${outcome.code}]`
    : `${outcome.name}: ${outcome.state}`
}
