import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import {
  AuditReader,
  type AuditRecord,
  databaseSource,
  exportLog,
  folderSource,
  type LogVerdict,
  type RecordFilter,
  verifyLog,
  verifyReceipt,
} from 'aims/monitoring'
import type { Command } from 'commander'
import { EXIT, UsageError } from '../exit.ts'
import { readInput } from '../input.ts'
import { databaseOf, LOG_OPTION, logOf } from '../log-options.ts'
import { output, print, refusal } from '../output.ts'
import { type RecordOptions, recordOptions, withRecords } from '../record-source.ts'

interface LogOptions {
  readonly log?: string
  readonly json?: true
}

interface VerifyOptions extends LogOptions {
  readonly vkey?: string
  readonly checkpoint: readonly string[]
}

/** `aims audit`: reads, proves and verifies a transparency log, with no server or from one. */
export function define(command: Command): void {
  recordOptions(command.command('list'))
    .description('show records, newest first')
    .option('--type <name>', 'only records of this type, e.g. authorization.decided')
    .option('--agent <id>', 'only records about this agent')
    .option('--correlation <id>', 'only the records of one transaction')
    .option('--decision <name>', 'only allow, deny or none')
    .option('--limit <n>', 'at most so many', '50')
    .option('--json', 'one JSON object per record')
    .addHelpText('after', '\nExample:\n  $ aims audit list --log .aims/dev --decision deny')
    .action((options: Parameters<typeof list>[0]) => list(options))

  recordOptions(command.command('prove'))
    .description('show that a record is in the log: the record, and a receipt that anybody can check')
    .argument('<index>', 'the index of the record')
    .option('--json', 'print one JSON object and nothing else')
    .addHelpText('after', '\nExample:\n  $ aims audit prove 7 --log .aims/dev')
    .action((index: string, options: RecordOptions) => prove(index, options))

  command
    .command('export')
    .description('write the log into a new folder that anybody can verify without AIMS')
    .argument('<folder>', 'is created')
    .option(...LOG_OPTION)
    .option('--json', 'print one JSON object and nothing else')
    .addHelpText('after', '\nExample:\n  $ aims audit export ./for-the-auditor --log .aims/dev')
    .action((folder: string, options: LogOptions) => exportTo(folder, options))

  command
    .command('verify')
    .description('check a whole log: every record, the tree and every signed checkpoint')
    .option('--log <path>', `an exported folder, or ${LOG_OPTION[1]}`)
    .option('--vkey <key>', 'the verifier key you know from elsewhere (text or file); without it the one in the log')
    .option('--checkpoint <file>', 'a checkpoint you kept: the log must continue it; repeatable', collect, [])
    .option('--json', 'print one JSON object and nothing else')
    .addHelpText('after', '\nExample:\n  $ aims audit verify --log ./exported --vkey log.vkey')
    .action((options: VerifyOptions) => verify(options))
}

function collect(value: string, previous: readonly string[]): readonly string[] {
  return [...previous, value]
}

interface ListOptions extends RecordOptions {
  readonly type?: string
  readonly agent?: string
  readonly correlation?: string
  readonly decision?: string
  readonly limit: string
}

async function list(options: ListOptions): Promise<void> {
  const { type, agent, correlation, decision, json } = options
  const limit = Number(options.limit)
  if (!Number.isInteger(limit) || limit < 1 || limit > 1000)
    throw new UsageError('--limit takes a number from 1 to 1000')
  if (decision !== undefined && decision !== 'allow' && decision !== 'deny' && decision !== 'none') {
    throw new UsageError('--decision takes allow, deny or none')
  }
  const filter: RecordFilter = {
    limit,
    ...(type === undefined ? {} : { type }),
    ...(agent === undefined ? {} : { agent }),
    ...(correlation === undefined ? {} : { correlationId: correlation }),
    ...(decision === undefined ? {} : { decision }),
  }
  const records = await withRecords(options, (source) => source.list(filter))
  for (const record of records) output.write(`${json === true ? JSON.stringify(record) : line(record)}\n`)
}

// One record in one line. The log has encoded control characters already.
function line({ index, time, type, decision, agent, action, resource, reasons = [] }: AuditRecord): string {
  const who = agent?.id ?? '-'
  return [String(index).padStart(6), time, decision.padEnd(5), type, who, action, resource.id, reasons.join(' ')]
    .join('  ')
    .trimEnd()
}

async function prove(text: string, options: RecordOptions): Promise<void> {
  const index = Number(text)
  if (!Number.isSafeInteger(index) || index < 0) throw new UsageError('the index is a number from 0')
  const { bytes, receipt, vkey } = await withRecords(options, (source) => source.prove(index))
  const { size } = verifyReceipt(bytes, receipt, { vkey })
  const record = Buffer.from(bytes).toString()
  if (options.json === true) {
    print({ ok: true, index, size, vkey, record, receipt }, true)
    return
  }
  output.write(`${record}\n\n${receipt}\nverified with ${vkey}\n`)
}

function exportTo(folder: string, options: LogOptions): void {
  if (existsSync(folder)) throw new UsageError(`${folder} exists: name a folder that does not`)
  using reader = AuditReader.openFile(databaseOf(logOf(options)))
  const { size } = exportLog(reader, folder)
  print({ ok: true, folder, size, vkey: reader.vkey }, options.json === true)
}

function verify(options: VerifyOptions): void {
  const log = logOf(options)
  const remembered = options.checkpoint.map((path) => readInput(path).toString())
  const exported = existsSync(join(log, 'records.jsonl'))
  const check = (source: Parameters<typeof verifyLog>[0]): LogVerdict =>
    verifyLog(source, { vkey: readKey(options.vkey) ?? source.vkey, remembered })
  const warnings = options.vkey === undefined ? ['the key was taken from the log itself: pass --vkey'] : []
  let result: Parameters<typeof print>[0]
  try {
    if (exported) result = { ...check(folderSource(log)), warnings }
    else {
      using source = databaseSource(databaseOf(log))
      result = { ...check(source), warnings }
    }
  } catch (error) {
    result = refusal(error)
  }
  if (!result.ok) process.exitCode = EXIT.negative
  print(result, options.json === true)
}

// A verifier key has a plus sign and no path does it justice: text that is one is taken as it is.
function readKey(text: string | undefined): string | undefined {
  if (text === undefined) return undefined
  return existsSync(text) ? readFileSync(text, 'utf8').trim() : text
}
