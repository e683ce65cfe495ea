import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { ERROR_CODES } from 'aims/base'
import { type AuditEntry, AuditReader } from 'aims/monitoring'
import type { Command } from 'commander'
import { EXIT, FailedError } from '../exit.ts'
import { print } from '../output.ts'

interface Options {
  readonly log?: string
  readonly json?: true
}

/** `aims explain`: what a code means, or what the log knows about a refusal by the id its caller was given. */
export function define(command: Command): void {
  command
    .argument('<id-or-code>', 'the id of a problem response, or an error code such as proof.expired')
    .option('--log <path>', "the log's database, or the data directory of the server")
    .option('--json', 'print one JSON object and nothing else')
    .addHelpText('after', '\nExample:\n  $ aims explain proof.wit_mismatch\n  $ aims explain 0b0f... --log .aims/dev')
    .action((what: string, options: Options) => {
      const meaning = meaningOf(what)
      if (meaning !== undefined) {
        print({ ok: true, code: what, meaning }, options.json === true)
        return
      }
      if (options.log === undefined) {
        throw new FailedError('operation.unknown_code', 'no such code; for the id of a refusal give --log')
      }
      explainRecords(what, options.log, options.json === true)
    })
}

function explainRecords(id: string, log: string, json: boolean): void {
  const file = existsSync(join(log, 'log.sqlite')) ? join(log, 'log.sqlite') : log
  using reader = AuditReader.openFile(file)
  const entries = reader.find(id)
  if (entries.length === 0) {
    process.exitCode = EXIT.negative
    print({ ok: false, code: 'audit.unknown_id', message: 'the log has no record with this id' }, json)
    return
  }
  print({ ok: true, id, records: entries.map(explainRecord) }, json)
}

function explainRecord({ record }: AuditEntry): object {
  const { index, time, type, agent, action, resource, decision, policy, posture, reasons = [], details } = record
  const explained = reasons.map((reason) => ({ reason, meaning: meaningOf(reason) }))
  return { index, time, type, agent, action, resource, decision, policy, posture, reasons: explained, details }
}

function meaningOf(code: string): string | undefined {
  return Object.hasOwn(ERROR_CODES, code) ? ERROR_CODES[code as keyof typeof ERROR_CODES] : undefined
}
