// The odd primes up to 167: moduli of the weak generator are powers of 65537 modulo each of them.
const PRIMES: readonly number[] = [
  3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97, 101, 103, 107, 109, 113,
  127, 131, 137, 139, 149, 151, 157, 163, 167,
]

/**
 * True for an RSA modulus with the fingerprint of the weak key generator of CVE-2017-15361 (ROCA): its private key can
 * be computed. Sound keys match with a chance of one in a hundred million.
 *
 * @see Nemec et al., "The Return of Coppersmith's Attack", CCS 2017, section 2.2
 */
export function isRocaModulus(modulus: Uint8Array): boolean {
  const n = BigInt(`0x${Buffer.from(modulus).toString('hex')}`)
  return PRIMES.every((prime) => isPowerOf65537(Number(n % BigInt(prime)), prime))
}

function isPowerOf65537(residue: number, prime: number): boolean {
  let power = 1
  do {
    if (power === residue) return true
    power = (power * 65_537) % prime
  } while (power !== 1)
  return false
}
