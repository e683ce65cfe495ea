import { asBuffer } from '../../base/bytes.ts'
import { AimsError } from '../../base/errors.ts'

/**
 * Reads TPM structures front to back: big-endian, every length checked, nothing left over.
 *
 * @throws {@link AimsError} `attestation.malformed`, from every method
 * @see TPM 2.0 Library, Part 2, section 4.2 (sizes and byte order)
 */
export class TpmReader {
  readonly #bytes: Buffer
  #at = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = asBuffer(bytes)
  }

  /** Bytes that are left. */
  get left(): number {
    return this.#bytes.length - this.#at
  }

  u8(): number {
    return this.take(1).readUInt8()
  }

  u16(): number {
    return this.take(2).readUInt16BE()
  }

  u32(): number {
    return this.take(4).readUInt32BE()
  }

  u64(): bigint {
    return this.take(8).readBigUInt64BE()
  }

  /** A view of the next bytes. */
  take(length: number): Buffer {
    if (length > this.left) throw malformed('a TPM structure ends early')
    this.#at += length
    return this.#bytes.subarray(this.#at - length, this.#at)
  }

  /** TPM2B: a length of 16 bits, and as many bytes. */
  sized(maxLength = 65_535): Buffer {
    const length = this.u16()
    if (length > maxLength) throw malformed('a part of a TPM structure is too long')
    return this.take(length)
  }

  /** Refuses anything that is left. */
  end(): void {
    if (this.left !== 0) throw malformed('bytes are left over after a TPM structure')
  }
}

/** Integers as TPMs write them. */
export const u16 = (value: number): Buffer => Buffer.of(value >>> 8, value & 0xff)
export const u32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}

/** TPM2B of the bytes. */
export const sized = (...parts: readonly Uint8Array[]): Buffer => {
  const bytes = Buffer.concat(parts)
  return Buffer.concat([u16(bytes.length), bytes])
}

/** What a TPM structure that cannot be read is refused with. */
export function malformed(message: string): AimsError {
  return new AimsError('attestation.malformed', message)
}
