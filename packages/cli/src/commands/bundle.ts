import type { Command } from 'commander'
import { FailedError } from '../exit.ts'
import { output } from '../output.ts'
import { connect, type ServerOptions, serverOptions } from '../server-options.ts'

/** `aims bundle show`: the trust bundle of the server's trust domain, as others fetch it. */
export function define(command: Command): void {
  serverOptions(
    command
      .command('show')
      .description('print the SPIFFE bundle of the trust domain (JSON)')
      .option('--include-wit', 'also the keys of WITs, which older readers of SPIFFE bundles refuse'),
    'aims bundle show --include-wit > bundle.json',
  ).action(async (options: ServerOptions & { includeWit?: true }) => {
    const client = await connect(options)
    try {
      const path = options.includeWit === true ? '/v1/bundle?include=wit-svid' : '/v1/bundle'
      const bundle = await client.send({ method: 'GET', path })
      output.write(`${JSON.stringify(bundle, exact)}\n`)
    } finally {
      client.close()
    }
  })
}

// JSON.stringify cannot write a number beyond 2^53 without losing digits.
function exact(_name: string, value: unknown): unknown {
  if (typeof value === 'bigint') throw new FailedError('operation.invalid_response', 'the sequence number is too large')
  return value
}
