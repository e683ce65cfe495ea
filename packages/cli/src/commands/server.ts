import { downgradeStore, startServer } from 'aims-server'
import type { Command } from 'commander'
import { print } from '../output.ts'
import { reloadOnHangup } from '../reloading.ts'
import { runUntilStopped } from '../running.ts'
import { configOf } from '../server-options.ts'

interface Options {
  readonly config?: string
  readonly acceptOlderStore?: true
  readonly downgradeStore?: true
  readonly json?: true
}

/** `aims server`: the identity server, until it is told to stop. */
export function define(command: Command): void {
  command
    .option('--config <file>', 'configuration file (YAML or JSON); settings may also come from AIMS_* variables')
    .option('--accept-older-store', 'start on a store or log older than the one remembered; the log says so')
    .option('--downgrade-store', 'make the store of a stopped server fit for the version before this one, and end')
    .option('--json', 'print one JSON object when ready')
    .addHelpText('after', '\nExample:\n  $ AIMS_TRUST_DOMAIN=example.com AIMS_DATA_DIRECTORY=./data aims server')
    .action(async (options: Options) => {
      const config = await configOf(options)
      if (options.downgradeStore === true) {
        print({ ok: true, ...(await downgradeStore(config)) }, options.json === true)
        return
      }
      const server = await startServer(config, { acceptOlderStore: options.acceptOlderStore === true })
      const { socketPath, port, logKey } = server
      // Before anybody knows that it is ready: a signal would end it until then.
      const stop = reloadOnHangup(server.reloadPolicies, options.json === true)
      print({ ok: true, trustDomain: config.trustDomain, socketPath, port, logKey }, options.json === true)
      await runUntilStopped(server)
      stop()
    })
}
