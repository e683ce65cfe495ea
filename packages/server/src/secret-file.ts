import { constants } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { AimsError, type AimsErrorCode } from 'aims/base'

/** Bytes. */
const MAX_LENGTH = 1 << 20

/**
 * Reads a file with a secret: a regular file of this user or root that nobody else can read. The open file is judged, not its
 * name: nobody can exchange it in between.
 *
 * @param about.name - What the file is, for messages; they do not name the path.
 * @param about.unreadable - The code when it cannot be read.
 * @throws {@link AimsError} `operation.key_file_mode`, and the code above
 */
export async function readSecretFile(
  file: string,
  { name, unreadable }: { readonly name: string; readonly unreadable: AimsErrorCode },
): Promise<Buffer> {
  let handle: FileHandle
  try {
    // Without O_NONBLOCK a FIFO in the place of the file would hold the reader for ever.
    handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK)
  } catch (cause) {
    throw new AimsError(unreadable, `${name} cannot be opened`, { cause })
  }
  try {
    const stat = await handle.stat()
    if (!stat.isFile() || stat.size > MAX_LENGTH) {
      throw new AimsError(unreadable, `${name} is no file of a usable size`)
    }
    if ((stat.mode & 0o077) !== 0) {
      throw new AimsError('operation.key_file_mode', `${name} is open to others: mode 0600 is needed`)
    }
    if (stat.uid !== process.geteuid?.() && stat.uid !== 0) {
      throw new AimsError('operation.key_file_mode', `${name} belongs to another user, and not to this one or root`)
    }
    return await handle.readFile()
  } finally {
    await handle.close()
  }
}
