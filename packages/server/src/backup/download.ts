import { closeSync, fsyncSync, mkdirSync, openSync, renameSync, rmSync, writeSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { AimsError, type ApiClient, isJsonObject, type JsonValue } from 'aims/base'
import { type CheckedBackup, checkBackup } from './check.ts'
import { BACKUP_FILES, MANIFEST } from './manifest.ts'

/** Milliseconds. A large store takes its time to copy. */
const TIMEOUT = 600_000

/**
 * Takes a backup of a server that runs into a new directory, which is there only when all of it has come and was checked:
 * the hashes, and the log against its checkpoint. The key-encryption key is not in it.
 *
 * @param directory - Must not exist.
 * @throws {@link AimsError} the server's codes, those of `checkBackup`, `storage.unwritable`: it exists, or cannot be made
 */
export async function downloadBackup(api: ApiClient, directory: string): Promise<CheckedBackup> {
  const unfinished = `${directory}.unfinished`
  try {
    mkdirSync(dirname(directory), { recursive: true })
    rmSync(unfinished, { recursive: true, force: true })
    mkdirSync(unfinished, { mode: 0o700 })
  } catch (cause) {
    throw new AimsError('storage.unwritable', `${unfinished}: cannot be created`, { cause })
  }
  try {
    const begun = await api.send({ method: 'POST', path: '/v1/backups', timeout: TIMEOUT })
    const path = `/v1/backups/${text(begun, 'id')}`
    try {
      write(join(unfinished, MANIFEST), Buffer.from(text(begun, 'manifest')))
      for (const name of BACKUP_FILES) {
        const fd = openSync(join(unfinished, name), 'wx', 0o600)
        try {
          for (let from = 0, length = -1; length !== 0; from += length) {
            const piece = await api.send({ method: 'GET', path: `${path}/${name}?from=${from}` })
            const bytes = Buffer.from(text(piece, 'bytes'), 'base64')
            length = bytes.length
            for (let done = 0; done < length; ) done += writeSync(fd, bytes, done)
          }
          fsyncSync(fd)
        } finally {
          closeSync(fd)
        }
      }
    } finally {
      await api.send({ method: 'DELETE', path })
    }
    const checked = await checkBackup(unfinished)
    place(unfinished, directory)
    return checked
  } catch (error) {
    rmSync(unfinished, { recursive: true, force: true })
    throw error
  }
}

function place(from: string, to: string): void {
  try {
    // Fails when there is something by this name.
    mkdirSync(to, { mode: 0o700 })
    renameSync(from, to)
  } catch (cause) {
    throw new AimsError('storage.unwritable', `${to}: exists, or cannot be created`, { cause })
  }
}

function write(path: string, bytes: Uint8Array): void {
  const fd = openSync(path, 'wx', 0o600)
  writeSync(fd, bytes)
  fsyncSync(fd)
  closeSync(fd)
}

function text(value: JsonValue | undefined, name: string): string {
  const member = isJsonObject(value) ? value[name] : undefined
  if (typeof member !== 'string') throw new AimsError('operation.invalid_response', 'the answer lacks a member')
  return member
}
