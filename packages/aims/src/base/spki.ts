import { createPublicKey, type KeyObject } from 'node:crypto'
import { asBuffer } from './bytes.ts'

/**
 * Makes a key of a SubjectPublicKeyInfo in DER, or returns `undefined` when OpenSSL refuses it, e.g. a point off its
 * curve. Does not check its kind or size.
 *
 * It goes in as PEM text: on Node 24 an options object with the DER costs twice as much.
 */
export function publicKeyFromSpki(der: Uint8Array): KeyObject | undefined {
  try {
    return createPublicKey(`-----BEGIN PUBLIC KEY-----\n${asBuffer(der).toString('base64')}\n-----END PUBLIC KEY-----`)
  } catch {
    return undefined
  }
}
