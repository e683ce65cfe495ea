import { readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import {
  AimsError,
  canonicalJson,
  isJsonObject,
  isMacOf,
  type JsonObject,
  type KeyEncryptionKey,
  parseJsonObject,
} from 'aims/base'

/** What a backup is a copy of, and how to tell that it is whole. */
export interface BackupManifest {
  readonly format: 1
  readonly id: string
  /** RFC 3339. */
  readonly createdAt: string
  readonly trustDomain: string
  readonly logOrigin: string
  /** Names the key-encryption key, which is not in the backup. */
  readonly keyFingerprint: string
  /** Of the schema of the store. */
  readonly storeVersion: number
  readonly revision: number
  readonly generation: number
  readonly logSize: number
  /** The newest signed checkpoint of the log that was copied. */
  readonly checkpoint: string
  readonly vkey: string
  /** Lower-case hexadecimal SHA-256 of each file. */
  readonly files: { readonly [name in BackupFile]: string }
}

/** The files of a backup beside its manifest. */
export const BACKUP_FILES = ['store.sqlite', 'log.sqlite'] as const
/** One of them. */
export type BackupFile = (typeof BACKUP_FILES)[number]

/** The name of the manifest. */
export const MANIFEST = 'manifest.json'
const LABEL = 'backup manifest'
/** Bytes. */
const MAX_LENGTH = 64 * 1024

/** Writes a manifest with its MAC under the key-encryption key. */
export function formatManifest(manifest: BackupManifest, key: KeyEncryptionKey): string {
  const body: JsonObject = { ...manifest, files: { ...manifest.files } }
  return `${JSON.stringify({ manifest: body, mac: key.mac(LABEL, canonicalJson(body)) }, undefined, 2)}\n`
}

/**
 * Reads the manifest of a backup. Without a key it says what whoever wrote it says.
 *
 * @throws {@link AimsError} `operation.backup_invalid`; `operation.key_file_wrong`: another key-encryption key
 */
export function readManifest(directory: string, key: KeyEncryptionKey | undefined): BackupManifest {
  const { manifest, mac } = parse(directory)
  if (!isJsonObject(manifest) || manifest.format !== 1) throw invalid('the manifest is not of a form known here')
  const { keyFingerprint, files } = manifest
  if (key !== undefined && keyFingerprint !== key.fingerprint) {
    throw new AimsError('operation.key_file_wrong', 'the backup was made under another key-encryption key')
  }
  if (key !== undefined && !isMacOf(key, String(mac), LABEL, canonicalJson(manifest))) {
    throw invalid('the manifest was not written under this key-encryption key')
  }
  const text = (name: string): string => {
    const value = manifest[name]
    if (typeof value !== 'string') throw invalid(`the manifest lacks ${name}`)
    return value
  }
  const number = (name: string): number => {
    const value = manifest[name]
    if (typeof value !== 'number' || !Number.isSafeInteger(value)) throw invalid(`the manifest lacks ${name}`)
    return value
  }
  const hash = (name: BackupFile): string => {
    const value = isJsonObject(files) ? files[name] : undefined
    if (typeof value !== 'string' || !/^[0-9a-f]{64}$/.test(value))
      throw invalid(`the manifest lacks a hash of ${name}`)
    return value
  }
  return {
    format: 1,
    id: text('id'),
    createdAt: text('createdAt'),
    trustDomain: text('trustDomain'),
    logOrigin: text('logOrigin'),
    keyFingerprint: text('keyFingerprint'),
    storeVersion: number('storeVersion'),
    revision: number('revision'),
    generation: number('generation'),
    logSize: number('logSize'),
    checkpoint: text('checkpoint'),
    vkey: text('vkey'),
    files: { 'store.sqlite': hash('store.sqlite'), 'log.sqlite': hash('log.sqlite') },
  }
}

function parse(directory: string): JsonObject {
  const path = join(directory, MANIFEST)
  try {
    const stat = statSync(path)
    if (!stat.isFile() || stat.size > MAX_LENGTH) throw invalid('the manifest is no file of a usable size')
    return parseJsonObject(readFileSync(path))
  } catch (cause) {
    throw new AimsError('operation.backup_invalid', 'the backup has no manifest that can be read', { cause })
  }
}

function invalid(message: string): AimsError {
  return new AimsError('operation.backup_invalid', message)
}
