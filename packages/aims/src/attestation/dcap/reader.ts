import { AimsError } from '../../base/errors.ts'

/**
 * Reads little-endian structures front to back. A length that reaches beyond the end is refused before anything is
 * copied; views returned share memory with the input.
 *
 * @throws {@link AimsError} `attestation.malformed`, from every method
 */
export class LittleEndianReader {
  readonly #bytes: Buffer
  #at = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }

  /** Bytes read so far. */
  get position(): number {
    return this.#at
  }

  take(length: number): Buffer {
    if (length > this.#bytes.length - this.#at) throw malformed('the evidence ends early')
    this.#at += length
    return this.#bytes.subarray(this.#at - length, this.#at)
  }

  u16(): number {
    return this.take(2).readUInt16LE()
  }

  u32(): number {
    return this.take(4).readUInt32LE()
  }

  /** Everything that is left. */
  rest(): Buffer {
    return this.take(this.#bytes.length - this.#at)
  }

  /** Refuses anything that is left. */
  end(): void {
    if (this.#at !== this.#bytes.length) throw malformed('the evidence has bytes that belong to nothing')
  }
}

function malformed(message: string): AimsError {
  return new AimsError('attestation.malformed', message)
}
