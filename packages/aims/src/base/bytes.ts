import { hash, timingSafeEqual } from 'node:crypto'

/**
 * Decodes canonical unpadded base64url, or returns `undefined`.
 *
 * Canonical is what encoding gives back: decoders of the platform skip what they do not know, and two spellings of
 * one token must not exist.
 */
export function decodeBase64url(text: string): Buffer | undefined {
  const bytes = Buffer.from(text, 'base64url')
  return bytes.toString('base64url') === text ? bytes : undefined
}

/**
 * As {@link decodeBase64url}, to text where the bytes are plainly UTF-8, and else to them: for parsers, which want text.
 * To make a Buffer costs several times as much as to fill one.
 */
export function decodeBase64urlText(text: string): string | Buffer | undefined {
  if (text.length > scratch.length) return decodeBase64url(text)
  const length = scratch.write(text, 'base64url')
  if (scratch.toString('base64url', 0, length) !== text) return undefined
  const decoded = scratch.toString('utf8', 0, length)
  return decoded.includes(REPLACEMENT) ? decodeBase64url(text) : decoded
}

// Synchronous, so one per thread is enough.
const scratch = Buffer.allocUnsafeSlow(8192)
/** What bytes that are not UTF-8 become, and only they and itself. */
const REPLACEMENT = '\ufffd'

/** Decodes canonical padded standard base64, or returns `undefined`. */
export function decodeBase64(text: string): Buffer | undefined {
  const bytes = Buffer.from(text, 'base64')
  return bytes.toString('base64') === text ? bytes : undefined
}

/** Encodes as unpadded base64url. */
export function encodeBase64url(bytes: Uint8Array): string {
  return asBuffer(bytes).toString('base64url')
}

/** Encodes text, as UTF-8, as unpadded base64url. */
export function encodeTextBase64url(text: string): string {
  // No letter takes more than three bytes.
  if (text.length * 3 > scratch.length) return Buffer.from(text).toString('base64url')
  return scratch.toString('base64url', 0, scratch.write(text))
}

/** SHA-256 of text (as UTF-8) or bytes, as base64url: the form of `wth`, `ath`, `tth` and thumbprints. */
export function sha256Base64url(data: string | Uint8Array): string {
  return hash('sha256', data, 'base64url')
}

/** SHA-256 of text (as UTF-8) or bytes. */
export function sha256(data: string | Uint8Array): Buffer {
  return hash('sha256', data, 'buffer')
}

/** Compares without telling by its time where the difference is. Different lengths are simply different. */
export function equalConstantTime(a: string | Uint8Array, b: string | Uint8Array): boolean {
  const left = typeof a === 'string' ? Buffer.from(a) : a
  const right = typeof b === 'string' ? Buffer.from(b) : b
  return left.length === right.length && timingSafeEqual(left, right)
}

/** The same bytes as a Buffer, without copying. */
export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

/** Decodes strict UTF-8, or returns `undefined` for bytes that are not. A byte order mark is kept, and so refused by parsers. */
export function decodeUtf8(bytes: Uint8Array): string | undefined {
  try {
    return UTF8.decode(bytes)
  } catch {
    return undefined
  }
}

const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
