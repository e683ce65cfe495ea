/**
 * SipHash-1-3 with 128 bits of output, into `out`. Who does not know the key can neither predict nor collide it; the
 * rounds are those of hash tables, whose output nobody sees either.
 *
 * A word of 64 bits is two numbers, lower case its low half: BigInt would cost thirty times as much, and this runs once
 * per request. Signed words throughout, so that all arithmetic stays that of 32-bit integers.
 *
 * @param key - Four random words, low word first; `out` likewise.
 * @param input - Little-endian words of a buffer whose bytes from `length` to the next multiple of 8 may be anything.
 * @param length - Bytes of input.
 * @see Aumasson and Bernstein, "SipHash: a fast short-input PRF"
 */
export function sipHash128(key: Int32Array, input: Int32Array, length: number, out: Int32Array): void {
  const k0 = word(key, 0)
  const k1 = word(key, 1)
  const k2 = word(key, 2)
  const k3 = word(key, 3)
  let a = 0x70736575 ^ k0
  let A = 0x736f6d65 ^ k1
  let b = 0x6e646f6d ^ k2 ^ 0xee
  let B = 0x646f7261 ^ k3
  let c = 0x6e657261 ^ k0
  let C = 0x6c796765 ^ k1
  let d = 0x79746573 ^ k2
  let D = 0x74656462 ^ k3

  const blocks = length >>> 3
  const rest = length & 7
  const last = rest > 4 ? 0xffffffff >>> (8 * (8 - rest)) : 0
  const lastLow = rest >= 4 ? 0xffffffff : rest === 0 ? 0 : 0xffffffff >>> (8 * (4 - rest))

  // One round per block, then three, then three more for the second half of the output.
  for (let step = 0; step <= blocks + 2; step += 1) {
    let m = 0
    let M = 0
    let rounds = 1
    if (step < blocks) {
      m = word(input, 2 * step)
      M = word(input, 2 * step + 1)
    } else if (step === blocks) {
      m = rest === 0 ? 0 : word(input, 2 * step) & lastLow
      M = (last === 0 ? 0 : word(input, 2 * step + 1) & last) | (length << 24)
    } else {
      rounds = 3
      if (step === blocks + 1) c ^= 0xee
      else b ^= 0xdd
    }
    d ^= m
    D ^= M
    for (; rounds > 0; rounds -= 1) {
      a = (a + b) | 0
      A = (A + B + (a >>> 0 < b >>> 0 ? 1 : 0)) | 0
      let high = (B << 13) | (b >>> 19)
      b = ((b << 13) | (B >>> 19)) ^ a
      B = high ^ A
      high = A
      A = a
      a = high

      c = (c + d) | 0
      C = (C + D + (c >>> 0 < d >>> 0 ? 1 : 0)) | 0
      high = (D << 16) | (d >>> 16)
      d = ((d << 16) | (D >>> 16)) ^ c
      D = high ^ C

      a = (a + d) | 0
      A = (A + D + (a >>> 0 < d >>> 0 ? 1 : 0)) | 0
      high = (D << 21) | (d >>> 11)
      d = ((d << 21) | (D >>> 11)) ^ a
      D = high ^ A

      c = (c + b) | 0
      C = (C + B + (c >>> 0 < b >>> 0 ? 1 : 0)) | 0
      high = (B << 17) | (b >>> 15)
      b = ((b << 17) | (B >>> 15)) ^ c
      B = high ^ C
      high = C
      C = c
      c = high
    }
    a ^= m
    A ^= M
    if (step === blocks + 1) {
      out[0] = a ^ b ^ c ^ d
      out[1] = A ^ B ^ C ^ D
    }
  }
  out[2] = a ^ b ^ c ^ d
  out[3] = A ^ B ^ C ^ D
}

function word(words: Int32Array, index: number): number {
  return words[index] ?? 0
}
