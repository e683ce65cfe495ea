import type { Command } from 'commander'
import { print } from '../../output.ts'
import { ask, type ServerOptions, serverOptions } from '../../server-options.ts'

/** `aims attest forget`: the way back for a machine whose key is lost. */
export function defineForget(command: Command): void {
  serverOptions(
    command
      .command('forget')
      .argument('<spiffe-id>')
      .description('let the next machine that shows the evidence of this identity count as the first one'),
    'aims attest forget spiffe://example.com/agent/calendar-bot',
  ).action(async (spiffeId: string, options: ServerOptions) => {
    const { forgotten = 0 } = await ask(options, {
      method: 'POST',
      path: '/v1/attestation/forget',
      body: { spiffeId },
    })
    print({ ok: true, spiffeId, forgotten: Number(forgotten) }, options.json === true)
  })
}
