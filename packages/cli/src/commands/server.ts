import { startServer } from 'aims-server'
import type { Command } from 'commander'
import { print } from '../output.ts'
import { runUntilStopped } from '../running.ts'
import { configOf } from '../server-options.ts'

/** `aims server`: the identity server, until it is told to stop. */
export function define(command: Command): void {
  command
    .option('--config <file>', 'configuration file (YAML or JSON); settings may also come from AIMS_* variables')
    .option('--json', 'print one JSON object when ready')
    .addHelpText('after', '\nExample:\n  $ AIMS_TRUST_DOMAIN=example.com AIMS_DATA_DIRECTORY=./data aims server')
    .action(async (options: { config?: string; json?: true }) => {
      const config = await configOf(options)
      const server = await startServer(config)
      const { socketPath, port, logKey } = server
      print({ ok: true, trustDomain: config.trustDomain, socketPath, port, logKey }, options.json === true)
      await runUntilStopped(server)
    })
}
