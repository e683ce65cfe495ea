import { existsSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { readKeyEncryptionKey } from 'aims/base'
import type { Configuration } from '../config/settings.ts'
import { STORE_FILE } from '../storage.ts'
import { openStore } from '../store/database.ts'
import { openMeta } from '../store/meta.ts'
import { findProblem } from './guard.ts'
import { readRollbackMemory } from './memory.ts'

/** What was found about the rollback memory of a server. */
export interface ExaminedRollback {
  /** There is a store, so there is something to be remembered. */
  readonly hasStore: boolean
  /** Whoever puts back an image of the disk of the store puts this back with it. */
  readonly isOnDiskOfStore: boolean
}

/**
 * Looks at store and memory as a start would, and changes neither; also while a server runs.
 *
 * @throws {@link AimsError} `operation.store_rolled_back`, `operation.rollback_memory_missing`,
 *   `operation.rollback_memory_invalid`, `operation.key_file_*`, `storage.*`
 */
export function examineRollback(config: Configuration): ExaminedRollback {
  const { dataDirectory, keyEncryptionKeyFile, trustDomain, 'rollback.file': file } = config
  const store = join(dataDirectory, STORE_FILE)
  const key = readKeyEncryptionKey(keyEncryptionKeyFile)
  if (key === undefined || !existsSync(store)) return { hasStore: false, isOnDiskOfStore: false }
  using db = openStore(store, { readOnly: true })
  const problem = findProblem(readRollbackMemory(file, key), { file, meta: openMeta(db), trustDomain })
  if (problem !== undefined) throw problem
  const isOnDiskOfStore = statSync(dirname(file)).dev === statSync(dataDirectory).dev
  return { hasStore: true, isOnDiskOfStore }
}
