import { access, mkdir, readFile, rmdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { AimsError } from '../../base/errors.ts'

/** What the guest driver answered. */
export interface TsmReport {
  /** E.g. `tdx_guest`, `sev_guest`. */
  readonly provider: string
  /** A TDX quote, or a SEV-SNP attestation report. */
  readonly report: Uint8Array
  /** SEV-SNP: the table of certificates. Empty where the host gives none. */
  readonly auxiliary: Uint8Array
}

/** The calls that are made on the directory. */
export interface TsmFiles {
  exists(path: string): Promise<boolean>
  mkdir(path: string): Promise<unknown>
  rmdir(path: string): Promise<void>
  readFile(path: string): Promise<Uint8Array>
  writeFile(path: string, data: Uint8Array | string): Promise<void>
}

/** What to ask for, and where. */
export interface TsmRequest {
  /** Goes into the report data: 1 to 64 bytes, e.g. a binding of SHA-512. */
  readonly userData: Uint8Array
  /** Name of the entry to be made; must be unused. */
  readonly name: string
  /** SEV-SNP: VMPL, 0 to 3. */
  readonly privilegeLevel?: number
  /** Default `/sys/kernel/config/tsm/report`. */
  readonly directory?: string
  /** Default: those of the system. */
  readonly files?: TsmFiles
}

/** Where the kernel has it. */
export const TSM_DIRECTORY = '/sys/kernel/config/tsm/report'

/** The calls of the system. */
export const SYSTEM_FILES: TsmFiles = {
  mkdir,
  rmdir,
  readFile,
  writeFile,
  exists: (path) =>
    access(path).then(
      () => true,
      () => false,
    ),
}

/**
 * Asks the guest driver of a confidential VM for evidence through configfs-tsm (Linux 6.7 and newer): TDX and SEV-SNP.
 * Makes an entry, and removes it whatever happens. Needs the right to write there, usually root's.
 *
 * Does not verify the report.
 *
 * @throws {@link AimsError} `attestation.collection_failed`: not a confidential VM, no right, or another program wrote
 *   to the entry meanwhile
 * @see Linux Documentation/ABI/testing/configfs-tsm-report
 */
export async function collectTsmReport(request: TsmRequest): Promise<TsmReport> {
  const { userData, name, privilegeLevel, directory = TSM_DIRECTORY, files = SYSTEM_FILES } = request
  if (userData.length < 1 || userData.length > 64) throw new TypeError('user data have 1 to 64 bytes')
  if (!/^[0-9A-Za-z._-]+$/.test(name) || name.startsWith('.')) throw new TypeError('name must be a file name')
  const entry = join(directory, name)
  await attempt('an entry cannot be made', () => files.mkdir(entry))
  try {
    return await attempt('the guest driver did not answer', () => readReport(entry, files, userData, privilegeLevel))
  } finally {
    // An entry that cannot be removed holds no secret and hinders nobody.
    await files.rmdir(entry).catch(() => undefined)
  }
}

// Each write raises the generation by one. Another one between ours and the reading may have put other data in.
async function readReport(
  entry: string,
  files: TsmFiles,
  userData: Uint8Array,
  privilegeLevel: number | undefined,
): Promise<TsmReport> {
  const text = async (name: string) =>
    Buffer.from(await files.readFile(join(entry, name)))
      .toString('latin1')
      .trim()
  const before = Number(await text('generation'))
  if (privilegeLevel !== undefined) await files.writeFile(join(entry, 'privlevel'), String(privilegeLevel))
  await files.writeFile(join(entry, 'inblob'), userData)
  const provider = await text('provider')
  const report = await files.readFile(join(entry, 'outblob'))
  const auxiliary = await files.readFile(join(entry, 'auxblob')).catch(() => new Uint8Array())
  const writes = Number(await text('generation')) - before
  if (writes !== (privilegeLevel === undefined ? 1 : 2)) throw failed('another program wrote to the entry meanwhile')
  if (report.length === 0) throw failed('the guest driver gave an empty report')
  return { provider, report, auxiliary }
}

async function attempt<T>(what: string, run: () => Promise<T>): Promise<T> {
  try {
    return await run()
  } catch (cause) {
    throw AimsError.is(cause) ? cause : failed(what, cause)
  }
}

function failed(message: string, cause?: unknown): AimsError {
  return new AimsError('attestation.collection_failed', message, { cause })
}
