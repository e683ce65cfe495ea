import { findPolicyProblems, formatPolicyProblem, parsePolicySet, readPolicyDirectory } from 'aims/policy'
import type { Command } from 'commander'
import { EXIT } from '../exit.ts'
import { print, type Result } from '../output.ts'

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
  const files = await readPolicyDirectory(directory)
  const problems = await findPolicyProblems(files)
  const [first] = problems
  if (first !== undefined) {
    // One mistake can be wrong for several actions.
    const lines = [...new Set(problems.map(formatPolicyProblem))]
    return { ok: false, code: first.code, message: formatPolicyProblem(first), problems: lines }
  }
  const { version, policies } = await parsePolicySet(files)
  const warnings = policies.length === 0 ? ['there are no policies here: every decision is a deny'] : []
  return { ok: true, version, policies: policies.map(({ id }) => id), warnings }
}
