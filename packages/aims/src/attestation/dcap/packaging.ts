import { decodeBase64 } from '../../base/bytes.ts'
import { AimsError } from '../../base/errors.ts'
import { unpackEvidence } from '../packaging.ts'

/** A quote, and the event log of the guest where it was sent along. */
export interface DcapEvidence {
  readonly quote: Uint8Array
  readonly eventLog?: Uint8Array
}

/**
 * Unpacks evidence: a quote as it is, in hex, in base64 or in PEM; or JSON `{"quote": base64, "eventLog": base64}`, where
 * the event log (CCEL) may be absent.
 *
 * @throws {@link AimsError} `attestation.malformed`
 */
export function unpackQuote(bytes: Uint8Array): DcapEvidence {
  const unpacked = unpackEvidence(bytes, looksLikeQuote)
  if (unpacked.kind === 'binary') return { quote: unpacked.bytes }
  const { quote, eventLog, ...others } = unpacked.object
  if (Object.keys(others).length > 0) throw malformed()
  const log = eventLog === undefined ? {} : { eventLog: base64(eventLog) }
  return { quote: base64(quote), ...log }
}

// Versions 3, 4 and 5, little-endian: no text begins so.
function looksLikeQuote(bytes: Uint8Array): boolean {
  return bytes[1] === 0
}

function base64(value: unknown): Buffer {
  const bytes = typeof value === 'string' ? decodeBase64(value) : undefined
  if (bytes === undefined) throw malformed()
  return bytes
}

function malformed(): AimsError {
  return new AimsError('attestation.malformed', 'JSON evidence has the members quote and eventLog, in base64')
}
