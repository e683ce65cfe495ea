import { createPublicKey, type KeyObject, type X509Certificate } from 'node:crypto'
import { asBuffer } from './bytes.ts'
import { DerReader, TAG } from './der.ts'
import { AimsError } from './errors.ts'
import { type CertificateKeyType, readPublicKeyInfo, type SignatureScheme, signatureScheme } from './x509-algorithms.ts'
import { type Extensions, type KeyUsage, readExtensions } from './x509-extensions.ts'
import type { GeneralNames } from './x509-names.ts'
import { emptyGeneralNames, readName } from './x509-names.ts'

const NO_NAMES: GeneralNames = emptyGeneralNames()

/** A certificate that has been read and NOT verified. Made by {@link parseCertificate}. */
export class Certificate {
  /** The DER, copied from the input. */
  readonly raw: Uint8Array
  /** What is signed: TBSCertificate, DER. */
  readonly tbs: Uint8Array
  readonly version: 1 | 2 | 3
  /** Lower-case hex. */
  readonly serialNumber: string
  /** `undefined`: a signature algorithm that is not verified here. */
  readonly signatureScheme: SignatureScheme | undefined
  readonly signature: Uint8Array
  /** DER of the Name. */
  readonly issuer: Uint8Array
  /** DER of the Name. */
  readonly subject: Uint8Array
  /** Seconds since the epoch. */
  readonly notBefore: number
  /** Seconds since the epoch; the certificate is valid through this second. */
  readonly notAfter: number
  /** SubjectPublicKeyInfo, DER. */
  readonly spkiDer: Uint8Array
  readonly keyType: CertificateKeyType
  readonly extensions: Readonly<Extensions>
  readonly #ofTls: X509Certificate | undefined
  #key: KeyObject | undefined

  /** Use {@link parseCertificate}. */
  constructor(
    fields: Omit<Certificate, 'subjectPublicKey' | 'isCa' | 'usages' | 'altNames' | 'isSelfIssued'>,
    ofTls: X509Certificate | undefined,
  ) {
    this.#ofTls = ofTls
    this.raw = fields.raw
    this.tbs = fields.tbs
    this.version = fields.version
    this.serialNumber = fields.serialNumber
    this.signatureScheme = fields.signatureScheme
    this.signature = fields.signature
    this.issuer = fields.issuer
    this.subject = fields.subject
    this.notBefore = fields.notBefore
    this.notAfter = fields.notAfter
    this.spkiDer = fields.spkiDer
    this.keyType = fields.keyType
    this.extensions = fields.extensions
  }

  /** basicConstraints says CA:TRUE. keyUsage is not folded in. */
  get isCa(): boolean {
    return this.extensions.basicConstraints?.ca === true
  }

  /** The bits of keyUsage, or `undefined` without the extension. */
  get usages(): ReadonlySet<KeyUsage> | undefined {
    return this.extensions.keyUsage?.usages
  }

  /** The names of the SAN extension; all empty without it. */
  get altNames(): GeneralNames {
    return this.extensions.subjectAltName?.names ?? NO_NAMES
  }

  /** Issuer and subject are the same name. Says nothing about the signature. */
  get isSelfIssued(): boolean {
    return asBuffer(this.issuer).equals(this.subject)
  }

  /**
   * The public key, made on first use.
   *
   * @throws {@link AimsError} `x509.weak_key` for keys that are not supported, `x509.malformed` for a point off its curve
   */
  get subjectPublicKey(): KeyObject {
    if (this.keyType === 'unsupported') throw new AimsError('x509.weak_key', 'the key is not of a supported kind')
    this.#key ??= readKey(this.spkiDer, this.#ofTls)
    return this.#key
  }
}

/**
 * Reads an X.509 certificate from DER, strictly and in full, at most 64 KiB.
 *
 * Does not verify anything: no signature, no time, no key strength, no profile.
 *
 * @throws {@link AimsError} `x509.malformed`, `x509.invalid_extension`
 * @see RFC 5280 section 4.1
 */
export function parseCertificate(der: Uint8Array): Certificate {
  try {
    return readCertificate(new Uint8Array(der), readByTls.get(der))
  } catch (cause) {
    if (AimsError.is(cause) && cause.code.startsWith('der.')) {
      throw new AimsError('x509.malformed', 'a certificate is not strict DER', { cause })
    }
    throw cause
  }
}

const readByTls = new WeakMap<Uint8Array, X509Certificate>()

/**
 * The DER of a certificate that TLS has read. {@link parseCertificate} of this very array takes the key from there:
 * reading one costs a third of a signature check. The content of the array must not change.
 */
export function certificateOfTls(certificate: X509Certificate): Uint8Array {
  const { raw } = certificate
  readByTls.set(raw, certificate)
  return raw
}

function readCertificate(raw: Uint8Array, ofTls: X509Certificate | undefined): Certificate {
  const input = DerReader.of(raw)
  const outer = input.enter(TAG.sequence)
  input.end()
  const tbs = outer.element(TAG.sequence)
  const outerAlgorithm = outer.element(TAG.sequence)
  const signature = outer.octets()
  outer.end()

  const fields = DerReader.of(tbs).enter(TAG.sequence)
  const version = readVersion(fields)
  const serialNumber = readSerialNumber(fields)
  const algorithm = fields.element(TAG.sequence)
  if (!asBuffer(algorithm).equals(outerAlgorithm)) throw malformed('the signature algorithms differ')
  const issuer = readName(fields)
  const validity = fields.enter(TAG.sequence)
  const notBefore = validity.time()
  const notAfter = validity.time()
  validity.end()
  const subject = readName(fields)
  const spkiDer = fields.element(TAG.sequence)
  const { type: keyType } = readPublicKeyInfo(spkiDer)
  if (version > 1 && fields.nextTag === 0x81) fields.bitString(0x81)
  if (version > 1 && fields.nextTag === 0x82) fields.bitString(0x82)
  const extensions = version === 3 && fields.nextTag === 0xa3 ? readExtensionField(fields) : { unknownCritical: [] }
  fields.end()

  // So a CA with an empty subject is the issuer of nothing.
  if (issuer.length === 2) throw malformed('the issuer is empty')
  const read = {
    raw,
    tbs,
    version,
    serialNumber,
    signatureScheme: signatureScheme(algorithm),
    signature,
    issuer,
    subject,
    notBefore,
    notAfter,
    spkiDer,
    keyType,
    extensions,
  }
  return new Certificate(read, ofTls)
}

function readVersion(fields: DerReader): 1 | 2 | 3 {
  if (fields.nextTag !== 0xa0) return 1
  const explicit = fields.enter(0xa0)
  const version = explicit.smallInteger()
  explicit.end()
  if (version === 1) return 2
  if (version === 2) return 3
  // Version 1 is the default, which DER leaves out.
  throw malformed('not a version of X.509')
}

function readSerialNumber(fields: DerReader): string {
  const bytes = fields.integer()
  const negative = (bytes[0] as number) >= 0x80
  const zero = bytes.length === 1 && bytes[0] === 0
  if (negative || zero || bytes.length > 20) throw malformed('the serial number is not positive, or too long')
  const hex = asBuffer(bytes).toString('hex')
  return bytes[0] === 0 ? hex.slice(2) : hex
}

function readExtensionField(fields: DerReader): Extensions {
  const explicit = fields.enter(0xa3)
  const list = explicit.enter(TAG.sequence)
  explicit.end()
  return readExtensions(list)
}

function readKey(spki: Uint8Array, ofTls: X509Certificate | undefined): KeyObject {
  try {
    if (ofTls !== undefined) return ofTls.publicKey
    // As PEM text: on Node 24 an options object costs more than twice as much.
    return createPublicKey(`-----BEGIN PUBLIC KEY-----\n${asBuffer(spki).toString('base64')}\n-----END PUBLIC KEY-----`)
  } catch (cause) {
    throw new AimsError('x509.malformed', 'the key of a certificate is not usable', { cause })
  }
}

function malformed(message: string): AimsError {
  return new AimsError('x509.malformed', message)
}
