import { startAgent } from 'aims-agent'
import type { Command } from 'commander'
import { print } from '../output.ts'
import { runUntilStopped } from '../running.ts'
import { configOf } from '../server-options.ts'
import { defineRetire } from './retire.ts'

/** `aims agent`: the node agent, until it is told to stop. */
export function define(command: Command): void {
  command
    .option('--config <file>', 'configuration file (YAML or JSON); settings may also come from AIMS_* variables')
    .option('--json', 'print one JSON object when ready')
    .addHelpText('after', '\nExample:\n  $ aims agent --config /etc/aims/aims.yaml')
    .action(async (options: { config?: string; json?: true }) => {
      const config = await configOf(options)
      const agent = await startAgent(config)
      print({ ok: true, endpoint: `unix://${config['agent.socket']}` }, options.json === true)
      await runUntilStopped(agent)
    })
  defineRetire(command)
}
