import { decodeBase64, decodeUtf8 } from '../../base/bytes.ts'
import { AimsError, refuseAs } from '../../base/errors.ts'
import { parseJsonObject } from '../../base/json.ts'

/** A quote, and the event log of the guest where it was sent along. */
export interface DcapEvidence {
  readonly quote: Uint8Array
  readonly eventLog?: Uint8Array
}

const TEXT = /^[0-9A-Za-z+/=\t\n\r ]+$/

/**
 * Unpacks evidence: a quote as it is, in hex or in base64; or JSON `{"quote": base64, "eventLog": base64}`, where the
 * event log (CCEL) may be absent.
 *
 * @throws {@link AimsError} `attestation.malformed`
 */
export function unpackEvidence(bytes: Uint8Array): DcapEvidence {
  // Versions 3, 4 and 5, little-endian: no text begins so.
  if (bytes[1] === 0) return { quote: bytes }
  const text = decodeUtf8(bytes)?.trim()
  if (text === undefined) throw malformed()
  if (text.startsWith('{')) return unpackJson(text)
  if (!TEXT.test(text)) throw malformed()
  const packed = text.replace(/[\t\n\r ]/g, '')
  const isHex = packed.length % 2 === 0 && /^0[345]00[0-9a-fA-F]*$/.test(packed)
  const quote = isHex ? Buffer.from(packed, 'hex') : decodeBase64(packed)
  if (quote === undefined) throw malformed()
  return { quote }
}

function unpackJson(text: string): DcapEvidence {
  const object = refuseAs('attestation.malformed', 'the evidence is not strict JSON', () => parseJsonObject(text))
  const { quote, eventLog, ...others } = object
  if (Object.keys(others).length > 0) throw malformed()
  const log = eventLog === undefined ? {} : { eventLog: base64(eventLog) }
  return { quote: base64(quote), ...log }
}

function base64(value: unknown): Buffer {
  const bytes = typeof value === 'string' ? decodeBase64(value) : undefined
  if (bytes === undefined) throw malformed()
  return bytes
}

function malformed(): AimsError {
  return new AimsError('attestation.malformed', 'the evidence is neither a quote nor a packaging of one')
}
