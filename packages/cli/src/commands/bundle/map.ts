import { parseBundleMap, serializeBundle } from 'aims/credentials'
import type { Command } from 'commander'
import { UsageError } from '../../exit.ts'
import { readInput } from '../../input.ts'
import { output, print } from '../../output.ts'
import { ask, type ServerOptions, serverOptions } from '../../server-options.ts'
import { collect } from '../verify/options.ts'
import { exact } from './show.ts'

/** `aims bundle export` and `import`: SPIFFE bundle maps. */
export function defineMap(parent: Command): void {
  serverOptions(
    parent.command('export').description('print the bundles of all trust domains as a SPIFFE bundle map (JSON)'),
    'aims bundle export > bundles.json',
  ).action(async (options: ServerOptions) => {
    output.write(`${JSON.stringify(await ask(options, { method: 'GET', path: '/v1/bundle-map' }), exact)}\n`)
  })

  serverOptions(
    parent
      .command('import')
      .description('take bundles from a bundle map, for relationships that are there')
      .argument('<file>', 'the bundle map; - for standard input')
      .requiredOption('--trust-domain <name>', 'whose bundle to take; repeatable', collect, []),
    'aims bundle import bundles.json --trust-domain partner.example',
  ).action(async (file: string, options: ServerOptions & { readonly trustDomain: readonly string[] }) => {
    const bundles = [...parseBundleMap(readInput(file)).values()]
    // All or nothing, as far as the file goes.
    const chosen = options.trustDomain.map((name) => {
      const bundle = bundles.find(({ trustDomain }) => trustDomain === name)
      if (bundle === undefined) throw new UsageError('the bundle map has no bundle of a trust domain that was named')
      return bundle
    })
    for (const bundle of chosen) {
      const path = `/v1/federation/${encodeURIComponent(bundle.trustDomain)}/bundle`
      const body = { bundle: serializeBundle(bundle, { includeWit: true }) }
      await ask(options, { method: 'PUT', path, body })
    }
    print({ ok: true, imported: options.trustDomain }, options.json === true)
  })
}
