import { closeSync, constants, fsyncSync, openSync, readFileSync, renameSync, rmSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'
import { AimsError, isJsonObject, isMacOf, type JsonObject, type KeyEncryptionKey, parseJsonObject } from 'aims/base'

/** How far a store and its log had come: kept apart from them, so that older copies of them are found out. */
export interface Remembered {
  readonly trustDomain: string
  /** The newest signed checkpoint of the log, a signed note. */
  readonly checkpoint: string
  /** Of the store. */
  readonly revision: number
  readonly generation: number
  /** The newest records that took something away from somebody, oldest first. */
  readonly withdrawals: readonly Withdrawal[]
}

/** A record by which an identity, an agent or a right ended: what an older store would bring back. */
export interface Withdrawal {
  /** Of the record in the log. */
  readonly index: number
  /** Type of the event, e.g. `provisioning.entry-deleted`. */
  readonly type: string
  /** Of the resource, e.g. the id of the entry. */
  readonly id: string
  /** The SPIFFE ID, or empty. */
  readonly spiffeId: string
  /** From then on it means nothing, in seconds since the epoch. Absent: for ever. */
  readonly until?: number
  /** An agent revoked a sub-agent of its own. */
  readonly byAgent?: true
}

const LABEL = 'rollback memory'
const FORMAT = 1
/** Bytes. */
const MAX_LENGTH = 1024 * 1024

/**
 * Reads what is remembered. The file is one line of JSON and one line with its MAC under the key-encryption key.
 *
 * @returns `undefined` when there is no such file.
 * @throws {@link AimsError} `operation.rollback_memory_invalid`
 */
export function readRollbackMemory(file: string, key: KeyEncryptionKey): Remembered | undefined {
  const text = readText(file)
  if (text === undefined) return undefined
  const [body = '', mac = '', ...rest] = text.split('\n')
  if (rest.join('') !== '' || !isMacOf(key, mac, LABEL, body)) throw invalid(file, 'was not written under this key')
  // Authentic: the form is that of the program that wrote it, which may be a newer one.
  const value = parseJsonObject(body)
  if (value.format !== FORMAT) throw invalid(file, 'has a format that this program does not know')
  return {
    trustDomain: String(value.trustDomain),
    checkpoint: String(value.checkpoint),
    revision: Number(value.revision),
    generation: Number(value.generation),
    withdrawals: Array.isArray(value.withdrawals) ? value.withdrawals.filter(isJsonObject).map(withdrawal) : [],
  }
}

/**
 * Writes what is to be remembered, whole or not at all, and has it on disk before it returns.
 *
 * @throws {@link AimsError} `operation.rollback_file_unwritable`
 */
export function writeRollbackMemory(file: string, key: KeyEncryptionKey, remembered: Remembered): void {
  const body = JSON.stringify({ format: FORMAT, ...remembered })
  const unfinished = `${file}.new`
  try {
    rmSync(unfinished, { force: true })
    const fd = openSync(unfinished, 'wx', 0o600)
    try {
      writeSync(fd, `${body}\n${key.mac(LABEL, body)}\n`)
      fsyncSync(fd)
    } finally {
      closeSync(fd)
    }
    renameSync(unfinished, file)
    const directory = openSync(dirname(file), 'r')
    fsyncSync(directory)
    closeSync(directory)
  } catch (cause) {
    throw new AimsError('operation.rollback_file_unwritable', `${file}: cannot be written`, { cause })
  }
}

function withdrawal({ index, type, id, spiffeId, until, byAgent }: JsonObject): Withdrawal {
  return {
    index: Number(index),
    type: String(type),
    id: String(id),
    spiffeId: String(spiffeId),
    ...(until === undefined ? {} : { until: Number(until) }),
    ...(byAgent === true ? { byAgent } : {}),
  }
}

function readText(file: string): string | undefined {
  let fd: number
  try {
    // Without O_NONBLOCK a FIFO in the place of the file would hold the start for ever.
    fd = openSync(file, constants.O_RDONLY | constants.O_NONBLOCK)
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return undefined
    throw invalid(file, 'cannot be opened', cause)
  }
  try {
    const text = readFileSync(fd, 'utf8')
    if (text.length > MAX_LENGTH) throw invalid(file, 'is too large')
    return text
  } catch (cause) {
    throw AimsError.is(cause) ? cause : invalid(file, 'cannot be read', cause)
  } finally {
    closeSync(fd)
  }
}

function invalid(file: string, why: string, cause?: unknown): AimsError {
  return new AimsError('operation.rollback_memory_invalid', `${file}: ${why}`, { cause })
}
