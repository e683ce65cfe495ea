import { bindingDigest } from '../binding.ts'
import type { EvidenceCollector } from './collector.ts'
import { collectTsmReport, SYSTEM_FILES, TSM_DIRECTORY, type TsmFiles } from './configfs-tsm.ts'

/** Where a TDX guest finds what it sends. */
export interface TdxCollectorOptions {
  /** Makes the name of a new entry, e.g. `() => randomUUID()`. */
  readonly name: () => string
  /** Default `/sys/kernel/config/tsm/report`. */
  readonly directory?: string
  /** The event log. Default `/sys/firmware/acpi/tables/data/CCEL`; absent there, none is sent. */
  readonly eventLog?: string
  /** Default: those of the system. */
  readonly files?: TsmFiles
}

/**
 * Makes the collector of `tdx`: the guest driver puts the binding into the report data of a quote, and the event log of
 * the guest goes along. On a machine that is not a TDX guest there is no evidence.
 */
export function tdxCollector(options: TdxCollectorOptions): EvidenceCollector {
  const {
    name,
    directory = TSM_DIRECTORY,
    eventLog = '/sys/firmware/acpi/tables/data/CCEL',
    files = SYSTEM_FILES,
  } = options
  const read = (path: string) => files.readFile(path).catch(() => undefined)
  return {
    type: 'tdx',
    async collect({ challenge }) {
      if (!(await files.exists(directory))) return undefined
      const userData = bindingDigest('tdx', challenge, 'sha512')
      const { provider, report } = await collectTsmReport({ userData, name: name(), directory, files })
      if (provider !== 'tdx_guest') return undefined
      const log = await read(eventLog)
      const base64 = (bytes: Uint8Array) => Buffer.from(bytes).toString('base64')
      const evidence = { quote: base64(report), ...(log === undefined ? {} : { eventLog: base64(log) }) }
      return Buffer.from(JSON.stringify(evidence))
    },
  }
}
