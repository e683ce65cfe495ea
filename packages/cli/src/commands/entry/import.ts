import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { AimsError } from 'aims/base'
import { parseBundle } from 'aims/credentials'
import { parseTrustDomain } from 'aims/identifiers'
import type { Command } from 'commander'
import { EXIT, UsageError } from '../../exit.ts'
import { FLEET, readInput } from '../../input.ts'
import { output, print } from '../../output.ts'
import { readSpireDocument, type SpireDocuments } from '../../spire/documents.ts'
import { type MappingOptions, mapSpireEntries, type SpireMapping } from '../../spire/map-entries.ts'

interface ImportOptions extends MappingOptions {
  readonly from: string
  readonly out: string
  readonly json?: true
}

/** A bundle that was written, or why it was not. */
interface ImportedBundle {
  readonly trustDomain: string
  readonly file?: string
  readonly problem?: string
}

/** `aims entry import`: what another system has registered, as files for `aims entry plan`. */
export function defineImport(command: Command): void {
  command
    .command('import')
    .description(
      'turn what another system has registered into files for aims entry plan; exit code 1 when something is left out',
    )
    .argument(
      '<file...>',
      'what spire-server entry show -output json, agent list -output json, bundle show and bundle list -format spiffe printed',
    )
    .requiredOption('--from <system>', 'spire')
    .requiredOption('--out <directory>', 'where entries.yaml and bundles/ are written')
    .option('--owner <name>', 'owner of all entries')
    .option('--purpose <text>', 'purpose of all entries')
    .option('--json', 'print one JSON object and nothing else')
    .addHelpText(
      'after',
      '\nExample:\n  $ spire-server entry show -output json > entries.json\n  $ aims entry import --from spire --out aims-entries --owner platform entries.json\n  $ aims entry plan aims-entries/entries.yaml',
    )
    .action((files: readonly string[], options: ImportOptions) => {
      if (options.from !== 'spire') throw new UsageError('--from takes spire')
      const { entries, agents, bundles } = together(files)
      const mapping = mapSpireEntries(entries, agents, options)
      mkdirSync(options.out, { recursive: true })
      const file = join(options.out, 'entries.yaml')
      writeNew(file, yamlOf(mapping))
      const written = bundles.map((one) => writeBundle(one, options.out, mapping))
      const ok = mapping.leftOut.length === 0 && written.every(({ problem }) => problem === undefined)
      process.exitCode = ok ? EXIT.ok : EXIT.negative
      const told = { file, entries: mapping.entries.length, ...without(mapping), bundles: written }
      if (options.json === true) print({ ok, ...told }, true)
      else output.write(report(mapping, written, file))
    })
}

// What was looked through and changed by hand is not written over.
function writeNew(file: string, content: string): void {
  try {
    writeFileSync(file, content, { flag: 'wx' })
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST')
      throw new UsageError(`${file} exists: name another directory with --out, or move it away`)
    throw error
  }
}

function together(files: readonly string[]): SpireDocuments {
  const all = files.map((file) => readSpireDocument(readInput(file, FLEET.maxLength).toString('utf8'), file))
  return {
    entries: all.flatMap(({ entries }) => entries),
    agents: all.flatMap(({ agents }) => agents),
    bundles: all.flatMap(({ bundles }) => bundles),
  }
}

function without({ entries, leftOut, aliases }: SpireMapping): object {
  const notes = entries.flatMap(({ from, entry, notes: some }) =>
    some.map((note) => ({ from, spiffeId: entry.spiffeId, note })),
  )
  return { notes, leftOut, aliases }
}

// JSON values are YAML values: nothing has to be escaped twice.
function yamlOf({ entries }: SpireMapping): string {
  return entries
    .map(({ entry, from, notes }) =>
      [
        '---',
        `# From SPIRE: ${JSON.stringify(from)}`,
        ...notes.map((note) => `# Look at this: ${JSON.stringify(note)}`),
        ...Object.entries(entry).map(([name, value]) => `${name}: ${JSON.stringify(value)}`),
        '',
      ].join('\n'),
    )
    .join('')
}

function writeBundle(
  { trustDomain, text }: SpireDocuments['bundles'][number],
  directory: string,
  { entries }: SpireMapping,
): ImportedBundle {
  // `bundle show` does not say whose it is: that of the server, whose entries these are.
  const name = trustDomain ?? /^spiffe:\/\/([^/]+)/.exec(String(entries[0]?.entry.spiffeId))?.[1]
  if (name === undefined)
    return { trustDomain: 'unknown', problem: 'whose bundle this is cannot be told without entries' }
  try {
    parseBundle(text, parseTrustDomain(name))
  } catch (error) {
    if (AimsError.is(error)) return { trustDomain: name, problem: `${error.message} [${error.code}]` }
    throw error
  }
  const file = join(directory, 'bundles', `${name}.json`)
  mkdirSync(join(directory, 'bundles'), { recursive: true })
  writeFileSync(file, text)
  return { trustDomain: name, file }
}

function report({ entries, leftOut, aliases }: SpireMapping, bundles: readonly ImportedBundle[], file: string): string {
  return [
    `${file}: ${entries.length} entries, ${leftOut.length} left out, ${aliases.length} node entries turned into agents`,
    ...entries.flatMap(({ entry, notes }) => notes.map((note) => `note: ${String(entry.spiffeId)}: ${note}`)),
    ...leftOut.map(({ from, spiffeId, reason }) => `left out: ${spiffeId} (${from}): ${reason}`),
    ...bundles.map(({ trustDomain, file: where, problem }) => `bundle of ${trustDomain}: ${where ?? problem}`),
    '',
  ].join('\n')
}
