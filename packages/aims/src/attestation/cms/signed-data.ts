import { asBuffer } from '../../base/bytes.ts'
import { DerReader, TAG } from '../../base/der.ts'
import { AimsError } from '../../base/errors.ts'
import { berToDer } from './ber.ts'
import { DATA, readSignedAttributes, type SignedAttributes } from './signed-attributes.ts'

/** Which algorithms a source uses together. The identifiers are compared byte for byte: nothing is inferred. */
export interface CmsSuite {
  readonly name: string
  /** DER of the AlgorithmIdentifiers, hex. */
  readonly digestAlgorithm: string
  readonly signatureAlgorithm: string
  readonly hash: 'sha256' | 'sha1'
  readonly keyType: 'rsa' | 'dsa'
}

/** What one source of CMS messages writes. Anything else is refused, also what CMS would allow. */
export interface CmsProfile {
  /** `ber`: indefinite lengths and OCTET STRINGs in pieces are accepted. */
  readonly encoding: 'der' | 'ber'
  readonly suites: readonly CmsSuite[]
  readonly signedAttributes: 'required' | 'absent'
  readonly certificates: 'required' | 'absent'
}

/** A SignedData with one signer and its content inside, read and NOT verified. */
export interface UnverifiedSignedData {
  readonly content: Uint8Array
  /** DER, in the order of the message. */
  readonly certificates: readonly Uint8Array[]
  readonly suite: CmsSuite
  /** DER of the Name. */
  readonly issuer: Uint8Array
  /** Content of the INTEGER. */
  readonly serial: Uint8Array
  readonly signedAttributes?: SignedAttributes
  readonly signature: Uint8Array
}

/** Bytes of a CMS message. */
const MAX_CMS = 16_384
const MAX_CERTIFICATES = 8
const SIGNED_DATA = '1.2.840.113549.1.7.2'

/**
 * Reads a SignedData as its source writes it: version 1 everywhere, content of type data inside, exactly one signer named
 * by issuer and serial number, one of the listed suites, no revocation lists, no unsigned attributes, nothing left over.
 *
 * Does not verify anything.
 *
 * @throws {@link AimsError} `attestation.malformed`, `attestation.unsupported` for algorithms that are not listed,
 *   `attestation.too_large`
 * @see RFC 5652 section 5
 */
export function parseSignedData(bytes: Uint8Array, profile: CmsProfile): UnverifiedSignedData {
  if (bytes.length > MAX_CMS) {
    throw new AimsError('attestation.too_large', `a CMS message of evidence has at most ${MAX_CMS} bytes`)
  }
  try {
    return readContentInfo(profile.encoding === 'ber' ? berToDer(bytes) : bytes, profile)
  } catch (cause) {
    if (!AimsError.is(cause) || !cause.code.startsWith('der.')) throw cause
    throw new AimsError('attestation.malformed', 'the CMS message cannot be read', { cause })
  }
}

function readContentInfo(der: Uint8Array, profile: CmsProfile): UnverifiedSignedData {
  const input = DerReader.of(der, { maxBytes: MAX_CMS })
  const info = input.enter(TAG.sequence)
  input.end()
  if (info.oid() !== SIGNED_DATA) throw malformed('not a SignedData')
  const explicit = info.enter(0xa0)
  info.end()
  const fields = explicit.enter(TAG.sequence)
  explicit.end()

  requireVersion1(fields)
  const digests = fields.enter(TAG.set)
  const digestAlgorithm = digests.element(TAG.sequence)
  digests.end()
  const content = readContent(fields.enter(TAG.sequence))
  const certificates = readCertificates(fields, profile)
  const signers = fields.enter(TAG.set)
  fields.end()
  const signer = signers.enter(TAG.sequence)
  signers.end()
  return { content, certificates, ...readSigner(signer, digestAlgorithm, profile) }
}

function readContent(fields: DerReader): Uint8Array {
  if (fields.oid() !== DATA) throw malformed('the content is not of type data')
  const explicit = fields.enter(0xa0)
  fields.end()
  const content = explicit.octetString()
  explicit.end()
  return content
}

function readCertificates(fields: DerReader, { certificates }: CmsProfile): readonly Uint8Array[] {
  if (fields.nextTag !== 0xa0) {
    if (certificates === 'required') throw malformed('the certificate of the signer is not in the message')
    return []
  }
  if (certificates === 'absent') throw malformed('this source sends no certificates')
  const set = fields.enter(0xa0)
  const list: Uint8Array[] = []
  while (!set.isAtEnd) list.push(set.element(TAG.sequence))
  if (list.length === 0 || list.length > MAX_CERTIFICATES) throw malformed('not 1 to 8 certificates')
  return list
}

type Signer = Omit<UnverifiedSignedData, 'content' | 'certificates'>

function readSigner(fields: DerReader, announced: Uint8Array, profile: CmsProfile): Signer {
  requireVersion1(fields)
  const sid = fields.enter(TAG.sequence)
  const issuer = sid.element(TAG.sequence)
  const serial = sid.integer()
  sid.end()
  const digestAlgorithm = fields.element(TAG.sequence)
  if (!asBuffer(digestAlgorithm).equals(announced)) throw malformed('the digest algorithms differ')
  const attributes = fields.nextTag === 0xa0 ? fields.element(0xa0) : undefined
  if ((attributes === undefined) !== (profile.signedAttributes === 'absent')) {
    throw malformed('signed attributes are there, or are not, otherwise than this source does it')
  }
  const signatureAlgorithm = fields.element(TAG.sequence)
  const signature = fields.octetString()
  fields.end()
  const suite = findSuite(profile, digestAlgorithm, signatureAlgorithm)
  const signer = { suite, issuer, serial, signature }
  if (attributes === undefined) return signer
  return { ...signer, signedAttributes: readSignedAttributes(attributes, digestAlgorithm, signatureAlgorithm) }
}

function findSuite({ suites }: CmsProfile, digestAlgorithm: Uint8Array, signatureAlgorithm: Uint8Array): CmsSuite {
  const digest = asBuffer(digestAlgorithm).toString('hex')
  const signature = asBuffer(signatureAlgorithm).toString('hex')
  const suite = suites.find((one) => one.digestAlgorithm === digest && one.signatureAlgorithm === signature)
  if (suite === undefined) {
    throw new AimsError('attestation.unsupported', 'the algorithms of the CMS message are not those of this source')
  }
  return suite
}

function requireVersion1(fields: DerReader): void {
  if (fields.smallInteger() !== 1) throw malformed('not version 1')
}

function malformed(message: string): AimsError {
  return new AimsError('attestation.malformed', message)
}
