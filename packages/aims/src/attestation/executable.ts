import { createHash } from 'node:crypto'
import type { BigIntStats } from 'node:fs'
import { type FileHandle, open, stat } from 'node:fs/promises'
import { hasControlCharacter, isErrno, type ProcessHandle } from './proc.ts'

/** What is known of the program a process runs. Fields are absent when they cannot be told for certain. */
export interface Executable {
  readonly path?: string
  /** Lower-case hex. */
  readonly sha256?: string
  /** Changes when the process starts another program, or the file changes. */
  readonly stamp?: string
}

const CHUNK = 1024 * 1024
const MAX_REMEMBERED = 1024

/** Looks at the program behind `/proc/<pid>/exe`, and hashes each file once. */
export class ExecutableReader {
  readonly #maxSize: number
  readonly #hashes = new Map<string, Promise<string | undefined>>()

  constructor(maxSize: number) {
    this.#maxSize = maxSize
  }

  /** Nothing is known when this process may not look: it needs to be root or the same user. */
  async read(process: ProcessHandle): Promise<Executable> {
    const path = process.readLink('exe')
    const stats = path === undefined ? undefined : await statIfAllowed(process.path('exe'))
    if (path === undefined || stats === undefined) return {}
    const sha256 = await this.#hash(process, stats)
    return {
      ...((await isSameFile(path, stats)) ? { path } : {}),
      ...(sha256 === undefined ? {} : { sha256 }),
      stamp: identity(stats),
    }
  }

  /** Whether the process still runs the program that was read. */
  async isUnchanged(process: ProcessHandle, { stamp }: Executable): Promise<boolean> {
    if (stamp === undefined) return true
    try {
      return identity(await stat(process.path('exe'), { bigint: true })) === stamp
    } catch {
      return false
    }
  }

  async #hash(process: ProcessHandle, stats: BigIntStats): Promise<string | undefined> {
    if (!stats.isFile() || stats.size > this.#maxSize) return undefined
    const key = identity(stats)
    let hash = this.#hashes.get(key)
    if (hash === undefined) {
      hash = hashFile(process.path('exe'), key)
      this.#hashes.set(key, hash)
      // A file that could not be hashed is tried again at the next attestation.
      hash.then(
        (value) => value === undefined && this.#hashes.delete(key),
        () => this.#hashes.delete(key),
      )
      const oldest = this.#hashes.keys().next().value
      if (this.#hashes.size > MAX_REMEMBERED && oldest !== undefined) this.#hashes.delete(oldest)
    }
    return await hash
  }
}

// The digest of exactly the file with this identity, or nothing when it is another one, or changes meanwhile.
async function hashFile(path: string, expected: string): Promise<string | undefined> {
  const file = await openIfAllowed(path)
  if (file === undefined) return undefined
  try {
    const hash = createHash('sha256')
    const buffer = Buffer.allocUnsafe(CHUNK)
    const { size } = await file.stat({ bigint: true })
    for (let position = 0; position <= size; ) {
      const { bytesRead } = await file.read(buffer, 0, CHUNK, position)
      if (bytesRead === 0) break
      hash.update(buffer.subarray(0, bytesRead))
      position += bytesRead
    }
    return identity(await file.stat({ bigint: true })) === expected ? hash.digest('hex') : undefined
  } finally {
    await file.close()
  }
}

// A change of content changes ctime, which no program can set.
function identity({ dev, ino, mtimeNs, ctimeNs, size }: BigIntStats): string {
  return `${dev}-${ino}-${mtimeNs}-${ctimeNs}-${size}`
}

// The link shows the path as the process sees it. In a mount namespace of its own any user can make that path say
// anything, so it counts only when it leads here to the very same file.
async function isSameFile(path: string, { dev, ino }: BigIntStats): Promise<boolean> {
  if (hasControlCharacter(path)) return false
  try {
    const here = await stat(path, { bigint: true })
    return here.dev === dev && here.ino === ino
  } catch {
    return false
  }
}

async function statIfAllowed(path: string): Promise<BigIntStats | undefined> {
  return await ifAllowed(() => stat(path, { bigint: true }))
}

async function openIfAllowed(path: string): Promise<FileHandle | undefined> {
  return await ifAllowed(() => open(path, 'r'))
}

async function ifAllowed<T>(look: () => Promise<T>): Promise<T | undefined> {
  try {
    return await look()
  } catch (error) {
    // Kernel threads and processes that have just ended have no program: whoever reads on will notice the second.
    if (['EACCES', 'EPERM', 'ENOENT', 'ESRCH'].some((code) => isErrno(error, code))) return undefined
    throw error
  }
}
