import { REQUIREMENTS, type RequirementRecord, type RequirementsFormat, renderRequirements } from 'aims/compliance'
import type { Command } from 'commander'
import { UsageError } from '../exit.ts'
import { output } from '../output.ts'

const FORMATS: readonly RequirementsFormat[] = ['text', 'markdown', 'json']
const STATUSES: readonly RequirementRecord['status'][] = ['implemented', 'planned', 'not-applicable']

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
      requireOneOf('--layer', options.layer, [...new Set(REQUIREMENTS.map(({ layer }) => layer))])
      requireOneOf('--status', options.status, STATUSES)
      const wanted = REQUIREMENTS.filter(
        ({ layer, status }) =>
          (options.layer === undefined || layer === options.layer) &&
          (options.status === undefined || status === options.status),
      )
      output.write(`${renderRequirements(wanted, format).trimEnd()}\n`)
    })
}

function requireOneOf(option: string, given: string | undefined, known: readonly string[]): void {
  if (given !== undefined && !known.includes(given)) throw new UsageError(`${option} takes one of ${known.join(', ')}`)
}
