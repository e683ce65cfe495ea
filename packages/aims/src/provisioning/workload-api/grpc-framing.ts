import { AimsError } from '../../base/errors.ts'

const PREFIX = 5

/** Puts the gRPC prefix before a message: not compressed, four bytes of length. */
export function frameMessage(message: Uint8Array): Buffer {
  const frame = Buffer.allocUnsafe(PREFIX + message.length)
  frame[0] = 0
  frame.writeUInt32BE(message.length, 1)
  frame.set(message, PREFIX)
  return frame
}

/** Cuts the bytes of an HTTP/2 stream into gRPC messages. Holds at most one message of the size allowed. */
export class FrameReader {
  readonly #maxSize: number
  #pending: Buffer[] = []
  #length = 0

  /** @param maxSize - Bytes of one message. */
  constructor(maxSize: number) {
    this.#maxSize = maxSize
  }

  /**
   * Takes the next bytes and gives the messages that are complete now.
   *
   * @throws {@link AimsError} `provisioning.message_too_large`, `provisioning.malformed_message` (also: compressed)
   */
  push(chunk: Buffer): readonly Buffer[] {
    this.#pending.push(chunk)
    this.#length += chunk.length
    const messages: Buffer[] = []
    for (;;) {
      const size = this.#nextSize()
      if (size === undefined || this.#length < PREFIX + size) return messages
      const bytes = this.#joined()
      messages.push(bytes.subarray(PREFIX, PREFIX + size))
      this.#pending = [bytes.subarray(PREFIX + size)]
      this.#length -= PREFIX + size
    }
  }

  /** Call when the stream has ended. @throws {@link AimsError} `provisioning.malformed_message` within a message */
  end(): void {
    if (this.#length > 0) throw new AimsError('provisioning.malformed_message', 'the stream ends within a message')
  }

  #nextSize(): number | undefined {
    if (this.#length < PREFIX) return undefined
    const first = this.#pending[0]
    const prefix = first !== undefined && first.length >= PREFIX ? first : this.#joined()
    if (prefix[0] !== 0) throw new AimsError('provisioning.malformed_message', 'the message is compressed')
    const size = prefix.readUInt32BE(1)
    if (size > this.#maxSize) {
      throw new AimsError('provisioning.message_too_large', `the message is larger than ${this.#maxSize} bytes`)
    }
    return size
  }

  #joined(): Buffer {
    const bytes = Buffer.concat(this.#pending)
    this.#pending = [bytes]
    return bytes
  }
}
