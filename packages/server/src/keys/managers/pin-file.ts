import { createHmac, randomBytes } from 'node:crypto'
import { AimsError } from 'aims/base'
import { readSecretFile } from '../../secret-file.ts'

/** The PIN of a token, in a file. */
export interface PinFile {
  /**
   * The PIN as it is in the file now. Wipe it after use.
   *
   * @throws {@link AimsError} `operation.key_manager_unavailable`, also for a PIN that was refused; `operation.key_file_mode`
   */
  read(): Promise<Buffer>
  /** The token does not take this PIN. Tokens are locked after a few of those, so it is not shown to it again. */
  refuse(pin: Uint8Array): void
}

/** Reads a PIN at every login and keeps none: of one that was refused only what tells it from another. */
export function openPinFile(file: string): PinFile {
  const key = randomBytes(32)
  const tell = (pin: Uint8Array): string => createHmac('sha256', key).update(pin).digest('hex')
  let refused: string | undefined
  return {
    async read() {
      const pin = withoutEnd(
        await readSecretFile(file, {
          name: 'the PIN file of the key manager',
          unreadable: 'operation.key_manager_unavailable',
        }),
      )
      if (tell(pin) !== refused) return pin
      pin.fill(0)
      throw new AimsError(
        'operation.key_manager_unavailable',
        'the token has refused the PIN, and is not asked again before there is another one in the file',
      )
    },
    refuse(pin) {
      refused = tell(pin)
    },
  }
}

function withoutEnd(content: Buffer): Buffer {
  const end = content.findLastIndex((byte) => byte !== 0x0a && byte !== 0x0d)
  return content.subarray(0, end + 1)
}
