import { randomFillSync } from 'node:crypto'
import { ALGORITHMS, ecdsaToDer, verifyBytes } from '../../base/algorithms.ts'
import { sha256 } from '../../base/bytes.ts'
import { TAG } from '../../base/der.ts'
import { DerWriter, encodeOid, encodeTime } from '../../base/der-writer.ts'
import { AimsError } from '../../base/errors.ts'
import { type PublicKey, type Signer, spkiBytes } from '../../base/keys.ts'
import { readPublicKeyInfo, signatureAlgorithmDer } from '../../base/x509-algorithms.ts'

/** Everything a certificate says, in DER, but the signature. */
export interface CertificateContent {
  readonly serialNumber: SerialNumber
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

// Reused, one for what is signed and one for the whole: nothing is left in them across an await.
const tbsWriter = new DerWriter()
const writer = new DerWriter()

/**
 * Writes and signs one certificate.
 *
 * A signature that came with a promise was made elsewhere (KMS, HSM): it is verified before anyone sees it.
 *
 * @throws {@link AimsError} `key.unsupported` for RSASSA-PSS signers, `x509.invalid_signature`
 */
export function signCertificate(content: CertificateContent, signer: Signer): Uint8Array | Promise<Uint8Array> {
  return signStructure((to, algorithm) => writeTbs(to, content, algorithm), signer)
}

/**
 * Writes and signs what has the form of a certificate: what is signed, algorithm, signature.
 *
 * @throws {@link AimsError} as {@link signCertificate}
 */
export function signStructure(
  write: (to: DerWriter, algorithm: Uint8Array) => void,
  signer: Signer,
): Uint8Array | Promise<Uint8Array> {
  const algorithm = requireSignatureAlgorithm(signer)
  tbsWriter.begin()
  write(tbsWriter, algorithm)
  if (signer.signDer !== undefined) {
    const view = tbsWriter.view()
    return assemble(view, algorithm, signer.signDer(view))
  }
  const tbs = tbsWriter.take()
  const signature = signer.sign(tbs)
  const { half } = ALGORITHMS[signer.alg]
  const finish = (made: Uint8Array): Uint8Array =>
    assemble(tbs, algorithm, half === undefined ? made : ecdsaToDer(made, half))
  if (signature instanceof Uint8Array) return finish(signature)
  return signature.then((made) => finish(requireOwnSignature(tbs, made, signer)))
}

/** @throws {@link AimsError} `key.unsupported` */
export function requireSignatureAlgorithm(signer: Signer): Uint8Array {
  const algorithm = signatureAlgorithmDer(signer.alg)
  if (algorithm === undefined) throw new AimsError('key.unsupported', 'certificates are not signed with this algorithm')
  return algorithm
}

function writeTbs(to: DerWriter, content: CertificateContent, algorithm: Uint8Array): void {
  const tbs = to.mark()
  content.writeExtensions(to)
  to.wrap(TAG.sequence, tbs)
  to.wrap(0xa3, tbs)
  to.raw(content.spki)
  to.raw(content.subject)
  const validity = to.mark()
  to.raw(timeDer(content.notAfter))
  to.raw(timeDer(content.notBefore))
  to.wrap(TAG.sequence, validity)
  to.raw(content.issuer)
  to.raw(algorithm)
  to.raw(content.serialNumber.der)
  to.raw(VERSION_3)
  to.wrap(TAG.sequence, tbs)
}

function assemble(tbs: Uint8Array, algorithm: Uint8Array, signature: Uint8Array): Uint8Array {
  const certificate = writer.begin()
  writer.octets(signature)
  writer.raw(algorithm)
  writer.raw(tbs)
  writer.wrap(TAG.sequence, certificate)
  return writer.take()
}

function requireOwnSignature(data: Uint8Array, made: Uint8Array, { alg, publicKey }: Signer): Uint8Array {
  if (!verifyBytes(alg, publicKey, data, made)) {
    throw new AimsError('x509.invalid_signature', 'the signer returned a signature that does not verify')
  }
  return made
}

/** A key to be certified. */
export interface SubjectKey {
  readonly spki: Uint8Array
  /** The bits of the key, of which key identifiers are made. */
  readonly bits: Uint8Array
}

/** Reads the key to be certified. @throws {@link AimsError} `x509.weak_key`, `key.malformed` */
export function readSubjectKey(publicKey: PublicKey | Uint8Array): SubjectKey {
  const spki = publicKey instanceof Uint8Array ? publicKey : spkiBytes(publicKey)
  const { type, key } = readKeyInfo(spki)
  if (type === 'unsupported') {
    throw new AimsError('x509.weak_key', 'supported are P-256, P-384, P-521, Ed25519 and RSA of 2048 to 4096 bits')
  }
  return { spki, bits: key }
}

function readKeyInfo(spki: Uint8Array): ReturnType<typeof readPublicKeyInfo> {
  try {
    return readPublicKeyInfo(spki)
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
  | 'keyUsage'
  | 'subjectAltName'
  | 'basicConstraints'
  | 'nameConstraints'
  | 'authorityKeyId'
  | 'extendedKeyUsage'
  | 'organization'
  | 'commonName'
  | 'serverAuth'
  | 'clientAuth'

/** Object identifiers, as whole elements. */
export const OID: { readonly [name in OidName]: Uint8Array } = {
  keyUsage: encodeOid('2.5.29.15'),
  subjectAltName: encodeOid('2.5.29.17'),
  basicConstraints: encodeOid('2.5.29.19'),
  nameConstraints: encodeOid('2.5.29.30'),
  authorityKeyId: encodeOid('2.5.29.35'),
  extendedKeyUsage: encodeOid('2.5.29.37'),
  organization: encodeOid('2.5.4.10'),
  commonName: encodeOid('2.5.4.3'),
  serverAuth: encodeOid('1.3.6.1.5.5.7.3.1'),
  clientAuth: encodeOid('1.3.6.1.5.5.7.3.2'),
}

/** The key identifier of a CA: the first 20 bytes of SHA-256 over the key bits (RFC 7093 section 2, method 1). */
export function caKeyId(bits: Uint8Array): Uint8Array {
  return sha256(bits).subarray(0, 20)
}

/**
 * The key identifier of a leaf: the last 20 bytes of the key bits. RFC 5280 section 4.2.1.2 lets any number derived from
 * the key do; nothing is looked up by it, and a hash would be a twentieth of the cost of issuing.
 */
export function leafKeyId(bits: Uint8Array): Uint8Array {
  return bits.subarray(-20)
}

// SEQUENCE { OID 2.5.29.14, OCTET STRING { OCTET STRING of 20 bytes } }
const SUBJECT_KEY_ID_HEADER = Uint8Array.of(
  TAG.sequence,
  29,
  TAG.oid,
  3,
  0x55,
  0x1d,
  0x0e,
  TAG.octetString,
  22,
  TAG.octetString,
  20,
)

/** subjectKeyIdentifier of 20 bytes. */
export function writeSubjectKeyId(to: DerWriter, keyId: Uint8Array): void {
  to.raw(keyId)
  to.raw(SUBJECT_KEY_ID_HEADER)
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
    for (let i = dnsNames.length - 1; i >= 0; i -= 1) to.ascii(0x82, dnsNames[i] as string)
    to.ascii(0x86, uri)
    to.wrap(TAG.sequence, names)
  })
}

const SERIAL_BYTES = 16
const randomness = Buffer.alloc(8192)
let randomText = ''
let used = randomness.length

/** A serial number. */
export interface SerialNumber {
  /** INTEGER, as a whole element. */
  readonly der: Uint8Array
  /** Lower-case hex. */
  readonly text: string
}

/**
 * A serial number with 128 random bits. The fixed first byte makes it positive and of one length. Randomness is drawn in
 * blocks.
 */
export function randomSerialNumber(): SerialNumber {
  if (used === randomness.length) {
    randomFillSync(randomness)
    randomText = randomness.toString('hex')
    used = 0
  }
  const der = new Uint8Array(3 + SERIAL_BYTES)
  der[0] = TAG.integer
  der[1] = 1 + SERIAL_BYTES
  der[2] = 1
  for (let i = 0; i < SERIAL_BYTES; i += 1) der[i + 3] = randomness[used + i] as number
  const text = `01${randomText.slice(2 * used, 2 * (used + SERIAL_BYTES))}`
  used += SERIAL_BYTES
  return { der, text }
}

// Many certificates are issued in one second with one lifetime: the two times are remembered.
const times: { seconds: number; der: Uint8Array }[] = []

function timeDer(seconds: number): Uint8Array {
  for (const known of times) if (known.seconds === seconds) return known.der
  const der = encodeTime(seconds)
  times.unshift({ seconds, der })
  times.length = Math.min(times.length, 2)
  return der
}

/** Refuses times that no certificate can carry. @throws TypeError */
export function requireValidity(notBefore: number, notAfter: number): void {
  const encodable = (time: number): boolean => Number.isSafeInteger(time) && time >= 0 && time <= 253_402_300_799
  if (!encodable(notBefore) || !encodable(notAfter) || notAfter <= notBefore) {
    throw new TypeError('notBefore and notAfter are whole seconds since the epoch, in this order')
  }
}
