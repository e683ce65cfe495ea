import { PROFILES } from 'aims/credentials'
import {
  type IdMatcher,
  isBelow,
  isExactly,
  parseSpiffeId,
  parseWimseId,
  pathOf,
  requireMatch,
  schemeOf,
  trustDomainOf,
  type WorkloadId,
} from 'aims/identifiers'
import type { Command } from 'commander'
import { EXIT, UsageError } from '../exit.ts'
import { readInput, readNow, readProfile } from '../input.ts'
import { print, type Result, refusal } from '../output.ts'

interface Options {
  readonly wimse?: true
  readonly exactly?: string
  readonly below?: string
  readonly allowEntireTrustDomain?: true
  readonly now?: string
  readonly profile?: string
  readonly json?: true
}

/** `aims id check`: whether identifiers are well formed, and match what is expected; one result per identifier. */
export function define(command: Command): void {
  command
    .command('check')
    .description('check identifiers; without arguments (or with -) one per line of standard input')
    .argument('[id...]', 'identifiers')
    .option('--wimse', 'judge by the WIMSE draft: also wimse://, an origin without path, and reserved percent escapes')
    .option('--exactly <id>', 'the identifier that is expected')
    .option('--below <prefix>', 'only identifiers below this one, by whole segments')
    .option('--allow-entire-trust-domain', 'with --below: the prefix may be a trust domain without a path')
    .option('--now <rfc3339>', 'as the other judging commands take it; identifiers have no times')
    .option('--profile <name>', `one of ${PROFILES.join(', ')}; identifiers are the same in all`)
    .option('--json', 'one JSON object per identifier')
    .addHelpText('after', '\nExample:\n  $ aims id check spiffe://example.com/agent/calendar-bot')
    .action((ids: string[], options: Options) => {
      readNow(options.now)
      if (options.profile !== undefined) readProfile(options.profile)
      const matcher = readMatcher(options)
      const wanted = ids.length === 0 || (ids.length === 1 && ids[0] === '-') ? lines(readInput('-')) : ids
      for (const id of wanted) {
        const result = check(id, options.wimse === true, matcher)
        if (!result.ok) process.exitCode = EXIT.negative
        print(result, options.json === true)
      }
    })
}

function check(text: string, wimse: boolean, matcher: IdMatcher | undefined): Result {
  try {
    const id = parse(text, wimse)
    if (matcher !== undefined) requireMatch(id, matcher)
    const [trustDomain, path] = [trustDomainOf(id), pathOf(id)]
    return { ok: true, id, trustDomain, origin: `${schemeOf(id)}://${trustDomain}`, path, warnings: warningsOf(id) }
  } catch (error) {
    return refusal(error)
  }
}

function parse(text: string, wimse: boolean): WorkloadId {
  return wimse ? parseWimseId(text, { allowOrigin: true, allowReservedEscapes: true }) : parseSpiffeId(text)
}

// Well formed, and yet refused in a credential.
function warningsOf(id: WorkloadId): readonly string[] {
  const warnings: string[] = []
  if (pathOf(id) === '') warnings.push('it has no path: it names a trust domain and no workload')
  if (id.includes('%')) warnings.push('it has percent escapes: our verifiers refuse it as a subject')
  return warnings
}

function readMatcher({ wimse, exactly, below, allowEntireTrustDomain }: Options): IdMatcher | undefined {
  if (exactly !== undefined && below !== undefined) throw new UsageError('--exactly and --below exclude each other')
  const expected = exactly ?? below
  if (expected === undefined) return undefined
  const id = readExpected(expected, wimse === true)
  if (exactly !== undefined) return isExactly(id)
  if (pathOf(id) === '' && allowEntireTrustDomain !== true) {
    throw new UsageError('--below names an entire trust domain: add --allow-entire-trust-domain if that is meant')
  }
  return isBelow(id, { allowEntireTrustDomain: true })
}

function readExpected(text: string, wimse: boolean): WorkloadId {
  try {
    return parse(text, wimse)
  } catch (error) {
    const { message } = refusal(error)
    throw new UsageError(`--exactly and --below take an identifier: ${message}`)
  }
}

// The last line end closes the last line; every other byte, also an empty line, is somebody's identifier.
function lines(bytes: Buffer): string[] {
  const text = bytes.toString('utf8')
  if (text === '') return []
  return (text.endsWith('\n') ? text.slice(0, -1) : text).split('\n')
}
