import { asBuffer, decodeBase64, decodeBase64url, decodeUtf8 } from '../base/bytes.ts'
import { AimsError, refuseAs } from '../base/errors.ts'
import { type JsonObject, type JsonValue, parseJsonObject } from '../base/json.ts'

/** Evidence without what tools wrap around it. */
export type Unpacked =
  | { readonly kind: 'binary'; readonly bytes: Uint8Array }
  | { readonly kind: 'json'; readonly object: JsonObject }

const PACKED = /^[0-9A-Za-z+/=_-]+$/
const ARMOUR = /^-----(?:BEGIN|END) [A-Z0-9 ]+-----$/

/**
 * Takes evidence out of its wrapping: a binary as it is, in hex, in base64 or base64url, in PEM whatever its label, with
 * blanks and line ends; or a JSON object. Where several wrappings are thinkable, the one whose content is a binary of this
 * kind is meant.
 *
 * @param isBinary - Whether bytes begin like the binary of the type.
 * @throws {@link AimsError} `attestation.malformed`
 */
export function unpackEvidence(bytes: Uint8Array, isBinary: (bytes: Uint8Array) => boolean): Unpacked {
  if (isBinary(bytes)) return { kind: 'binary', bytes }
  const text = decodeUtf8(bytes)?.trim()
  if (text?.startsWith('{')) {
    const object = refuseAs('attestation.malformed', 'the evidence is not strict JSON', () => parseJsonObject(text))
    return { kind: 'json', object }
  }
  const found = unwrapText(text ?? '').find(isBinary)
  if (found !== undefined) return { kind: 'binary', bytes: found }
  throw new AimsError(
    'attestation.malformed',
    'the evidence is not of this type, nor a wrapping of it: hex, base64, PEM, or JSON where the type has it',
  )
}

/** What a text may be in hex (also with `0x`), base64, base64url or PEM, the narrowest reading first. */
export function unwrapText(text: string): readonly Buffer[] {
  const lines = text.trim().split(/[\r\n]+/)
  const isArmoured = ARMOUR.test(lines[0] ?? '') && ARMOUR.test(lines.at(-1) ?? '')
  const packed = (isArmoured ? lines.slice(1, -1) : lines).join('').replace(/[\t ]/g, '')
  if (!PACKED.test(packed)) return []
  const readings = [decodeHex(packed.replace(/^0x/i, '')), decodeAnyBase64(packed)]
  return readings.filter((one) => one !== undefined)
}

/**
 * A member of JSON evidence that holds bytes: base64 or base64url, padded or not, in its one canonical spelling.
 *
 * @throws {@link AimsError} `attestation.malformed`
 */
export function base64Member(object: JsonObject, name: string): Buffer {
  const value: JsonValue | undefined = object[name]
  const bytes = typeof value === 'string' ? decodeAnyBase64(value) : undefined
  if (bytes === undefined) throw new AimsError('attestation.malformed', `${name} is not bytes in base64`)
  return bytes
}

/**
 * A member of JSON evidence that holds bytes in hex.
 *
 * @throws {@link AimsError} `attestation.malformed`
 */
export function hexMember(value: JsonValue | undefined, name: string): Buffer {
  const bytes = typeof value === 'string' ? decodeHex(value) : undefined
  if (bytes === undefined) throw new AimsError('attestation.malformed', `${name} is not bytes in hex`)
  return bytes
}

/** Lower-case hex. */
export function toHex(bytes: Uint8Array): string {
  return asBuffer(bytes).toString('hex')
}

function decodeAnyBase64(text: string): Buffer | undefined {
  return decodeBase64(text) ?? decodeBase64url(text) ?? decodePaddedBase64url(text)
}

function decodePaddedBase64url(text: string): Buffer | undefined {
  if (text.length % 4 !== 0) return undefined
  return decodeBase64url(text.replace(/={1,2}$/, ''))
}

function decodeHex(text: string): Buffer | undefined {
  return text.length % 2 === 0 && /^[0-9a-fA-F]*$/.test(text) ? Buffer.from(text, 'hex') : undefined
}
