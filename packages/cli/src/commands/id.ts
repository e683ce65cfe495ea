import { parseSpiffeId, parseWimseId, pathOf, trustDomainOf } from 'aims/identifiers'
import type { Command } from 'commander'
import { EXIT } from '../exit.ts'
import { readInput } from '../input.ts'
import { print, type Result, refusal } from '../output.ts'

/** `aims id check`: whether identifiers are well formed, one result per identifier. */
export function define(command: Command): void {
  command
    .command('check')
    .description('check identifiers; without arguments (or with -) one per line of standard input')
    .argument('[id...]', 'identifiers')
    .option('--wimse', 'accept wimse:// identifiers beside spiffe://')
    .option('--json', 'one JSON object per identifier')
    .addHelpText('after', '\nExample:\n  $ aims id check spiffe://example.com/agent/calendar-bot')
    .action((ids: string[], options: { wimse?: true; json?: true }) => {
      const wanted = ids.length === 0 || (ids.length === 1 && ids[0] === '-') ? lines(readInput('-')) : ids
      for (const id of wanted) {
        const result = check(id, options.wimse === true)
        if (!result.ok) process.exitCode = EXIT.negative
        print(result, options.json === true)
      }
    })
}

function check(text: string, wimse: boolean): Result {
  try {
    const id = wimse ? parseWimseId(text, { allowOrigin: true }) : parseSpiffeId(text)
    return { ok: true, id, trustDomain: trustDomainOf(id), path: pathOf(id) }
  } catch (error) {
    return refusal(error)
  }
}

// The last line end closes the last line; every other byte, also an empty line, is somebody's identifier.
function lines(bytes: Buffer): string[] {
  const text = bytes.toString('utf8')
  if (text === '') return []
  return (text.endsWith('\n') ? text.slice(0, -1) : text).split('\n')
}
