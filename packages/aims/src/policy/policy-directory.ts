import { constants, type Dirent } from 'node:fs'
import { open, readdir, realpath } from 'node:fs/promises'
import { join, sep } from 'node:path'
import { decodeUtf8 } from '../base/bytes.ts'
import { AimsError } from '../base/errors.ts'
import { type PolicyFile, type PolicySet, parsePolicySet } from './policy-set.ts'

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}\.cedar$/
const MAX_BYTES = 1024 * 1024
const MAX_TOTAL = 16 * 1024 * 1024

/**
 * Loads all `*.cedar` files of a directory as one policy set; subdirectories and other files play no part.
 *
 * Links are followed only inside the directory, which is how Kubernetes mounts a ConfigMap. A directory without
 * policies gives the set that denies everything.
 *
 * @throws {@link AimsError} `policy.unreadable`, `.not_text`, `.too_large`, and all of {@link parsePolicySet}
 */
export async function loadPolicyDirectory(directory: string): Promise<PolicySet> {
  return parsePolicySet(await readPolicyDirectory(directory))
}

/**
 * Reads the `*.cedar` files of a directory without judging them, sorted by name.
 *
 * @throws {@link AimsError} `policy.unreadable`, `.not_text`, `.too_large`
 */
export async function readPolicyDirectory(directory: string): Promise<readonly PolicyFile[]> {
  let root: string
  let entries: readonly Dirent[]
  try {
    root = await realpath(directory)
    entries = await readdir(root, { withFileTypes: true })
  } catch (cause) {
    const reason = (cause as NodeJS.ErrnoException).code ?? 'unreadable'
    throw new AimsError('policy.unreadable', `${directory}: the policy directory cannot be read (${reason})`, { cause })
  }
  const files: PolicyFile[] = []
  let total = 0
  for (const { name } of entries.filter(isPolicyFile).sort((a, b) => (a.name < b.name ? -1 : 1))) {
    // A file that is left out could be the one that forbids.
    if (!NAME.test(name))
      throw new AimsError('policy.unreadable', `policy file with an unusable name: ${printable(name)}`)
    const bytes = await readInside(root, name)
    total += bytes.length
    if (total > MAX_TOTAL) throw new AimsError('policy.too_large', `the policy files have more than ${MAX_TOTAL} bytes`)
    const text = decodeUtf8(bytes)
    if (text === undefined) throw new AimsError('policy.not_text', `${name} is not UTF-8`)
    files.push({ name, text })
  }
  return files
}

function isPolicyFile(entry: Dirent): boolean {
  return entry.name.toLowerCase().endsWith('.cedar')
}

async function readInside(root: string, name: string): Promise<Buffer> {
  try {
    const path = await realpath(join(root, name))
    if (!path.startsWith(root.endsWith(sep) ? root : root + sep)) {
      throw new AimsError('policy.unreadable', `${name} leads out of the policy directory`)
    }
    // Without O_NONBLOCK a named pipe would be waited for.
    await using file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK)
    const stat = await file.stat()
    if (!stat.isFile()) throw new AimsError('policy.unreadable', `${name} is not a plain file`)
    if (stat.size > MAX_BYTES) throw new AimsError('policy.too_large', `${name} is larger than ${MAX_BYTES} bytes`)
    return await file.readFile()
  } catch (cause) {
    if (AimsError.is(cause)) throw cause
    throw new AimsError('policy.unreadable', `${name} cannot be read`, { cause })
  }
}

function printable(name: string): string {
  return JSON.stringify(name.slice(0, 128))
}
