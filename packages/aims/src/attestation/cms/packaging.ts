import { asBuffer, decodeBase64 } from '../../base/bytes.ts'
import { AimsError } from '../../base/errors.ts'

const ARMOUR = /^-----(?:BEGIN|END) (?:PKCS7|CMS)-----$/
const HEX = /^(?:[0-9a-f]{2})+$/i

/**
 * Takes a CMS message out of what platforms and tools pack it in: the bytes themselves, base64 on one or many lines,
 * PEM, or hex. Does not look into it.
 *
 * @throws {@link AimsError} `attestation.malformed`
 */
export function unpackCms(bytes: Uint8Array): Uint8Array {
  // A SEQUENCE with a long or an indefinite length: no text begins so.
  if (bytes[0] === 0x30 && (bytes[1] ?? 0) >= 0x80) return bytes
  const text = asBuffer(bytes)
    .toString('latin1')
    .split(/[\r\n]+/)
    .filter((line) => !ARMOUR.test(line))
    .join('')
    .trim()
  const unpacked = HEX.test(text) ? Buffer.from(text, 'hex') : decodeBase64(text)
  if (unpacked === undefined || unpacked.length === 0) {
    throw new AimsError('attestation.malformed', 'not a CMS message in DER, base64, PEM or hex')
  }
  return unpacked
}
