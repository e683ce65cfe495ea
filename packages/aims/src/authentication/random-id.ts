import { randomBytes } from 'node:crypto'

// Randomness is drawn for many identifiers at once: a call for 16 bytes costs as much as one for 4096.
const pool = Buffer.allocUnsafeSlow(4096)
let poolAt = pool.length

/** 128 random bits, base64url: for `jti` and `nonce`. */
export function randomId(): string {
  if (poolAt === pool.length) {
    pool.set(randomBytes(pool.length))
    poolAt = 0
  }
  poolAt += 16
  return pool.toString('base64url', poolAt - 16, poolAt)
}
