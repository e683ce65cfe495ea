import { isSpiffeId } from 'aims/identifiers'
import { type AuditEntry, AuditReader, CAUSES, diagnose } from 'aims/monitoring'
import type { Command } from 'commander'
import { EXIT, UsageError } from '../exit.ts'
import { explainRecord, readable } from '../explained.ts'
import { databaseOf, LOG_OPTION, logOf } from '../log-options.ts'
import { meaningOf, similarCodes } from '../meaning.ts'
import { output, print } from '../output.ts'
import { recordsOfIdentity } from '../records-of-identity.ts'

interface Options {
  readonly log?: string
  readonly json?: true
}

/** `aims explain`: what a code means, what the log knows about a refusal by the id its caller was given, or about an identity. */
export function define(command: Command): void {
  command
    .argument(
      '<id-or-code>',
      'the id of a problem response, an error code such as proof.expired, a cause such as wrong-audience, or a SPIFFE ID',
    )
    .option(...LOG_OPTION)
    .option('--json', 'print one JSON object and nothing else')
    .addHelpText('after', '\nExample:\n  $ aims explain proof.wit_mismatch\n  $ aims explain 0b0f... --log .aims/dev')
    .action((what: string, options: Options) => {
      const json = options.json === true
      const meaning = meaningOf(what)
      if (meaning !== undefined) {
        // What tells its causes apart is in the record of a refusal; here are the commonest.
        const causes = diagnose({ reasons: [what] }).filter(({ id }) => id !== what)
        print({ ok: true, code: what, meaning, ...(causes.length === 0 ? {} : { causes }) }, json)
        return
      }
      const cause = Object.hasOwn(CAUSES, what) ? CAUSES[what] : undefined
      if (cause !== undefined) {
        print({ ok: true, cause: what, because: cause.because, fix: cause.fix }, json)
        return
      }
      if (isSpiffeId(what)) {
        const wanted = (reader: AuditReader) => recordsOfIdentity(reader, what)
        explain(what, logOf(options), json, wanted, 'the log has no record of this identity')
        return
      }
      // Ids have no dot; what has one is a code that somebody misremembers.
      if (what.includes('.')) throw new UsageError(noSuchCode(what))
      explain(what, logOf(options), json, (reader) => reader.find(what), 'the log has no record with this id')
    })
}

// Also of an agent that is gone: the log forgets nobody.
function explain(
  id: string,
  log: string,
  json: boolean,
  find: (reader: AuditReader) => readonly AuditEntry[],
  message: string,
): void {
  using reader = AuditReader.openFile(databaseOf(log))
  const entries = find(reader)
  if (entries.length === 0) {
    process.exitCode = EXIT.negative
    print({ ok: false, code: 'audit.unknown_id', message }, json)
    return
  }
  const records = entries.map(explainRecord)
  if (json) print({ ok: true, id, records }, true)
  else output.write(records.map(readable).join('\n'))
}

function noSuchCode(text: string): string {
  const similar = similarCodes(text)
  return `there is no such code${similar.length === 0 ? '' : `; did you mean ${similar.join(', ')}?`}`
}
