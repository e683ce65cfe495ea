/** The curves of NIST, whose equation is y² = x³ - 3x + b modulo p. */
export type NistCurve = 'P-256' | 'P-384' | 'P-521'

// SP 800-186 section 3.2.1.
const EQUATIONS: { readonly [curve in NistCurve]: { readonly p: bigint; readonly b: bigint } } = {
  'P-256': {
    p: 2n ** 256n - 2n ** 224n + 2n ** 192n + 2n ** 96n - 1n,
    b: 0x5ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e27d2604bn,
  },
  'P-384': {
    p: 2n ** 384n - 2n ** 128n - 2n ** 96n + 2n ** 32n - 1n,
    b: 0xb3312fa7e23ee7e4988e056be3f82d19181d9c6efe8141120314088f5013875ac656398d8a2ed19d2a85c8edd3ec2aefn,
  },
  'P-521': {
    p: 2n ** 521n - 1n,
    b: 0x0051953eb9618e1c9a1f929a21a0b68540eea2da725b99b315f3b8b489918ef109e156193951ec7e937b1652c0bd3bb1bf073573df883d2c34f1ef451fd46b503f00n,
  },
}

/**
 * Tells whether two coordinates, big-endian, are those of a point of the curve: what node:crypto checks when it makes a key,
 * at a tenth of the cost. The order of these curves is prime, so such a point is a public key (SP 800-56A section 5.6.2.3.4).
 */
export function isOnCurve(curve: NistCurve, xBytes: Buffer, yBytes: Buffer): boolean {
  const { p, b } = EQUATIONS[curve]
  const x = toBigInt(xBytes)
  const y = toBigInt(yBytes)
  return x < p && y < p && (y * y - (x * x - 3n) * x - b) % p === 0n
}

function toBigInt(bytes: Buffer): bigint {
  return BigInt(`0x${bytes.toString('hex')}`)
}
