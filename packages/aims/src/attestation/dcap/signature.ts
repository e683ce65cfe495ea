import { type KeyObject, verify } from 'node:crypto'
import { asBuffer } from '../../base/bytes.ts'
import { publicKeyFromSpki } from '../../base/spki.ts'

const SPKI_P256 = Buffer.from('3059301306072a8648ce3d020106082a8648ce3d03010703420004', 'hex')

/** A key from its point on P-256 (x and y, 64 bytes); `undefined` for a point off the curve. */
export function p256Key(point: Uint8Array): KeyObject | undefined {
  return publicKeyFromSpki(Buffer.concat([SPKI_P256, point]))
}

/** True when a P-256 key made this signature (r and s, 64 bytes) with SHA-256. Never throws. */
export function verifyP256(key: KeyObject, data: Uint8Array, signature: Uint8Array): boolean {
  if (key.asymmetricKeyType !== 'ec' || key.asymmetricKeyDetails?.namedCurve !== 'prime256v1') return false
  try {
    return verify('sha256', data, { key, dsaEncoding: 'ieee-p1363' }, signature)
  } catch {
    return false
  }
}

/** Lower-case hex. */
export function hex(bytes: Uint8Array): string {
  return asBuffer(bytes).toString('hex')
}
