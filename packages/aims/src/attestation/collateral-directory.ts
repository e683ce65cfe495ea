import { randomBytes } from 'node:crypto'
import {
  closeSync,
  type Dirent,
  fstatSync,
  fsyncSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  type Stats,
  statSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { createDirectory } from '../base/directory.ts'
import { AimsError } from '../base/errors.ts'
import { parseJsonObject } from '../base/json.ts'
import type { CollateralSource, HighestSeen } from './collateral.ts'

/** Collateral in a directory: files whose paths are the names that verifiers ask for. */
export interface CollateralDirectory extends CollateralSource {
  /** Every name, sorted. */
  list(): readonly string[]
  /** Puts a file in place of the one there, whole or not at all. */
  put(name: string, bytes: Uint8Array): void
}

const NAME = /^[a-z0-9][a-z0-9._-]{0,254}(?:\/[a-z0-9][a-z0-9._-]{0,254}){0,7}$/
const MAX_FILE = 4 * 1024 * 1024
const MAX_FILES = 100_000

/**
 * Reads and writes collateral in a directory, for machines without a network and for `aims attest refresh`. Files are read
 * anew when they have changed. A name that is no plain relative path, a file above 4 MiB and what is no regular file are as
 * if they were not there.
 *
 * Does not verify what is in the files: the verifiers do. Whoever can write there can withhold newer collateral, so the
 * directory belongs to root or the server.
 *
 * @param root - Made when something is put into it.
 */
export function collateralDirectory(root: string): CollateralDirectory {
  const cache = new Map<string, { readonly state: string; readonly bytes: Uint8Array }>()

  function get(name: string): Uint8Array | undefined {
    if (!NAME.test(name)) return undefined
    const path = join(root, name)
    const state = stateOf(statSync(path, { throwIfNoEntry: false }))
    const known = cache.get(name)
    if (known?.state === state && state !== '') return known.bytes
    const read = state === '' ? undefined : readWhole(path)
    if (read === undefined) cache.delete(name)
    else cache.set(name, read)
    return read?.bytes
  }

  return {
    get,
    list: () => namesBelow(root, '').sort(),
    put(name, bytes) {
      if (!NAME.test(name)) throw new TypeError('not a name of collateral')
      if (bytes.length > MAX_FILE)
        throw new AimsError('attestation.too_large', 'a file of collateral has at most 4 MiB')
      writeWhole(join(root, name), bytes)
    },
  }
}

/**
 * Remembers the highest numbers of collateral in a file, so that a restart does not forget them. The file is written when a
 * number grows, which is when the vendor publishes.
 *
 * @throws {@link AimsError} `attestation.collateral_malformed` when the file is none of this kind
 */
export function highestSeenFile(path: string): HighestSeen {
  const numbers = readNumbers(path)
  return {
    get: (name) => numbers.get(name),
    set(name, number) {
      numbers.set(name, number)
      const text = JSON.stringify(Object.fromEntries([...numbers].map(([key, value]) => [key, String(value)])))
      writeWhole(path, Buffer.from(text))
    },
  }
}

function readNumbers(path: string): Map<string, bigint> {
  if (statSync(path, { throwIfNoEntry: false }) === undefined) return new Map()
  const entries = Object.entries(parseJsonObject(readFileSync(path), { maxLength: MAX_FILE, maxMembers: MAX_FILES }))
  return new Map(
    entries.map(([name, value]) => {
      if (typeof value !== 'string' || !/^[0-9]{1,60}$/.test(value)) {
        throw new AimsError('attestation.collateral_malformed', 'the file of highest numbers is damaged')
      }
      return [name, BigInt(value)] as const
    }),
  )
}

// What changes when a file is replaced or written to; empty where there is none to read.
function stateOf(stats: Stats | undefined): string {
  if (stats?.isFile() !== true || stats.size > MAX_FILE) return ''
  return `${stats.dev} ${stats.ino} ${stats.size} ${stats.mtimeMs} ${stats.ctimeMs}`
}

function readWhole(path: string): { readonly state: string; readonly bytes: Uint8Array } | undefined {
  const file = openSync(path, 'r')
  try {
    const state = stateOf(fstatSync(file))
    if (state === '') return undefined
    const bytes = readFileSync(file)
    return stateOf(fstatSync(file)) === state && bytes.length <= MAX_FILE ? { state, bytes } : undefined
  } finally {
    closeSync(file)
  }
}

function writeWhole(path: string, bytes: Uint8Array): void {
  createDirectory(dirname(path), 0o755)
  // No name of collateral begins with a dot: nobody reads the half of it.
  const fresh = join(dirname(path), `.${randomBytes(8).toString('hex')}.new`)
  const file = openSync(fresh, 'wx', 0o644)
  try {
    writeFileSync(file, bytes)
    fsyncSync(file)
    closeSync(file)
    renameSync(fresh, path)
  } catch (error) {
    rmSync(fresh, { force: true })
    throw error
  }
}

function namesBelow(root: string, under: string): string[] {
  let entries: readonly Dirent[]
  try {
    entries = readdirSync(join(root, under), { withFileTypes: true })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw error
  }
  return entries.flatMap((entry) => {
    const name = under === '' ? entry.name : `${under}/${entry.name}`
    if (!NAME.test(name)) return []
    return entry.isDirectory() ? namesBelow(root, name) : [name]
  })
}
