import { createCipheriv, createDecipheriv, createHmac, hkdfSync, randomBytes } from 'node:crypto'
import {
  closeSync,
  constants,
  fchmodSync,
  fstatSync,
  fsyncSync,
  linkSync,
  openSync,
  readSync,
  rmSync,
  writeSync,
} from 'node:fs'
import { dirname } from 'node:path'
import { equalConstantTime } from './bytes.ts'
import { printMode } from './directory.ts'
import { AimsError } from './errors.ts'

/** Wraps and authenticates what the store keeps. The key itself cannot be read from it. */
export interface KeyEncryptionKey {
  /** Names the key without telling anything about it: kept beside what it wrapped, to find out a wrong file. */
  readonly fingerprint: string
  /** Encrypts a secret so that it opens only under the same name. */
  wrap(secret: Uint8Array, name: WrappedName): Buffer
  /** @throws {@link AimsError} `operation.store_damaged` */
  unwrap(wrapped: Uint8Array, name: WrappedName): Buffer
  /** Authenticates text that is kept in the clear, e.g. an entry; `label` says what kind it is. */
  mac(label: string, text: string): string
}

/** What a wrapped secret is: bound to it as additional data, so that rows cannot change places. */
export interface WrappedName {
  readonly purpose: string
  readonly id: string
  readonly version: number
}

const KEY_BYTES = 32
const IV_BYTES = 12
const TAG_BYTES = 16

/**
 * Reads the key-encryption key: 32 bytes in a regular file of this user or root that nobody else can read.
 *
 * @returns `undefined` when there is no such file.
 * @throws {@link AimsError} `operation.key_file_mode`, `operation.key_file_invalid`
 * @see security-and-reliability, section 6.5
 */
export function readKeyEncryptionKey(file: string): KeyEncryptionKey | undefined {
  const fd = openExisting(file)
  if (fd === undefined) return undefined
  try {
    // The open file is judged, not its name: nobody can exchange it in between.
    const stat = fstatSync(fd)
    if (!stat.isFile() || stat.size !== KEY_BYTES) {
      throw new AimsError('operation.key_file_invalid', `${file}: not a regular file of ${KEY_BYTES} bytes`)
    }
    if ((stat.mode & 0o077) !== 0) {
      throw new AimsError('operation.key_file_mode', `${file}: mode ${printMode(stat.mode)}, 0600 is needed`)
    }
    if (stat.uid !== process.geteuid?.() && stat.uid !== 0) {
      throw new AimsError('operation.key_file_mode', `${file}: belongs to user ${stat.uid}, not to this one or root`)
    }
    const key = Buffer.alloc(KEY_BYTES)
    if (readSync(fd, key) !== KEY_BYTES) throw new AimsError('operation.key_file_invalid', `${file}: cannot be read`)
    return keyEncryptionKey(key)
  } finally {
    closeSync(fd)
  }
}

/**
 * Makes a key-encryption key in a new file, mode 0600, and has it on disk before it returns.
 *
 * @throws {@link AimsError} `operation.key_file_invalid`, when the file exists or cannot be made
 */
export function createKeyEncryptionKey(file: string): KeyEncryptionKey {
  const key = randomBytes(KEY_BYTES)
  // Whole or not at all: whoever is killed here leaves no half key behind that stops every later start.
  const unfinished = `${file}.new`
  try {
    rmSync(unfinished, { force: true })
    const fd = openSync(unfinished, 'wx', 0o600)
    try {
      fchmodSync(fd, 0o600)
      writeSync(fd, key)
      fsyncSync(fd)
    } finally {
      closeSync(fd)
    }
    // Unlike rename, this does not replace a file that is there.
    linkSync(unfinished, file)
    rmSync(unfinished)
    const directory = openSync(dirname(file), 'r')
    fsyncSync(directory)
    closeSync(directory)
  } catch (cause) {
    throw new AimsError('operation.key_file_invalid', `${file}: cannot be created`, { cause })
  }
  return keyEncryptionKey(key)
}

function openExisting(file: string): number | undefined {
  try {
    // Without O_NONBLOCK a FIFO in the place of the file would hold the start for ever.
    return openSync(file, constants.O_RDONLY | constants.O_NONBLOCK)
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return undefined
    throw new AimsError('operation.key_file_invalid', `${file}: cannot be opened`, { cause })
  }
}

/** Uses 32 random bytes as key-encryption key; one derived key wraps, another authenticates. */
export function keyEncryptionKey(key: Uint8Array): KeyEncryptionKey {
  if (key.length !== KEY_BYTES) throw new TypeError(`a key-encryption key has ${KEY_BYTES} bytes`)
  const derive = (use: string) => Buffer.from(hkdfSync('sha256', key, '', `aims ${use} v1`, KEY_BYTES))
  const wrappingKey = derive('wrap')
  const macKey = derive('mac')
  return {
    fingerprint: derive('fingerprint').toString('hex', 0, 8),
    wrap(secret, name) {
      const iv = randomBytes(IV_BYTES)
      const cipher = createCipheriv('aes-256-gcm', wrappingKey, iv).setAAD(additionalData(name))
      return Buffer.concat([iv, cipher.update(secret), cipher.final(), cipher.getAuthTag()])
    },
    unwrap(wrapped, name) {
      const end = wrapped.length - TAG_BYTES
      try {
        const decipher = createDecipheriv('aes-256-gcm', wrappingKey, wrapped.subarray(0, IV_BYTES), {
          authTagLength: TAG_BYTES,
        })
        decipher.setAAD(additionalData(name)).setAuthTag(wrapped.subarray(end))
        return Buffer.concat([decipher.update(wrapped.subarray(IV_BYTES, end)), decipher.final()])
      } catch {
        throw new AimsError('operation.store_damaged', `the stored key for ${name.purpose} does not open`)
      }
    },
    mac: (label, text) => createHmac('sha256', macKey).update(`${label}\n${text}`).digest('base64url'),
  }
}

/** True when `mac` is the one of `text`. */
export function isMacOf(key: KeyEncryptionKey, mac: string, label: string, text: string): boolean {
  return equalConstantTime(mac, key.mac(label, text))
}

function additionalData({ purpose, id, version }: WrappedName): Buffer {
  return Buffer.from(`${purpose}|${id}|${version}`)
}
