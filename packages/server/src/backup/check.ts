import { statSync } from 'node:fs'
import { join } from 'node:path'
import { AimsError, type KeyEncryptionKey } from 'aims/base'
import { databaseSource, formatVerifierKey, verifyLog } from 'aims/monitoring'
import { openStore, SCHEMA } from '../store/database.ts'
import { readLogKey } from '../store/key-store.ts'
import { openMeta } from '../store/meta.ts'
import { openSeal } from '../store/seal.ts'
import { BACKUP_FILES, type BackupManifest, readManifest } from './manifest.ts'
import { hashFile } from './snapshot.ts'

/** What was found. */
export interface CheckedBackup {
  readonly manifest: BackupManifest
  /** False without a key: then whoever could write the backup could have changed all of it together. */
  readonly isSealChecked: boolean
}

/**
 * Checks a backup in a directory: the hashes, the whole log against its checkpoint and those that were kept elsewhere, and
 * with the key-encryption key the manifest, the seal of the store, and that the log is signed by the key in the store.
 *
 * @param options.remembered - Checkpoints that the log must continue.
 * @throws {@link AimsError} `operation.backup_invalid`, `operation.key_file_wrong`, `operation.store_damaged`,
 *   `storage.*` (`storage.newer_version`), `audit.*` (`audit.rolled_back`)
 */
export async function checkBackup(
  directory: string,
  {
    key,
    remembered = [],
  }: { readonly key?: KeyEncryptionKey | undefined; readonly remembered?: readonly string[] } = {},
): Promise<CheckedBackup> {
  const manifest = readManifest(directory, key)
  for (const name of BACKUP_FILES) {
    const path = join(directory, name)
    // A pipe would hold the reader for ever.
    if (
      statSync(path, { throwIfNoEntry: false })?.isFile() !== true ||
      (await hashFile(path)) !== manifest.files[name]
    ) {
      throw new AimsError('operation.backup_invalid', `${name} is not the file that the manifest names`)
    }
  }
  if (manifest.storeVersion > SCHEMA.length) {
    throw new AimsError('storage.newer_version', 'the store in the backup was written by a newer version')
  }
  if (key !== undefined) checkStore(directory, manifest, key)
  using source = databaseSource(join(directory, 'log.sqlite'))
  const verdict = verifyLog(source, { vkey: manifest.vkey, remembered: [manifest.checkpoint, ...remembered] })
  if (!verdict.ok) throw new AimsError(verdict.code, verdict.message)
  if (verdict.size !== manifest.logSize) {
    throw new AimsError('operation.backup_invalid', 'the log has another size than the manifest names')
  }
  return { manifest, isSealChecked: key !== undefined }
}

function checkStore(directory: string, manifest: BackupManifest, key: KeyEncryptionKey): void {
  const steps = SCHEMA.slice(0, manifest.storeVersion)
  using db = openStore(join(directory, 'store.sqlite'), { steps, readOnly: true })
  if (db.prepare('PRAGMA integrity_check(1)').get()?.integrity_check !== 'ok') {
    throw new AimsError('storage.corrupt', 'the database of the store is damaged')
  }
  const meta = openMeta(db)
  openSeal(db, key, meta)
  const facts = [meta.get('trust_domain'), meta.get('log_origin'), meta.counter('revision'), meta.counter('generation')]
  const named = [manifest.trustDomain, manifest.logOrigin, manifest.revision, manifest.generation]
  const vkey = formatVerifierKey(manifest.logOrigin, readLogKey(db, key).publicKey)
  if (facts.some((fact, i) => fact !== named[i]) || vkey !== manifest.vkey) {
    throw new AimsError('operation.backup_invalid', 'the store is not the one that the manifest describes')
  }
}
