import { loadPolicyDirectory } from 'aims/policy'
import type { Command } from 'commander'
import { EXIT } from '../exit.ts'
import { print, type Result, refusal } from '../output.ts'

/** `aims policy validate`: whether a directory of policies loads, and as which version. */
export function define(command: Command): void {
  command
    .command('validate')
    .description('check a directory of Cedar policies against the AIMS schema')
    .argument('<directory>', 'holds *.cedar files')
    .option('--json', 'print one JSON object and nothing else')
    .addHelpText('after', '\nExample:\n  $ aims policy validate ./policies')
    .action(async (directory: string, options: { json?: true }) => {
      const result = await validate(directory)
      if (!result.ok) process.exitCode = EXIT.negative
      print(result, options.json === true)
    })
}

async function validate(directory: string): Promise<Result> {
  try {
    const { version, policies } = await loadPolicyDirectory(directory)
    return { ok: true, version, policies: policies.map(({ id }) => id) }
  } catch (error) {
    return refusal(error)
  }
}
