import { type DerReader, TAG } from './der.ts'
import { AimsError } from './errors.ts'
import { emptyGeneralNames, type GeneralNames, isDnsName, readGeneralName } from './x509-names.ts'

/** The bits of keyUsage, in the order of RFC 5280 section 4.2.1.3. */
export type KeyUsage =
  | 'digitalSignature'
  | 'nonRepudiation'
  | 'keyEncipherment'
  | 'dataEncipherment'
  | 'keyAgreement'
  | 'keyCertSign'
  | 'cRLSign'
  | 'encipherOnly'
  | 'decipherOnly'

const KEY_USAGES: readonly KeyUsage[] = [
  'digitalSignature',
  'nonRepudiation',
  'keyEncipherment',
  'dataEncipherment',
  'keyAgreement',
  'keyCertSign',
  'cRLSign',
  'encipherOnly',
  'decipherOnly',
]

/** The extensions of one certificate that are understood here. */
export interface Extensions {
  basicConstraints?: { readonly critical: boolean; readonly ca: boolean; readonly pathLength?: number }
  keyUsage?: { readonly critical: boolean; readonly usages: ReadonlySet<KeyUsage> }
  /** OIDs. */
  extendedKeyUsage?: { readonly critical: boolean; readonly purposes: readonly string[] }
  subjectAltName?: { readonly critical: boolean; readonly names: GeneralNames }
  nameConstraints?: {
    readonly critical: boolean
    readonly permitted?: GeneralNames
    readonly excluded?: GeneralNames
  }
  subjectKeyId?: Uint8Array
  /** Present also when the extension has no key identifier: then empty. */
  authorityKeyId?: Uint8Array
  /** OIDs of critical extensions that nobody here understands. */
  readonly unknownCritical: string[]
}

type Read = (value: DerReader, critical: boolean, into: Extensions) => void

const READERS = new Map<string, Read>([
  ['2.5.29.14', readSubjectKeyId],
  ['2.5.29.15', readKeyUsage],
  ['2.5.29.17', readSubjectAltName],
  ['2.5.29.19', readBasicConstraints],
  ['2.5.29.30', readNameConstraints],
  ['2.5.29.35', readAuthorityKeyId],
  ['2.5.29.37', readExtendedKeyUsage],
])

// policyConstraints and inhibitAnyPolicy are critical by definition (RFC 5280 sections 4.2.1.11, 4.2.1.14), and not processed.
const ALWAYS_CRITICAL = new Set(['2.5.29.36', '2.5.29.54'])

/**
 * Reads the list of extensions: each at most once, the known ones in full, unknown critical ones remembered.
 *
 * @throws {@link AimsError} `der.*`, `x509.invalid_extension`
 * @see RFC 5280 section 4.2
 */
export function readExtensions(list: DerReader): Extensions {
  const extensions: Extensions = { unknownCritical: [] }
  const seen = new Set<string>()
  do {
    const one = list.enter(TAG.sequence)
    const oid = one.oid()
    if (seen.has(oid)) throw invalid('an extension is repeated')
    seen.add(oid)
    const critical = readDefaultFalse(one)
    const read = READERS.get(oid)
    if (read !== undefined) {
      const value = one.enterOctetString()
      read(value, critical, extensions)
      value.end()
    } else {
      one.octetString()
      if (critical || ALWAYS_CRITICAL.has(oid)) extensions.unknownCritical.push(oid)
    }
    one.end()
  } while (!list.isAtEnd)
  return extensions
}

function readBasicConstraints(value: DerReader, critical: boolean, into: Extensions): void {
  const fields = value.enter(TAG.sequence)
  const ca = readDefaultFalse(fields)
  const pathLength = fields.isAtEnd ? undefined : fields.smallInteger()
  fields.end()
  // RFC 5280 section 4.2.1.9.
  if (!ca && pathLength !== undefined) throw invalid('a path length without CA')
  into.basicConstraints = { critical, ca, ...(pathLength === undefined ? {} : { pathLength }) }
}

function readKeyUsage(value: DerReader, critical: boolean, into: Extensions): void {
  const { bytes, unusedBits } = value.bitString()
  const last = bytes.at(-1)
  // Named bits are without trailing zeros (X.690 section 11.2.2), and at least one must be set.
  if (last === undefined || bytes.length > 2 || ((last >> unusedBits) & 1) === 0) throw invalid('keyUsage is malformed')
  const usages = new Set<KeyUsage>()
  KEY_USAGES.forEach((usage, bit) => {
    if ((((bytes[bit >> 3] ?? 0) << (bit & 7)) & 0x80) !== 0) usages.add(usage)
  })
  into.keyUsage = { critical, usages }
}

function readExtendedKeyUsage(value: DerReader, critical: boolean, into: Extensions): void {
  const list = value.enter(TAG.sequence)
  const purposes: string[] = []
  while (!list.isAtEnd) purposes.push(list.oid())
  if (purposes.length === 0) throw invalid('extended key usage is empty')
  into.extendedKeyUsage = { critical, purposes }
}

function readSubjectAltName(value: DerReader, critical: boolean, into: Extensions): void {
  const list = value.enter(TAG.sequence)
  if (list.isAtEnd) throw invalid('the subject alternative name is empty')
  const names = emptyGeneralNames()
  while (!list.isAtEnd) readGeneralName(list, names)
  if (!names.dnsNames.every(isDnsName)) throw invalid('a DNS name is malformed')
  if (!names.emails.every(isEmail)) throw invalid('an email address is malformed')
  if (!names.ipAddresses.every(({ length }) => length === 4 || length === 16)) throw invalid('not an IP address')
  into.subjectAltName = { critical, names }
}

function readNameConstraints(value: DerReader, critical: boolean, into: Extensions): void {
  const fields = value.enter(TAG.sequence)
  const permitted = fields.nextTag === 0xa0 ? readSubtrees(fields.enter(0xa0)) : undefined
  const excluded = fields.nextTag === 0xa1 ? readSubtrees(fields.enter(0xa1)) : undefined
  fields.end()
  if (permitted === undefined && excluded === undefined) throw invalid('name constraints are empty')
  into.nameConstraints = {
    critical,
    ...(permitted === undefined ? {} : { permitted }),
    ...(excluded === undefined ? {} : { excluded }),
  }
}

// minimum and maximum do not occur in this profile (RFC 5280 section 4.2.1.10): the subtree is its base alone.
function readSubtrees(list: DerReader): GeneralNames {
  const names = emptyGeneralNames()
  do {
    const subtree = list.enter(TAG.sequence)
    readGeneralName(subtree, names)
    subtree.end()
  } while (!list.isAtEnd)
  return names
}

function readSubjectKeyId(value: DerReader, critical: boolean, into: Extensions): void {
  if (critical) throw invalid('the subject key identifier is critical')
  into.subjectKeyId = value.octetString()
}

function readAuthorityKeyId(value: DerReader, critical: boolean, into: Extensions): void {
  if (critical) throw invalid('the authority key identifier is critical')
  const fields = value.enter(TAG.sequence)
  const id = fields.nextTag === 0x80 ? fields.content(0x80) : new Uint8Array()
  // Issuer and serial number are allowed and ignored: the identifier is a hint only.
  if (fields.nextTag === 0xa1) fields.element(0xa1)
  if (fields.nextTag === 0x82) fields.content(0x82)
  fields.end()
  into.authorityKeyId = id
}

// BOOLEAN DEFAULT FALSE: DER leaves the default out (X.690 section 11.5).
function readDefaultFalse(fields: DerReader): boolean {
  if (fields.nextTag !== TAG.boolean) return false
  if (!fields.boolean()) throw new AimsError('der.malformed', 'a default value is written out')
  return true
}

/** One `@`, printable on both sides. Quoted local parts are not known here. */
function isEmail(text: string): boolean {
  return /^[!-?A-~]+@[!-?A-~]+$/.test(text)
}

function invalid(message: string): AimsError {
  return new AimsError('x509.invalid_extension', message)
}
