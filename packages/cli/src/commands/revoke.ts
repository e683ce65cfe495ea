import type { Command } from 'commander'
import { UsageError } from '../exit.ts'
import { print } from '../output.ts'
import { ask, type ServerOptions, serverOptions } from '../server-options.ts'

interface Options extends ServerOptions {
  readonly token?: string
  readonly certificate?: string
  readonly key?: string
  readonly reason?: string
}

/** `aims revoke`: what was issued is refused. An identity that stays registered gets new credentials. */
export function define(command: Command): void {
  serverOptions(
    command
      .argument('[spiffe-id]', 'all credentials of this identity and its sub-agents that were issued until now')
      .option('--token <jti>', 'the WIT or JWT-SVID with this id')
      .option('--certificate <serial>', 'the X.509-SVID with this serial number, in hex')
      .option('--key <thumbprint>', 'all credentials for this key: its RFC 7638 thumbprint')
      .option('--reason <text>', 'why, for the record'),
    'aims revoke spiffe://example.com/agent/calendar-bot\n  $ aims revoke --certificate 5f0c...',
  ).action(async (spiffeId: string | undefined, options: Options) => {
    const { token, certificate, key, reason } = options
    const named = Object.entries({ subject: spiffeId, token, certificate, key }).filter(
      ([, value]) => value !== undefined,
    )
    const [one, ...others] = named
    if (one === undefined || others.length > 0) {
      throw new UsageError('name one thing: a SPIFFE ID, --token, --certificate or --key')
    }
    const [type, value] = one
    const body = { type, value, ...(reason === undefined ? {} : { reason }) }
    print(
      { ok: true, ...(await ask(options, { method: 'POST', path: '/v1/revocations', body })) },
      options.json === true,
    )
  })
}
