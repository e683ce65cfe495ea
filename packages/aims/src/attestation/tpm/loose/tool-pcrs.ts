import { asBuffer } from '../../../base/bytes.ts'
import { findTpmHash, HASH_SIZE } from '../algorithms.ts'
import type { PcrValues } from '../pcrs.ts'

const SELECTIONS = 4 + 16 * 8
const LIST = 4 + 8 * 66

/**
 * Reads the values that `tpm2_quote -o` writes: structures of C as they lie in the memory of a little-endian machine,
 * a selection and lists of up to eight digests. `undefined` for bytes of another form.
 */
export function readToolPcrs(bytes: Uint8Array): PcrValues | undefined {
  const input = asBuffer(bytes)
  if (input.length < SELECTIONS + 4) return undefined
  const banks = input.readUInt32LE(0)
  const lists = input.readUInt32LE(SELECTIONS)
  if (banks === 0 || banks > 16 || input.length !== SELECTIONS + 4 + lists * LIST) return undefined
  const digests = readLists(input.subarray(SELECTIONS + 4), lists)
  const values = new Map<string, Uint8Array>()
  for (let i = 0; i < banks; i += 1) {
    const at = 4 + i * 8
    const bank = findTpmHash(input.readUInt16LE(at))
    const bitmap = input.readUInt32LE(at + 3)
    if (bank === undefined) return undefined
    for (let index = 0; index < 24; index += 1) {
      if (((bitmap >>> index) & 1) === 0) continue
      const digest = digests?.shift()
      if (digest?.length !== HASH_SIZE[bank]) return undefined
      values.set(`${bank}:${index}`, digest)
    }
  }
  return digests?.length === 0 ? values : undefined
}

function readLists(input: Buffer, lists: number): Buffer[] | undefined {
  const digests: Buffer[] = []
  for (let at = 0; at < lists * LIST; at += LIST) {
    const count = input.readUInt32LE(at)
    if (count > 8) return undefined
    for (let i = 0; i < count; i += 1) {
      const size = input.readUInt16LE(at + 4 + i * 66)
      if (size > 64) return undefined
      digests.push(input.subarray(at + 6 + i * 66, at + 6 + i * 66 + size))
    }
  }
  return digests
}
