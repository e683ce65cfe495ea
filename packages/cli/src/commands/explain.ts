import { isSpiffeId } from 'aims/identifiers'
import { type AuditEntry, AuditReader } from 'aims/monitoring'
import type { Command } from 'commander'
import { EXIT, UsageError } from '../exit.ts'
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
    .argument('<id-or-code>', 'the id of a problem response, an error code such as proof.expired, or a SPIFFE ID')
    .option(...LOG_OPTION)
    .option('--json', 'print one JSON object and nothing else')
    .addHelpText('after', '\nExample:\n  $ aims explain proof.wit_mismatch\n  $ aims explain 0b0f... --log .aims/dev')
    .action((what: string, options: Options) => {
      const meaning = meaningOf(what)
      if (meaning !== undefined) {
        print({ ok: true, code: what, meaning }, options.json === true)
        return
      }
      if (isSpiffeId(what)) {
        explainIdentity(what, logOf(options), options.json === true)
        return
      }
      // Ids have no dot; what has one is a code that somebody misremembers.
      if (what.includes('.')) throw new UsageError(noSuchCode(what))
      explainRecords(what, logOf(options), options.json === true)
    })
}

// Also of an agent that is gone: the log forgets nobody.
function explainIdentity(id: string, log: string, json: boolean): void {
  using reader = AuditReader.openFile(databaseOf(log))
  const entries = recordsOfIdentity(reader, id)
  if (entries.length === 0) {
    process.exitCode = EXIT.negative
    print({ ok: false, code: 'audit.unknown_id', message: 'the log has no record of this identity' }, json)
    return
  }
  const records = entries.map(explainRecord)
  if (json) print({ ok: true, id, records }, true)
  else output.write(records.map(readable).join('\n'))
}

function explainRecords(id: string, log: string, json: boolean): void {
  using reader = AuditReader.openFile(databaseOf(log))
  const entries = reader.find(id)
  if (entries.length === 0) {
    process.exitCode = EXIT.negative
    print({ ok: false, code: 'audit.unknown_id', message: 'the log has no record with this id' }, json)
    return
  }
  const records = entries.map(explainRecord)
  if (json) print({ ok: true, id, records }, true)
  else output.write(records.map(readable).join('\n'))
}

// The log has encoded control characters already.
function readable(record: Explained): string {
  const { index, time, type, agent, action, resource, decision, policy, reasons } = record
  const policies = policy === undefined || policy.ids.length === 0 ? 'none' : policy.ids.join(', ')
  const lines = [
    `${time}  ${decision}  ${type}  (record ${index})`,
    `  who:    ${agent?.id ?? 'nobody who could prove it'}${agent?.method === undefined ? '' : `, by ${agent.method}`}`,
    `  what:   ${action} ${resource.type} ${resource.id}`,
    ...reasons.map(({ reason, meaning }) => `  why:    ${reason}${meaning === undefined ? '' : `: ${meaning}`}`),
    ...(policy === undefined ? [] : [`  policy: ${policies}, of ${policy.version}`]),
  ]
  return `${lines.join('\n')}\n`
}

function noSuchCode(text: string): string {
  const similar = similarCodes(text)
  return `there is no such code${similar.length === 0 ? '' : `; did you mean ${similar.join(', ')}?`}`
}

type Explained = ReturnType<typeof explainRecord>

function explainRecord({ record }: AuditEntry) {
  const { index, time, type, agent, action, resource, decision, policy, posture, reasons = [], details } = record
  const explained = reasons.map((reason) => ({ reason, meaning: meaningOf(reason) }))
  return { index, time, type, agent, action, resource, decision, policy, posture, reasons: explained, details }
}
