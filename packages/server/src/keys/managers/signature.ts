import { type KeyObject, verify } from 'node:crypto'
import type { ManagedAlgorithm } from './key-manager.ts'

/** What belongs to each algorithm. */
export const CURVES: {
  readonly [alg in ManagedAlgorithm]: {
    readonly hash: 'sha256' | 'sha384'
    readonly curve: string
    /** Bytes of r, and of s. */
    readonly half: number
    /** Of the curve, whole DER element. */
    readonly oid: Buffer
  }
} = {
  ES256: { hash: 'sha256', curve: 'prime256v1', half: 32, oid: Buffer.from('06082a8648ce3d030107', 'hex') },
  ES384: { hash: 'sha384', curve: 'secp384r1', half: 48, oid: Buffer.from('06052b81040022', 'hex') },
}

/** True when `signature` (JWS form) is one of `data` under this key. */
export function isSignatureOf(alg: ManagedAlgorithm, key: KeyObject, data: Uint8Array, signature: Uint8Array): boolean {
  const { hash, half, curve } = CURVES[alg]
  if (signature.length !== 2 * half || key.asymmetricKeyDetails?.namedCurve !== curve) return false
  return verify(hash, data, { key, dsaEncoding: 'ieee-p1363' }, signature)
}
