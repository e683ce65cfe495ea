import type { Command } from 'commander'

/** Adds examples to the help of a command: each works as it stands where what it names is there. */
export function withExamples(command: Command, ...examples: readonly string[]): Command {
  const title = examples.length === 1 ? 'Example' : 'Examples'
  return command.addHelpText('after', `\n${title}:\n${examples.map((one) => `  $ ${one}`).join('\n')}`)
}

/** Says what the exit codes of a command mean. @see exit-codes.ts */
export function withExitCodes(command: Command): Command {
  return command.addHelpText('after', '\nExit codes: 0 done, 1 refused or not well, 2 wrong use, 3 could not be done')
}
