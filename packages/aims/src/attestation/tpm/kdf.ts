import { createHash, createHmac } from 'node:crypto'
import { HASH_SIZE, type TpmHash } from './algorithms.ts'
import { u32 } from './wire.ts'

const ZERO = Buffer.of(0)

/**
 * KDFa: a key of `bits` bits from a shared key.
 *
 * @see TPM 2.0 Library, Part 1, section 11.4.10.2
 */
export function kdfA(hash: TpmHash, key: Uint8Array, label: string, context: Uint8Array, bits: number): Buffer {
  const size = u32(bits)
  return counted(hash, bits, (counter) =>
    createHmac(hash, key).update(counter).update(label).update(ZERO).update(context).update(size).digest(),
  )
}

/**
 * KDFe: a seed from a point that two parties share. Coordinates at full length.
 *
 * @see TPM 2.0 Library, Part 1, section 11.4.10.3
 */
export function kdfE(hash: TpmHash, shared: Uint8Array, label: string, partyU: Uint8Array, partyV: Uint8Array): Buffer {
  return counted(hash, HASH_SIZE[hash] * 8, (counter) =>
    createHash(hash).update(counter).update(shared).update(label).update(ZERO).update(partyU).update(partyV).digest(),
  )
}

function counted(hash: TpmHash, bits: number, block: (counter: Buffer) => Buffer): Buffer {
  const bytes = bits / 8
  const blocks = Math.ceil(bytes / HASH_SIZE[hash])
  return Buffer.concat(Array.from({ length: blocks }, (_, i) => block(u32(i + 1)))).subarray(0, bytes)
}
