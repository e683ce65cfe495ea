import { DerReader, TAG } from './der.ts'
import { AimsError } from './errors.ts'

/** The names of a SAN extension or of name constraints, by kind. Text is ASCII, exactly as written. */
export interface GeneralNames {
  readonly uris: readonly string[]
  readonly dnsNames: readonly string[]
  readonly emails: readonly string[]
  /** 4 or 16 bytes; in name constraints address and mask, so 8 or 32. */
  readonly ipAddresses: readonly Uint8Array[]
  /** DER of the Name. */
  readonly directoryNames: readonly Uint8Array[]
  /** Tag numbers of kinds that are kept but not understood: 0 otherName, 3 x400, 5 ediParty, 8 registeredID. */
  readonly otherKinds: readonly number[]
}

/** GeneralNames while they are being read. */
export type MutableGeneralNames = { -readonly [kind in keyof GeneralNames]: GeneralNames[kind][number][] }

export function emptyGeneralNames(): MutableGeneralNames {
  return { uris: [], dnsNames: [], emails: [], ipAddresses: [], directoryNames: [], otherKinds: [] }
}

/**
 * Reads one GeneralName into the list of its kind.
 *
 * Does not check the form of the names, only that text is ASCII.
 *
 * @throws {@link AimsError} `der.*`, `x509.invalid_extension`
 * @see RFC 5280 section 4.2.1.6
 */
export function readGeneralName(reader: DerReader, names: MutableGeneralNames): void {
  const tag = reader.nextTag
  if (tag === 0x86) names.uris.push(ascii(reader.content(tag)))
  else if (tag === 0x82) names.dnsNames.push(ascii(reader.content(tag)))
  else if (tag === 0x81) names.emails.push(ascii(reader.content(tag)))
  else if (tag === 0x87) names.ipAddresses.push(reader.content(tag))
  else if (tag === 0xa4) {
    const wrapper = reader.enter(tag)
    names.directoryNames.push(readName(wrapper))
    wrapper.end()
  } else if (tag === 0xa0 || tag === 0xa3 || tag === 0xa5 || tag === 0x88) {
    reader.element(tag)
    names.otherKinds.push(tag & 0x1f)
  } else throw new AimsError('x509.invalid_extension', 'not a GeneralName')
}

/**
 * Reads a distinguished name and returns its DER: names are compared byte for byte.
 *
 * @throws {@link AimsError} `der.*`
 * @see RFC 5280 section 4.1.2.4
 */
export function readName(reader: DerReader): Uint8Array {
  const der = reader.element(TAG.sequence)
  for (const rdn of rdnsOf(der)) {
    const attributes = DerReader.of(rdn).enter(TAG.set)
    do {
      const attribute = attributes.enter(TAG.sequence)
      attribute.content(TAG.oid)
      attribute.element()
      attribute.end()
    } while (!attributes.isAtEnd)
  }
  return der
}

/** The relative distinguished names of a Name, each as DER. */
export function rdnsOf(name: Uint8Array): readonly Uint8Array[] {
  const sequence = DerReader.of(name).enter(TAG.sequence)
  const rdns: Uint8Array[] = []
  while (!sequence.isAtEnd) rdns.push(sequence.element(TAG.set))
  return rdns
}

const DNS_NAME =
  /^(?:\*\.)?(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)*[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?$/
const NUMERIC_LABEL = /(?:^|\.)[0-9]+$/

/** True for a host name in the preferred form, with at most a leading `*.`; not for addresses, underscores, or a final dot. */
export function isDnsName(text: string): boolean {
  return text.length <= 253 && DNS_NAME.test(text) && !NUMERIC_LABEL.test(text)
}

function ascii(bytes: Uint8Array): string {
  let text = ''
  for (const byte of bytes) {
    if (byte > 0x7f) throw new AimsError('x509.invalid_extension', 'a name is not ASCII')
    text += String.fromCharCode(byte)
  }
  return text
}
