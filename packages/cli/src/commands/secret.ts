import { deleteSecret, listSecrets, putSecret, type SecretFiles, secretFiles } from 'aims-agent'
import type { Command } from 'commander'
import { UsageError } from '../exit.ts'
import { withExamples } from '../help.ts'
import { readInput } from '../input.ts'
import { output, print } from '../output.ts'
import { configOf } from '../server-options.ts'

interface Options {
  readonly config?: string
  readonly json?: true
}

/** `aims secret`: secrets of older services, which the credential broker attaches and nobody sees again. */
export function define(command: Command): void {
  options(
    command
      .command('put')
      .description('keep a secret in place of an earlier one; it is read from standard input and shown nowhere')
      .argument('<name>', 'what rules call it, e.g. weather-key'),
    'aims secret put weather-key --config aims.yaml < weather-key.txt',
  ).action(async (name: string, { config, json }: Options) => {
    // Not an argument: those are in the list of processes and the history of the shell.
    if (process.stdin.isTTY) throw new UsageError('give the secret on standard input: aims secret put NAME < FILE')
    const value = readInput('-', 16_384)
      .toString('latin1')
      .replace(/\r?\n$/, '')
    putSecret(await filesOf(config), name, value, Date.now() / 1000)
    print({ ok: true, put: name }, json === true)
  })

  options(
    command.command('list').description('show the names of the secrets, and when each was put'),
    'aims secret list --config aims.yaml',
  ).action(async ({ config, json }: Options) => {
    const secrets = listSecrets(await filesOf(config))
    if (json === true) print({ ok: true, secrets }, true)
    else
      for (const { name, changedAt } of secrets) output.write(`${name}  ${new Date(changedAt * 1000).toISOString()}\n`)
  })

  options(
    command.command('delete').description('forget a secret').argument('<name>', 'as aims secret list shows it'),
    'aims secret delete weather-key --config aims.yaml',
  ).action(async (name: string, { config, json }: Options) => {
    deleteSecret(await filesOf(config), name)
    print({ ok: true, deleted: name }, json === true)
  })
}

function options(command: Command, example: string): Command {
  const complete = command
    .option('--config <file>', 'configuration file, for agent.egress.secretsFile and agent.egress.keyFile')
    .option('--json', 'print one JSON object and nothing else')
  return withExamples(complete, example)
}

async function filesOf(config: string | undefined): Promise<SecretFiles> {
  return secretFiles(await configOf(config === undefined ? {} : { config }))
}
