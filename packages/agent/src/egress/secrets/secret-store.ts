import {
  closeSync,
  constants,
  fstatSync,
  fsyncSync,
  openSync,
  readFileSync,
  renameSync,
  statSync,
  writeSync,
} from 'node:fs'
import { dirname } from 'node:path'
import {
  AimsError,
  canonicalJson,
  createDirectory,
  createKeyEncryptionKey,
  isJsonObject,
  isMacOf,
  type JsonObject,
  type JsonValue,
  type KeyEncryptionKey,
  lockFile,
  parseJsonObject,
  printMode,
  readKeyEncryptionKey,
} from 'aims/base'
import { HeldSecret } from './held-secret.ts'
import { isSecretName } from './secret-name.ts'

/** Where secrets lie, and the key that seals them. */
export interface SecretFiles {
  readonly file: string
  /** 32 random bytes, mode 0600. Keep it apart from copies of the file. */
  readonly keyFile: string
}

/** What is told about a secret. Never the secret. */
export interface SecretInfo {
  readonly name: string
  /** Seconds since the epoch. */
  readonly changedAt: number
}

/** Secrets by name, as a broker reads them. */
export interface SecretReader {
  /**
   * The secret as it is now in the file.
   *
   * @throws {@link AimsError} `egress.secret_unknown`, `egress.secrets_damaged`, `operation.key_file_*`
   */
  get(name: string): HeldSecret
  /** All that are there, for what must not be shown. */
  all(): readonly HeldSecret[]
}

const MIN_LENGTH = 16
const MAX_LENGTH = 8192
const MAX_SECRETS = 1000
const PURPOSE = 'broker-secret'

/**
 * Keeps a secret, in place of an earlier one of this name. The key is made when there is neither key nor file.
 *
 * @param value - At least 16 printable ASCII characters: a shorter one would be found in innocent text.
 * @param now - Seconds since the epoch.
 * @throws {@link AimsError} `egress.secret_invalid`, `egress.secrets_damaged`, `operation.key_file_*`, `storage.locked`
 */
export function putSecret(files: SecretFiles, name: string, value: string, now: number): void {
  if (!isSecretName(name)) throw new AimsError('egress.secret_invalid', 'not a name for a secret')
  const isPrintable = /^[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?$/.test(value)
  if (!isPrintable || value.length < MIN_LENGTH || value.length > MAX_LENGTH)
    throw new AimsError('egress.secret_invalid', `not ${MIN_LENGTH} to ${MAX_LENGTH} printable ASCII characters`)
  change(files, (key, secrets) => {
    const before = secrets.get(name)?.version ?? 0
    if (before === 0 && secrets.size >= MAX_SECRETS)
      throw new AimsError('egress.secret_invalid', `there are ${MAX_SECRETS} secrets already`)
    const version = before + 1
    const sealed = key.wrap(Buffer.from(value, 'latin1'), { purpose: PURPOSE, id: name, version })
    secrets.set(name, { version, changedAt: Math.floor(now), sealed: sealed.toString('base64') })
  })
}

/** Forgets a secret. @throws {@link AimsError} `egress.secret_unknown`, and as {@link putSecret} */
export function deleteSecret(files: SecretFiles, name: string): void {
  change(files, (_, secrets) => {
    if (!secrets.delete(name)) throw unknown()
  })
}

/** What secrets there are, without them. @throws {@link AimsError} `egress.secrets_damaged`, `operation.key_file_*` */
export function listSecrets(files: SecretFiles): readonly SecretInfo[] {
  return [...read(files).secrets].map(([name, { changedAt }]) => ({ name, changedAt })).sort(byName)
}

/** A reader that looks at the file again when it has changed. Nothing is opened before the first secret is asked for. */
export function openSecrets(files: SecretFiles): SecretReader {
  let seen = ''
  let secrets: ReadonlyMap<string, HeldSecret> = new Map()
  const current = (): ReadonlyMap<string, HeldSecret> => {
    const stat = statSync(files.file, { throwIfNoEntry: false, bigint: true })
    const mark = stat === undefined ? '' : `${stat.ino} ${stat.mtimeNs} ${stat.size}`
    if (mark === seen) return secrets
    const { key, secrets: sealed } = read(files)
    secrets = new Map([...sealed].map(([name, row]) => [name, open(key, name, row)]))
    seen = mark
    return secrets
  }
  return {
    get(name) {
      const secret = current().get(name)
      if (secret === undefined) throw unknown()
      return secret
    },
    all: () => [...current().values()],
  }
}

interface Row {
  /** Bound to what is sealed, with the name: rows do not change places, and none is an earlier one. */
  readonly version: number
  readonly changedAt: number
  readonly sealed: string
}

interface Content {
  readonly key: KeyEncryptionKey | undefined
  readonly secrets: Map<string, Row>
}

function open(key: KeyEncryptionKey | undefined, name: string, { version, sealed }: Row): HeldSecret {
  try {
    const value = key?.unwrap(Buffer.from(sealed, 'base64'), { purpose: PURPOSE, id: name, version })
    if (value !== undefined) return new HeldSecret(value.toString('latin1'))
  } catch (cause) {
    throw damaged(cause)
  }
  throw damaged()
}

function read({ file, keyFile }: SecretFiles): Content {
  const text = readPrivately(file)
  const key = readKeyEncryptionKey(keyFile)
  if (text === undefined) return { key, secrets: new Map() }
  if (key === undefined) throw new AimsError('operation.key_file_missing', 'the key of the secrets is not there')
  try {
    const { mac, ...content } = parseJsonObject(text)
    if (typeof mac === 'string' && isMacOf(key, mac, PURPOSE, canonicalJson(content)) && isJsonObject(content.secrets))
      return { key, secrets: new Map(Object.entries(content.secrets).map(([name, row]) => [name, readRow(row)])) }
  } catch (cause) {
    throw damaged(cause)
  }
  throw damaged()
}

function readRow(row: JsonValue | undefined): Row {
  const { version, changedAt, sealed } = isJsonObject(row) ? row : {}
  if (typeof version === 'number' && typeof changedAt === 'number' && typeof sealed === 'string')
    return { version, changedAt, sealed }
  throw damaged()
}

function readPrivately(file: string): string | undefined {
  let fd: number
  try {
    fd = openSync(file, constants.O_RDONLY | constants.O_NONBLOCK)
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return undefined
    throw damaged(cause)
  }
  try {
    const { mode } = fstatSync(fd)
    if ((mode & 0o077) !== 0)
      throw new AimsError('operation.key_file_mode', `the file of secrets: mode ${printMode(mode)}, 0600 is needed`)
    return readFileSync(fd, 'utf8')
  } finally {
    closeSync(fd)
  }
}

function change(files: SecretFiles, work: (key: KeyEncryptionKey, secrets: Map<string, Row>) => void): void {
  const { file, keyFile } = files
  createDirectory(dirname(file), 0o700)
  createDirectory(dirname(keyFile), 0o700)
  const lock = lockFile(`${file}.lock`, 'secrets')
  try {
    const { key: known, secrets } = read(files)
    const key = known ?? createKeyEncryptionKey(keyFile)
    work(key, secrets)
    const rows = [...secrets].map(([name, row]): [string, JsonObject] => [name, { ...row }])
    const content: JsonObject = { version: 1, secrets: Object.fromEntries(rows) }
    write(file, JSON.stringify({ ...content, mac: key.mac(PURPOSE, canonicalJson(content)) }))
  } finally {
    lock.release()
  }
}

// Whole or not at all, and on disk before it counts.
function write(file: string, text: string): void {
  const fd = openSync(`${file}.new`, 'w', 0o600)
  try {
    writeSync(fd, text)
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
  renameSync(`${file}.new`, file)
}

function byName({ name: a }: SecretInfo, { name: b }: SecretInfo): number {
  return a < b ? -1 : 1
}

function unknown(): AimsError {
  return new AimsError('egress.secret_unknown', 'there is no secret of this name')
}

function damaged(cause?: unknown): AimsError {
  return new AimsError('egress.secrets_damaged', 'the file of secrets does not authenticate under its key', { cause })
}
