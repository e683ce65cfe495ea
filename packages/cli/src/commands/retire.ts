import type { Command } from 'commander'
import { print } from '../output.ts'
import { ask, type ServerOptions, serverOptions } from '../server-options.ts'

/** `aims agent retire`: the end of an agent. */
export function defineRetire(command: Command): void {
  serverOptions(
    command
      .command('retire')
      .description('end an agent: its entry goes, and all it and its sub-agents have is refused by verifiers')
      .argument('<spiffe-id>', 'the identity')
      .option('--reason <text>', 'why, for the record'),
    "aims agent retire spiffe://example.com/agent/calendar-bot --reason 'replaced by planner'",
  ).action(async (spiffeId: string, _: unknown, retire: Command) => {
    // The parent has options of the same names.
    const options = retire.optsWithGlobals<ServerOptions & { readonly reason?: string }>()
    const { reason } = options
    const body = { spiffeId, ...(reason === undefined ? {} : { reason }) }
    print(
      { ok: true, ...(await ask(options, { method: 'POST', path: '/v1/retirements', body })) },
      options.json === true,
    )
  })
}
