import { createHash } from 'node:crypto'
import type { BigIntStats } from 'node:fs'
import { type FileHandle, open, stat } from 'node:fs/promises'
import { hasControlCharacter, isErrno, type ProcessHandle } from './proc.ts'

/** What is known of the program a process runs. Fields are absent when they cannot be told for certain. */
export interface Executable {
  readonly path?: string
  /** Lower-case hex. */
  readonly sha256?: string
}

interface Hash {
  readonly running: Promise<string | undefined>
  value: string | undefined
}

const CHUNK = 1024 * 1024
const MAX_REMEMBERED = 1024
/** Looks at a file that is touched meanwhile. */
const MAX_LOOKS = 5

/** Looks at the program behind `/proc/<pid>/exe`, and hashes each file once. */
export class ExecutableReader {
  readonly #maxSize: number
  readonly #hashes = new Map<string, Hash>()
  readonly #looking = new Map<string, Promise<BigIntStats | undefined>>()

  constructor(maxSize: number) {
    this.#maxSize = maxSize
  }

  /**
   * Nothing is known when this process may not look: it needs to be root or the same user. The last thing awaited is a
   * look at the program, so what is read right after was true together with it. A file that is only touched meanwhile -
   * a backup or a package manager links it once more, or sets its mode - is looked at again.
   *
   * @returns nothing when the process starts another program, or the file changes all the time, while it is looked at
   */
  async read(process: ProcessHandle): Promise<Executable | undefined> {
    for (let looks = 0; looks < MAX_LOOKS; looks += 1) {
      const seen = await this.#look(process)
      if (seen !== 'touched') return seen
    }
    return undefined
  }

  async #look(process: ProcessHandle): Promise<Executable | 'touched' | undefined> {
    const path = process.readLink('exe')
    if (path === undefined) return {}
    const here = await this.#statHere(path)
    const stats = await statIfAllowed(process.path('exe'))
    if (stats === undefined) return {}
    const stamp = identity(stats)
    let sha256 = this.#hashes.get(stamp)?.value
    if (sha256 === undefined && stats.isFile() && stats.size <= this.#maxSize) {
      sha256 = await this.#hash(process, stamp)
      const after = await statIfAllowed(process.path('exe'))
      if (after === undefined || !isSameFile(after, stats)) return undefined
      if (identity(after) !== stamp) return 'touched'
    }
    if (process.readLink('exe') !== path) return undefined
    // The link shows the path as the process sees it. In a mount namespace of its own any user can make that path say
    // anything, so it counts only when it leads here to the very same file.
    const isHere = here !== undefined && isSameFile(here, stats)
    return { ...(isHere ? { path } : {}), ...(sha256 === undefined ? {} : { sha256 }) }
  }

  // Many processes run one program: those looked at together share the look at its path.
  async #statHere(path: string): Promise<BigIntStats | undefined> {
    if (hasControlCharacter(path)) return undefined
    let looking = this.#looking.get(path)
    if (looking === undefined) {
      looking = stat(path, { bigint: true })
        .catch(() => undefined)
        .finally(() => this.#looking.delete(path))
      this.#looking.set(path, looking)
    }
    return await looking
  }

  async #hash(process: ProcessHandle, stamp: string): Promise<string | undefined> {
    let hash = this.#hashes.get(stamp)
    if (hash === undefined) {
      hash = { value: undefined, running: hashFile(process.path('exe'), stamp) }
      this.#hashes.set(stamp, hash)
      const oldest = this.#hashes.keys().next().value
      if (this.#hashes.size > MAX_REMEMBERED && oldest !== undefined) this.#hashes.delete(oldest)
    }
    try {
      hash.value = await hash.running
      return hash.value
    } finally {
      // A file that could not be hashed is tried again at the next attestation.
      if (hash.value === undefined && this.#hashes.get(stamp) === hash) this.#hashes.delete(stamp)
    }
  }
}

function isSameFile(one: BigIntStats, other: BigIntStats): boolean {
  return one.dev === other.dev && one.ino === other.ino
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
