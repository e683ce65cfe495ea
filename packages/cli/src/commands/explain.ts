import { isSpiffeId } from 'aims/identifiers'
import { type AuditRecord, CAUSES, diagnose } from 'aims/monitoring'
import type { Command } from 'commander'
import { EXIT, UsageError } from '../exit.ts'
import { explainRecord, readable } from '../explained.ts'
import { meaningOf, similarCodes } from '../meaning.ts'
import { output, print } from '../output.ts'
import { type RecordOptions, type RecordSource, recordOptions, withRecords } from '../record-source.ts'
import { recordsOfIdentity } from '../records-of-identity.ts'

const UNKNOWN_ID =
  'the log has no record with this id: a service or gateway that does not report to a server has it in its own output (gateway.reportTo, remoteObserver), --log and --socket name another log, and of many refusals some are only counted'

/** `aims explain`: what a code means, what the log knows about a refusal by the id its caller was given, or about an identity. */
export function define(command: Command): void {
  recordOptions(command)
    .argument(
      '<id-or-code>',
      'the id of a problem response, an error code such as proof.expired, a cause such as wrong-audience, or a SPIFFE ID',
    )
    .option('--json', 'print one JSON object and nothing else')
    .addHelpText(
      'after',
      '\nExample:\n  $ aims explain proof.wit_mismatch\n  $ aims explain 0b0f... --log .aims/dev\n  $ aims explain 0b0f... --socket /run/aims/api.sock',
    )
    .action(async (what: string, options: RecordOptions) => {
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
        const wanted = (records: RecordSource) => recordsOfIdentity(records, what)
        await explain(what, options, wanted, 'the log has no record of this identity')
        return
      }
      // Ids have no dot; what has one is a code that somebody misremembers.
      if (what.includes('.')) throw new UsageError(noSuchCode(what))
      await explain(what, options, (records) => records.find(what), UNKNOWN_ID)
    })
}

// Also of an agent that is gone: the log forgets nobody.
async function explain(
  id: string,
  options: RecordOptions,
  find: (records: RecordSource) => Promise<readonly AuditRecord[]>,
  message: string,
): Promise<void> {
  const json = options.json === true
  const found = await withRecords(options, find)
  if (found.length === 0) {
    process.exitCode = EXIT.negative
    print({ ok: false, code: 'audit.unknown_id', message }, json)
    return
  }
  const records = found.map(explainRecord)
  if (json) print({ ok: true, id, records }, true)
  else output.write(records.map(readable).join('\n'))
}

function noSuchCode(text: string): string {
  const similar = similarCodes(text)
  return `there is no such code${similar.length === 0 ? '' : `; did you mean ${similar.join(', ')}?`}`
}
