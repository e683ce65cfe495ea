import { type KeyObject, randomFillSync } from 'node:crypto'
import { ALGORITHMS, ecdsaToDer } from '../../base/algorithms.ts'
import { asBuffer, sha256 } from '../../base/bytes.ts'
import { DerReader, TAG } from '../../base/der.ts'
import { DerWriter, encodeOid, encodeTime } from '../../base/der-writer.ts'
import { AimsError } from '../../base/errors.ts'
import { type Signer, spkiBytes } from '../../base/keys.ts'
import { readPublicKeyInfo, signatureAlgorithmDer } from '../../base/x509-algorithms.ts'
import { parseCertificate } from '../../base/x509-certificate.ts'
import { isSignedBy } from '../../base/x509-path.ts'

/** Everything a certificate says, in DER, but the signature. */
export interface CertificateContent {
  readonly serialNumber: Uint8Array
  readonly issuer: Uint8Array
  readonly subject: Uint8Array
  /** Seconds since the epoch, whole. */
  readonly notBefore: number
  readonly notAfter: number
  readonly spki: Uint8Array
  /** Writes the extensions, last one first. */
  readonly writeExtensions: (writer: DerWriter) => void
}

const VERSION_3 = Uint8Array.of(0xa0, 3, TAG.integer, 1, 2)

// Reused: everything between its first write and `take` is synchronous.
const writer = new DerWriter()

/**
 * Writes and signs one certificate.
 *
 * A signature that came with a promise was made elsewhere (KMS, HSM): it is verified before anyone sees it.
 *
 * @throws {@link AimsError} `key.unsupported` for RSASSA-PSS signers, `x509.invalid_signature`
 */
export async function signCertificate(content: CertificateContent, signer: Signer): Promise<Uint8Array> {
  const algorithm = requireSignatureAlgorithm(signer)
  const tbs = writeTbs(content, algorithm)
  const made = signer.sign(tbs)
  const local = made instanceof Uint8Array
  const raw = local ? made : await made
  const { half } = ALGORITHMS[signer.alg]
  const certificate = assemble(tbs, algorithm, half === undefined ? raw : ecdsaToDer(raw, half))
  if (!local) requireOwnSignature(certificate, signer)
  return certificate
}

/** @throws {@link AimsError} `key.unsupported` */
export function requireSignatureAlgorithm(signer: Signer): Uint8Array {
  const algorithm = signatureAlgorithmDer(signer.alg)
  if (algorithm === undefined) throw new AimsError('key.unsupported', 'certificates are not signed with this algorithm')
  return algorithm
}

function writeTbs(content: CertificateContent, algorithm: Uint8Array): Uint8Array {
  const tbs = writer.mark()
  content.writeExtensions(writer)
  writer.wrap(TAG.sequence, tbs)
  writer.wrap(0xa3, tbs)
  writer.raw(content.spki)
  writer.raw(content.subject)
  const validity = writer.mark()
  writer.raw(encodeTime(content.notAfter))
  writer.raw(encodeTime(content.notBefore))
  writer.wrap(TAG.sequence, validity)
  writer.raw(content.issuer)
  writer.raw(algorithm)
  writer.element(TAG.integer, content.serialNumber)
  writer.raw(VERSION_3)
  writer.wrap(TAG.sequence, tbs)
  return writer.take()
}

function assemble(tbs: Uint8Array, algorithm: Uint8Array, signature: Uint8Array): Uint8Array {
  const certificate = writer.mark()
  writer.octets(signature)
  writer.raw(algorithm)
  writer.raw(tbs)
  writer.wrap(TAG.sequence, certificate)
  return writer.take()
}

function requireOwnSignature(der: Uint8Array, signer: Signer): void {
  const certificate = parseCertificate(der)
  if (!isSignedBy(certificate, { subjectPublicKey: signer.publicKey })) {
    throw new AimsError('x509.invalid_signature', 'the signer returned a signature that does not verify')
  }
}

/** A key to be certified. */
export interface SubjectKey {
  readonly spki: Uint8Array
  /** The first 20 bytes of SHA-256 over the key bits (RFC 7093 section 2, method 1). */
  readonly keyId: Uint8Array
}

/** Reads the key to be certified. @throws {@link AimsError} `x509.weak_key`, `key.malformed` */
export function readSubjectKey(publicKey: KeyObject | Uint8Array): SubjectKey {
  const spki = publicKey instanceof Uint8Array ? publicKey : spkiBytes(publicKey)
  const { type, key } = readKeyInfo(spki)
  if (type === 'unsupported') {
    throw new AimsError('x509.weak_key', 'supported are P-256, P-384, P-521, Ed25519 and RSA of 2048 to 4096 bits')
  }
  return { spki, keyId: sha256(key).subarray(0, 20) }
}

function readKeyInfo(spki: Uint8Array): ReturnType<typeof readPublicKeyInfo> {
  try {
    const reader = DerReader.of(spki)
    const info = readPublicKeyInfo(reader)
    reader.end()
    return info
  } catch (cause) {
    if (!AimsError.is(cause)) throw cause
    throw new AimsError('key.malformed', 'not a SubjectPublicKeyInfo', { cause })
  }
}

/** One extension. */
export function writeExtension(to: DerWriter, oid: Uint8Array, critical: boolean, value: () => void): void {
  const extension = to.mark()
  value()
  to.wrap(TAG.octetString, extension)
  if (critical) to.raw(CRITICAL)
  to.raw(oid)
  to.wrap(TAG.sequence, extension)
}

const CRITICAL = Uint8Array.of(TAG.boolean, 1, 0xff)

type OidName =
  | 'subjectKeyId'
  | 'keyUsage'
  | 'subjectAltName'
  | 'basicConstraints'
  | 'authorityKeyId'
  | 'extendedKeyUsage'
  | 'organization'
  | 'commonName'
  | 'serverAuth'
  | 'clientAuth'

/** Object identifiers, as whole elements. */
export const OID: { readonly [name in OidName]: Uint8Array } = {
  subjectKeyId: encodeOid('2.5.29.14'),
  keyUsage: encodeOid('2.5.29.15'),
  subjectAltName: encodeOid('2.5.29.17'),
  basicConstraints: encodeOid('2.5.29.19'),
  authorityKeyId: encodeOid('2.5.29.35'),
  extendedKeyUsage: encodeOid('2.5.29.37'),
  organization: encodeOid('2.5.4.10'),
  commonName: encodeOid('2.5.4.3'),
  serverAuth: encodeOid('1.3.6.1.5.5.7.3.1'),
  clientAuth: encodeOid('1.3.6.1.5.5.7.3.2'),
}

/** subjectKeyIdentifier. */
export function writeSubjectKeyId(to: DerWriter, keyId: Uint8Array): void {
  writeExtension(to, OID.subjectKeyId, false, () => to.element(TAG.octetString, keyId))
}

/** authorityKeyIdentifier with the key identifier alone. */
export function writeAuthorityKeyId(to: DerWriter, keyId: Uint8Array): void {
  writeExtension(to, OID.authorityKeyId, false, () => {
    const fields = to.mark()
    to.element(0x80, keyId)
    to.wrap(TAG.sequence, fields)
  })
}

/** subjectAltName: the URI first, then host names. */
export function writeSubjectAltName(
  to: DerWriter,
  critical: boolean,
  uri: string,
  dnsNames: readonly string[] = [],
): void {
  writeExtension(to, OID.subjectAltName, critical, () => {
    const names = to.mark()
    for (const name of dnsNames.toReversed()) to.ascii(0x82, name)
    to.ascii(0x86, uri)
    to.wrap(TAG.sequence, names)
  })
}

const SERIAL_BYTES = 16
const randomness = Buffer.alloc(8192)
let used = randomness.length

/**
 * A serial number with 128 random bits, as the content of an INTEGER. The fixed first byte makes it positive and of one
 * length. Randomness is drawn in blocks.
 */
export function randomSerialNumber(): Uint8Array {
  if (used === randomness.length) {
    randomFillSync(randomness)
    used = 0
  }
  const serial = new Uint8Array(1 + SERIAL_BYTES)
  serial[0] = 1
  serial.set(randomness.subarray(used, used + SERIAL_BYTES), 1)
  used += SERIAL_BYTES
  return serial
}

/** Lower-case hex of a serial number. */
export function serialNumberText(serial: Uint8Array): string {
  return asBuffer(serial).toString('hex')
}

/** Refuses times that no certificate can carry. @throws TypeError */
export function requireValidity(notBefore: number, notAfter: number): void {
  const encodable = (time: number): boolean => Number.isSafeInteger(time) && time >= 0 && time <= 253_402_300_799
  if (!encodable(notBefore) || !encodable(notAfter) || notAfter <= notBefore) {
    throw new TypeError('notBefore and notAfter are whole seconds since the epoch, in this order')
  }
}
