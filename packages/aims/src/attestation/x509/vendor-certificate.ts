import type { KeyObject } from 'node:crypto'
import { asBuffer, sha256 } from '../../base/bytes.ts'
import { DerReader, TAG } from '../../base/der.ts'
import { AimsError, refuseAs } from '../../base/errors.ts'
import { parsePem } from '../../base/pem.ts'
import { publicKeyFromSpki } from '../../base/spki.ts'
import { readVendorTime } from './time.ts'

/** One extension, not taken apart. */
export interface VendorExtension {
  readonly critical: boolean
  /** Content of the OCTET STRING: usually DER, but not always. */
  readonly value: Uint8Array
}

/**
 * A certificate of a hardware or cloud vendor that has been read and NOT verified. Vendors break the profile of RFC 5280
 * in ways that SVIDs may not (long serial numbers, padded bit strings, early GeneralizedTime), so this reader looks only
 * at what their chains rest on; structure and lengths stay strict DER.
 */
export interface VendorCertificate {
  readonly raw: Uint8Array
  readonly tbs: Uint8Array
  readonly version: 1 | 2 | 3
  /** Content of the INTEGER, as written. */
  readonly serial: Uint8Array
  /** AlgorithmIdentifier, DER; the inner and the outer one are equal. */
  readonly signatureAlgorithm: Uint8Array
  readonly signature: Uint8Array
  /** DER of the Name. */
  readonly issuer: Uint8Array
  /** DER of the Name. */
  readonly subject: Uint8Array
  /** Seconds since the epoch. */
  readonly notBefore: number
  /** Seconds since the epoch. */
  readonly notAfter: number
  /** SubjectPublicKeyInfo, DER. */
  readonly spki: Uint8Array
  readonly extensions: ReadonlyMap<string, VendorExtension>
  /** SHA-256 of the DER, lower-case hex. */
  readonly fingerprint: string
}

const MAX_CERTIFICATE = 16_384

/**
 * Reads one certificate from DER, at most 16 KiB. Does not verify anything.
 *
 * @throws {@link AimsError} `attestation.malformed`
 */
export function parseVendorCertificate(der: Uint8Array): VendorCertificate {
  return refuseAs('attestation.malformed', 'a certificate of the evidence cannot be read', () => read(der))
}

/**
 * Reads all certificates of a PEM text or of concatenated DER, in order. A trailing NUL, as DCAP quotes have it, ends it.
 *
 * @throws {@link AimsError} `attestation.malformed`
 */
export function parseVendorCertificates(bytes: Uint8Array): readonly VendorCertificate[] {
  if (bytes[0] === TAG.sequence) return splitDer(bytes).map(parseVendorCertificate)
  const nul = bytes.indexOf(0)
  const text = asBuffer(nul === -1 ? bytes : bytes.subarray(0, nul)).toString('latin1')
  const blocks = refuseAs('attestation.malformed', 'not certificates in PEM', () => parsePem(text))
  return blocks.filter(({ label }) => label === 'CERTIFICATE').map((block) => parseVendorCertificate(block.bytes))
}

/**
 * The public key of a certificate.
 *
 * @throws {@link AimsError} `attestation.weak_key` for a key that OpenSSL refuses
 */
export function vendorPublicKey(certificate: VendorCertificate): KeyObject {
  const known = KEYS.get(certificate)
  if (known !== undefined) return known
  const key = publicKeyFromSpki(certificate.spki)
  if (key === undefined) throw new AimsError('attestation.weak_key', 'a certificate holds an unusable key')
  KEYS.set(certificate, key)
  return key
}

// Making a key costs nearly as much as a signature, and one check of a chain asks for it several times.
const KEYS = new WeakMap<VendorCertificate, KeyObject>()

/** The values of one attribute of a Name, e.g. `2.5.4.3` for the common name, as text. */
export function nameAttributes(name: Uint8Array, oid: string): readonly string[] {
  const values: string[] = []
  const rdns = DerReader.of(name).enter(TAG.sequence)
  while (!rdns.isAtEnd) {
    const attributes = rdns.enter(TAG.set)
    while (!attributes.isAtEnd) {
      const attribute = attributes.enter(TAG.sequence)
      const type = attribute.oid()
      const value = attribute.content(attribute.nextTag)
      attribute.end()
      if (type === oid) values.push(asBuffer(value).toString('utf8'))
    }
  }
  return values
}

/** OID of the common name. */
export const COMMON_NAME = '2.5.4.3'

function splitDer(bytes: Uint8Array): readonly Uint8Array[] {
  return refuseAs('attestation.malformed', 'not concatenated DER', () => {
    const list: Uint8Array[] = []
    const input = DerReader.of(bytes)
    while (!input.isAtEnd) list.push(input.element(TAG.sequence))
    return list
  })
}

function read(der: Uint8Array): VendorCertificate {
  const raw = new Uint8Array(der)
  const input = DerReader.of(raw, { maxBytes: MAX_CERTIFICATE })
  const outer = input.enter(TAG.sequence)
  input.end()
  const tbs = outer.element(TAG.sequence)
  const signatureAlgorithm = outer.element(TAG.sequence)
  const signature = outer.octets()
  outer.end()

  const fields = DerReader.of(tbs).enter(TAG.sequence)
  const version = readVersion(fields)
  const serial = fields.integer()
  if (serial.length > 21) throw malformed('a serial number is too long')
  if (!asBuffer(fields.element(TAG.sequence)).equals(signatureAlgorithm)) throw malformed('the algorithms differ')
  const issuer = fields.element(TAG.sequence)
  const validity = fields.enter(TAG.sequence)
  const notBefore = readVendorTime(validity)
  const notAfter = readVendorTime(validity)
  validity.end()
  const subject = fields.element(TAG.sequence)
  const spki = fields.element(TAG.sequence)
  if (version > 1 && fields.nextTag === 0x81) fields.bitString(0x81)
  if (version > 1 && fields.nextTag === 0x82) fields.bitString(0x82)
  const extensions = version === 3 && fields.nextTag === 0xa3 ? readExtensions(fields) : new Map()
  fields.end()
  return {
    raw,
    tbs,
    version,
    serial,
    signatureAlgorithm,
    signature,
    issuer,
    subject,
    notBefore,
    notAfter,
    spki,
    extensions,
    fingerprint: sha256(raw).toString('hex'),
  }
}

function readVersion(fields: DerReader): 1 | 2 | 3 {
  if (fields.nextTag !== 0xa0) return 1
  const explicit = fields.enter(0xa0)
  const version = explicit.smallInteger()
  explicit.end()
  if (version !== 1 && version !== 2) throw malformed('not a version of X.509')
  return version === 1 ? 2 : 3
}

/** Reads `[n] EXPLICIT SEQUENCE OF Extension`, each at most once. */
export function readExtensions(fields: DerReader): ReadonlyMap<string, VendorExtension> {
  const explicit = fields.enter(fields.nextTag)
  const list = explicit.enter(TAG.sequence)
  explicit.end()
  const extensions = new Map<string, VendorExtension>()
  while (!list.isAtEnd) {
    const one = list.enter(TAG.sequence)
    const oid = one.oid()
    const critical = one.nextTag === TAG.boolean ? one.boolean() : false
    const value = one.octetString()
    one.end()
    if (extensions.has(oid)) throw malformed('an extension is repeated')
    extensions.set(oid, { critical, value })
  }
  return extensions
}

function malformed(message: string): AimsError {
  return new AimsError('attestation.malformed', message)
}
