import { existsSync } from 'node:fs'
import { AuditReader, type AuditRecord, formatReceipt, type RecordFilter } from 'aims/monitoring'
import type { AdminClient, ProvenRecord } from 'aims-server'
import type { Command } from 'commander'
import { findDevFile } from './dev-directory.ts'
import { FailedError, UsageError } from './exit.ts'
import { databaseOf, LOG_OPTION, logOf } from './log-options.ts'
import { administer, type ServerOptions } from './server-options.ts'

/** Where records are read: the file of a log, or the API of a server that keeps it. */
export interface RecordSource {
  /** The records of one transaction, oldest first. */
  find(correlationId: string): Promise<readonly AuditRecord[]>
  /** Newest first. */
  list(filter: RecordFilter): Promise<readonly AuditRecord[]>
  /** Everything that shows that the log has a record. */
  prove(index: number): Promise<ProvenRecord>
}

/** How a command finds records. */
export interface RecordOptions extends ServerOptions {
  readonly log?: string
}

/** Adds the options of commands that read a log or ask a server for its records. */
export function recordOptions(command: Command): Command {
  return command
    .option(...LOG_OPTION)
    .option('--socket <path>', 'ask the server at this API socket, as who may administer it; default AIMS_API_SOCKET')
    .option('--config <file>', 'configuration file of the server, to find its socket')
}

/**
 * Runs work with the records that are meant: those of a file where one is named or there is one, otherwise those of the server.
 *
 * @throws {@link AimsError} `storage.*`; the codes of the server, e.g. `operation.not_permitted`
 */
export async function withRecords<T>(options: RecordOptions, work: (records: RecordSource) => Promise<T>): Promise<T> {
  if (isOfServer(options)) return await administer(options, (admin) => work(serverRecords(admin)))
  using reader = AuditReader.openFile(databaseOf(logOf(options)))
  return await work(fileRecords(reader))
}

const SERVER_SOCKET = '/var/lib/aims/api.sock'

function isOfServer({ log, socket, config }: RecordOptions): boolean {
  const isNamed = socket !== undefined || config !== undefined
  if (isNamed && log !== undefined)
    throw new UsageError('--log reads a file, --socket and --config ask a server: give one of them')
  if (isNamed || log !== undefined || process.env.AIMS_DATA_DIRECTORY !== undefined) return isNamed
  if (process.env.AIMS_API_SOCKET !== undefined) return true
  return findDevFile('log.sqlite') === undefined && existsSync(SERVER_SOCKET)
}

/** The records of a log in a file. */
export function fileRecords(reader: AuditReader): RecordSource {
  return {
    find: async (id) => reader.find(id).map(({ record }) => record),
    list: async (filter) => reader.list(filter).map(({ record }) => record),
    async prove(index) {
      const receipt = formatReceipt(reader.receipt(index))
      const [entry] = reader.read(index, index + 1)
      if (entry === undefined) throw new FailedError('audit.unknown_index', 'the log has no such record')
      return { ...entry, receipt, vkey: reader.vkey }
    },
  }
}

/** Of one answer of a server. */
const PAGE = 500

/** The records that a server has. */
export function serverRecords(admin: Pick<AdminClient, 'listRecords' | 'proveRecord'>): RecordSource {
  const list = async ({ limit, ...wanted }: RecordFilter): Promise<readonly AuditRecord[]> => {
    const found: AuditRecord[] = []
    let before = wanted.before
    for (;;) {
      const size = Math.min(limit - found.length, PAGE)
      const page = await admin.listRecords({ ...wanted, limit: size, ...(before === undefined ? {} : { before }) })
      found.push(...page)
      before = page.at(-1)?.index
      if (page.length < size || found.length >= limit || before === undefined) return found
    }
  }
  return {
    find: async (correlationId) => (await list({ correlationId, limit: MAX_OF_TRANSACTION })).toReversed(),
    list,
    prove: (index) => admin.proveRecord(index),
  }
}

const MAX_OF_TRANSACTION = 1000
