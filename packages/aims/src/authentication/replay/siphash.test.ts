import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { sipHash128 } from './siphash.ts'

const MASK = (1n << 64n) - 1n

// The algorithm as its paper writes it, slowly, with the number of rounds as parameters.
function reference(key: Uint8Array, input: Uint8Array, c: number, d: number): string {
  const word = (bytes: Uint8Array, at: number): bigint =>
    Array.from({ length: 8 }, (_, i) => BigInt(bytes[at + i] ?? 0) << BigInt(8 * i)).reduce((sum, part) => sum | part)
  const rotate = (x: bigint, n: bigint): bigint => ((x << n) | (x >> (64n - n))) & MASK
  const [k0, k1] = [word(key, 0), word(key, 8)]
  let v0 = 0x736f6d6570736575n ^ k0
  let v1 = 0x646f72616e646f6dn ^ k1 ^ 0xeen
  let v2 = 0x6c7967656e657261n ^ k0
  let v3 = 0x7465646279746573n ^ k1
  const rounds = (count: number): void => {
    for (let i = 0; i < count; i += 1) {
      v0 = (v0 + v1) & MASK
      v1 = rotate(v1, 13n) ^ v0
      v0 = rotate(v0, 32n)
      v2 = (v2 + v3) & MASK
      v3 = rotate(v3, 16n) ^ v2
      v0 = (v0 + v3) & MASK
      v3 = rotate(v3, 21n) ^ v0
      v2 = (v2 + v1) & MASK
      v1 = rotate(v1, 17n) ^ v2
      v2 = rotate(v2, 32n)
    }
  }
  const whole = input.length - (input.length % 8)
  const blocks = Array.from({ length: whole / 8 }, (_, i) => word(input, 8 * i))
  blocks.push(word(input.subarray(whole), 0) | (BigInt(input.length & 0xff) << 56n))
  for (const block of blocks) {
    v3 ^= block
    rounds(c)
    v0 ^= block
  }
  v2 ^= 0xeen
  rounds(d)
  const first = v0 ^ v1 ^ v2 ^ v3
  v1 ^= 0xddn
  rounds(d)
  return [first, v0 ^ v1 ^ v2 ^ v3].map((half) => half.toString(16).padStart(16, '0')).join(' ')
}

const KEY = Uint8Array.from({ length: 16 }, (_, i) => i)

test('the reference gives the published value of SipHash-2-4-128 for the empty input', () => {
  assert.equal(reference(KEY, new Uint8Array(), 2, 4), 'e6a825ba047f81a3 930255c71472f66d')
})

test('equals the reference for any key and input, whatever lies behind the input', () => {
  const bytes = fc.uint8Array({ maxLength: 300 })
  const key = fc.uint8Array({ minLength: 16, maxLength: 16 })
  fc.assert(
    fc.property(key, bytes, fc.nat(255), (secret, input, filler) => {
      const buffer = new Uint8Array(312).fill(filler)
      buffer.set(input)
      const out = new Int32Array(4)
      sipHash128(new Int32Array(secret.slice().buffer), new Int32Array(buffer.buffer), input.length, out)
      const [a, b, c, d] = [...new Uint32Array(out.buffer)].map((part) => part.toString(16).padStart(8, '0'))
      assert.equal(`${b}${a} ${d}${c}`, reference(secret, input, 1, 3))
    }),
  )
})
