import { constants, createVerify, type KeyObject, sign, verify } from 'node:crypto'

/** The JOSE names of the asymmetric signature algorithms supported here. */
export type JwsAlgorithm =
  | 'ES256'
  | 'ES384'
  | 'ES512'
  | 'EdDSA'
  | 'Ed25519'
  | 'RS256'
  | 'RS384'
  | 'RS512'
  | 'PS256'
  | 'PS384'
  | 'PS512'

/** What the JOSE algorithm names mean to node:crypto. Code below reads this table and never branches on a name. */
export interface Algorithm {
  readonly keyType: 'ec' | 'ed25519' | 'rsa'
  readonly curve?: 'prime256v1' | 'secp384r1' | 'secp521r1'
  readonly hash: 'sha256' | 'sha384' | 'sha512' | null
  /** ECDSA: bytes of r and of s. */
  readonly half?: 32 | 48 | 66
  readonly pss?: boolean
}

/** All supported algorithms, by their JOSE name. */
export const ALGORITHMS: { readonly [alg in JwsAlgorithm]: Algorithm } = {
  ES256: { keyType: 'ec', curve: 'prime256v1', hash: 'sha256', half: 32 },
  ES384: { keyType: 'ec', curve: 'secp384r1', hash: 'sha384', half: 48 },
  ES512: { keyType: 'ec', curve: 'secp521r1', hash: 'sha512', half: 66 },
  EdDSA: { keyType: 'ed25519', hash: null },
  Ed25519: { keyType: 'ed25519', hash: null },
  RS256: { keyType: 'rsa', hash: 'sha256' },
  RS384: { keyType: 'rsa', hash: 'sha384' },
  RS512: { keyType: 'rsa', hash: 'sha512' },
  PS256: { keyType: 'rsa', hash: 'sha256', pss: true },
  PS384: { keyType: 'rsa', hash: 'sha384', pss: true },
  PS512: { keyType: 'rsa', hash: 'sha512', pss: true },
}

/** The nine algorithms SPIFFE allows for JWT-SVID and WIT-SVID. */
export const SPIFFE_ALGORITHMS: ReadonlySet<string> = new Set(
  Object.keys(ALGORITHMS).filter((alg) => !alg.startsWith('Ed')),
)

/** True for the name of an algorithm in the table: asymmetric signatures only. Exact string, no aliases. */
export function isJwsAlgorithm(alg: unknown): alg is JwsAlgorithm {
  return typeof alg === 'string' && Object.hasOwn(ALGORITHMS, alg)
}

/**
 * Checks one signature in JWS form. Malformed signatures are simply false.
 *
 * The bare KeyObject goes to node:crypto, and ECDSA is turned into DER here: options objects
 * cost more than the conversion on Node 24.
 */
export function verifyBytes(alg: JwsAlgorithm, key: KeyObject, data: Uint8Array, signature: Uint8Array): boolean {
  const { keyType, hash, half, pss } = ALGORITHMS[alg]
  try {
    if (half !== undefined) {
      return signature.length === 2 * half && verify(hash, data, key, ecdsaToDer(signature, half))
    }
    // RFC 8017 section 8.1.2: as long as the modulus. OpenSSL takes a shorter one when the first byte would be zero.
    if (keyType === 'rsa' && signature.length * 8 !== key.asymmetricKeyDetails?.modulusLength) return false
    if (pss === true) return verifyPss(hash, data, key, signature)
    return verify(hash, data, key, signature)
  } catch {
    return false
  }
}

// workerd takes no KeyObject beside a padding, and heeds the padding in `createVerify` alone.
function verifyPss(hash: string | null, data: Uint8Array, key: KeyObject, signature: Uint8Array): boolean {
  const how = { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST }
  try {
    return verify(hash, data, { key, ...how }, signature)
  } catch (error) {
    const isUnsupported = error instanceof TypeError && 'code' in error && error.code === 'ERR_INVALID_ARG_TYPE'
    if (!isUnsupported || hash === null) throw error
    const pem = key.export({ type: 'spki', format: 'pem' })
    return createVerify(hash)
      .update(data)
      .verify({ key: pem, ...how }, signature)
  }
}

/** Signs in JWS form. */
export function signBytes(alg: JwsAlgorithm, key: KeyObject, data: Uint8Array): Buffer {
  const { hash, half, pss } = ALGORITHMS[alg]
  if (half !== undefined) return ecdsaFromDer(sign(hash, data, key), half)
  if (pss === true) {
    return sign(hash, data, {
      key,
      padding: constants.RSA_PKCS1_PSS_PADDING,
      saltLength: constants.RSA_PSS_SALTLEN_DIGEST,
    })
  }
  return sign(hash, data, key)
}

/** r and s side by side, each `half` bytes, to SEQUENCE { INTEGER r, INTEGER s }. */
export function ecdsaToDer(signature: Uint8Array, half: number): Buffer {
  const r = integerStart(signature, 0, half)
  const s = integerStart(signature, half, 2 * half)
  const rPad = (signature[r] ?? 0) >> 7
  const sPad = (signature[s] ?? 0) >> 7
  const rLength = half - r + rPad
  const sLength = 2 * half - s + sPad
  const length = rLength + sLength + 4
  const longForm = length > 127 ? 1 : 0
  const der = Buffer.allocUnsafe(length + 2 + longForm)
  let at = 0
  der[at++] = 0x30
  if (longForm === 1) der[at++] = 0x81
  der[at++] = length
  der[at++] = 0x02
  der[at++] = rLength
  if (rPad === 1) der[at++] = 0
  for (let from = r; from < half; from += 1) der[at++] = signature[from] as number
  der[at++] = 0x02
  der[at++] = sLength
  if (sPad === 1) der[at++] = 0
  for (let from = s; from < 2 * half; from += 1) der[at++] = signature[from] as number
  return der
}

// Index of the first byte of an integer without leading zeros; its last byte always stays.
function integerStart(bytes: Uint8Array, from: number, to: number): number {
  let at = from
  while (at < to - 1 && bytes[at] === 0) at += 1
  return at
}

/** DER as OpenSSL makes it, to r and s side by side. */
export function ecdsaFromDer(der: Uint8Array, half: number): Buffer {
  const out = Buffer.alloc(2 * half)
  let at = der[1] === 0x81 ? 3 : 2
  for (const end of [half, 2 * half]) {
    let length = der[at + 1] ?? 0
    let start = at + 2
    at = start + length
    if (der[start] === 0) {
      start += 1
      length -= 1
    }
    for (let from = 0; from < length; from += 1) out[end - length + from] = der[start + from] as number
  }
  return out
}
