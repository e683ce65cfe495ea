import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { test } from 'node:test'
import fc from 'fast-check'
import { assertRefused } from '../../../../test/support/tokens.ts'
import { isOnCurve } from './curve-point.ts'
import { importKeyToCertify, importVerificationKey } from './keys.ts'

const SIZES = { 'P-256': 32, 'P-384': 48, 'P-521': 66 } as const
type Curve = keyof typeof SIZES
const CURVES = Object.keys(SIZES) as readonly Curve[]

function pointOf(curve: Curve): { readonly x: Buffer; readonly y: Buffer } {
  const { x = '', y = '' } = generateKeyPairSync('ec', { namedCurve: curve }).publicKey.export({ format: 'jwk' })
  return { x: Buffer.from(x, 'base64url'), y: Buffer.from(y, 'base64url') }
}

// node:crypto is who knows.
function isKey(curve: Curve, x: Buffer, y: Buffer): boolean {
  const jwk = { kty: 'EC', crv: curve, x: x.toString('base64url'), y: y.toString('base64url') }
  try {
    importVerificationKey(jwk)
    return true
  } catch {
    assertRefused(() => importKeyToCertify(jwk), 'key.malformed')
    return false
  }
}

for (const curve of CURVES) {
  test(`points of ${curve} are told from others`, () => {
    for (let i = 0; i < 20; i += 1) {
      const { x, y } = pointOf(curve)
      assert.equal(isOnCurve(curve, x, y), true)
      assert.equal(isOnCurve(curve, y, x), false)
      const other = Buffer.from(y)
      other[i] = (other[i] ?? 0) ^ 1
      assert.equal(isOnCurve(curve, x, other), false)
    }
    assert.equal(isOnCurve(curve, Buffer.alloc(SIZES[curve]), Buffer.alloc(SIZES[curve])), false)
  })

  test(`property: node:crypto makes a key of a point of ${curve} when, and only when, it is one`, () => {
    const good = pointOf(curve)
    const coordinate = (from: Buffer) =>
      fc.oneof(
        fc.constantFrom(from, Buffer.alloc(from.length), Buffer.alloc(from.length, 255)),
        fc.uint8Array({ minLength: from.length, maxLength: from.length }).map((bytes) => Buffer.from(bytes)),
      )
    fc.assert(
      fc.property(coordinate(good.x), coordinate(good.y), (x, y) => {
        assert.equal(isOnCurve(curve, x, y), isKey(curve, x, y))
      }),
    )
  })
}

// Modulo p they are those of a point: one key would have two spellings, and two thumbprints.
test('a coordinate beyond the field is refused, also where it is congruent to a good one', () => {
  const p = 2n ** 256n - 2n ** 224n + 2n ** 192n + 2n ** 96n - 1n
  const bytes = (value: bigint): Buffer => Buffer.from(value.toString(16).padStart(64, '0'), 'hex')
  // The two points with x = 5, one of few small ones; p + 5 still has 256 bits.
  const y = 0x459243b9aa581806fe913bce99817ade11ca503c64d9a3c533415c083248fbccn
  assert.equal(isOnCurve('P-256', bytes(5n), bytes(y)), true)
  assert.equal(isOnCurve('P-256', bytes(5n), bytes(p - y)), true)
  assert.equal(isOnCurve('P-256', bytes(5n + p), bytes(y)), false)
  assert.equal(isKey('P-256', bytes(5n + p), bytes(y)), false)
})
