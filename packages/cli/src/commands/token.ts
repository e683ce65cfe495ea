import { isJsonObject } from 'aims/base'
import { type Command, Option } from 'commander'
import { UsageError } from '../exit.ts'
import { output, print } from '../output.ts'
import { ask, type ServerOptions, serverOptions } from '../server-options.ts'

/** `aims token`: join tokens. Each lets one machine in as an agent, or one workload, once. */
export function define(command: Command): void {
  serverOptions(
    command
      .command('create')
      .description('make a join token; it is shown here and never again')
      .requiredOption('--name <name>', 'becomes the selector join-token:name:NAME; several tokens may have the same')
      .addOption(
        new Option('--for <use>', 'who gets in by it: one workload, or one machine as an agent')
          .choices(['workload', 'agent'])
          .default('workload'),
      )
      .option('--ttl <seconds>', 'how long it waits to be used; default 600'),
    'aims token create --name edge --for agent > token && chmod 600 token',
  ).action(async (options: ServerOptions & { readonly name: string; readonly for: string; readonly ttl?: string }) => {
    const { name, ttl, for: use } = options
    const body = { name, for: use, ...(ttl === undefined ? {} : { ttl: seconds(ttl) }) }
    const answer = await ask(options, { method: 'POST', path: '/v1/join-tokens', body })
    if (options.json === true) print({ ok: true, ...answer }, true)
    // Nothing but the token, so that it goes into a file.
    else output.write(`${answer.token}\n`)
  })

  serverOptions(
    command.command('list').description('show the join tokens that wait to be used, by their hashes'),
    'aims token list',
  ).action(async (options: ServerOptions) => {
    const { tokens } = await ask(options, { method: 'GET', path: '/v1/join-tokens' })
    if (options.json === true) print({ ok: true, tokens }, true)
    else if (Array.isArray(tokens)) {
      for (const { id, name, use, expiresAt } of tokens.filter(isJsonObject)) {
        output.write(`${id}  ${name}  for one ${use}  until ${new Date(Number(expiresAt) * 1000).toISOString()}\n`)
      }
    }
  })

  serverOptions(
    command.command('revoke').description('take back a join token that was not used').argument('<id>', 'its hash'),
    'aims token revoke q3zXv1e0...',
  ).action(async (id: string, options: ServerOptions) => {
    await ask(options, { method: 'DELETE', path: `/v1/join-tokens/${encodeURIComponent(id)}` })
    print({ ok: true, revoked: id }, options.json === true)
  })
}

function seconds(text: string): number {
  if (!/^[1-9][0-9]{0,6}$/.test(text)) throw new UsageError('--ttl is a whole number of seconds')
  return Number(text)
}
