import { REQUIREMENTS, type RequirementsFormat, renderRequirements } from 'aims/compliance'
import type { Command } from 'commander'
import { UsageError } from '../exit.ts'
import { output } from '../output.ts'

const FORMATS: readonly RequirementsFormat[] = ['text', 'markdown', 'json']

/** `aims compliance requirements`: what the framework asks, and which code and test answer it. */
export function define(command: Command): void {
  command
    .command('requirements')
    .description('what the framework asks, and which code and tests answer it')
    .option('--layer <name>', 'only this layer, e.g. credentials')
    .option('--status <name>', 'only implemented, planned or not-applicable')
    .option('--format <name>', FORMATS.join(', '), 'text')
    .option('--json', 'same as --format json')
    .addHelpText('after', '\nExample:\n  $ aims compliance requirements --layer authentication --format markdown')
    .action((options: { layer?: string; status?: string; format: string; json?: true }) => {
      const format = options.json === true ? 'json' : FORMATS.find((name) => name === options.format)
      if (format === undefined) throw new UsageError(`--format takes one of ${FORMATS.join(', ')}`)
      const wanted = REQUIREMENTS.filter(
        ({ layer, status }) =>
          (options.layer === undefined || layer === options.layer) &&
          (options.status === undefined || status === options.status),
      )
      output.write(`${renderRequirements(wanted, format).trimEnd()}\n`)
    })
}
