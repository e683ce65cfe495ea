import { AimsError } from '../../base/errors.ts'
import { unpackEvidence } from '../packaging.ts'

/**
 * Takes a CMS message out of what platforms and tools pack it in: the bytes themselves, base64 on one or many lines,
 * PEM, or hex. Does not look into it.
 *
 * @throws {@link AimsError} `attestation.malformed`
 */
export function unpackCms(bytes: Uint8Array): Uint8Array {
  const unpacked = unpackEvidence(bytes, looksLikeCms)
  if (unpacked.kind === 'binary') return unpacked.bytes
  throw new AimsError('attestation.malformed', 'not a CMS message in DER, base64, PEM or hex')
}

// A SEQUENCE with a long or an indefinite length: no text begins so.
function looksLikeCms(bytes: Uint8Array): boolean {
  return bytes[0] === 0x30 && (bytes[1] ?? 0) >= 0x80
}
