// Certificates and revocation lists as hardware and cloud vendors make them, under roots of our own. Everything can be
// chosen, and so be made wrong one thing at a time.
import { constants, createHash, generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import { encodeTime } from '../../packages/aims/src/base/der-writer.ts'
import { encodePem } from '../../packages/aims/src/base/pem.ts'
import { oid, sequence as seq, tlv } from './certificates.ts'

export { oid, seq, tlv }

export const set = (...parts: readonly Uint8Array[]): Buffer => tlv(0x31, ...parts)
export const octets = (...parts: readonly Uint8Array[]): Buffer => tlv(0x04, ...parts)
export const bits = (bytes: Uint8Array, unused = 0): Buffer => tlv(0x03, Uint8Array.of(unused), bytes)
export const utf8 = (text: string): Buffer => tlv(0x0c, Buffer.from(text))
const printable = (text: string): Buffer => tlv(0x13, Buffer.from(text))
export const bool = (value: boolean): Buffer => tlv(0x01, Uint8Array.of(value ? 0xff : 0))
export const nil = (): Buffer => tlv(0x05)
export const context = (n: number, ...parts: readonly Uint8Array[]): Buffer => tlv(0xa0 | n, ...parts)
export const int = (value: number | bigint | Uint8Array): Buffer => tlv(0x02, integerBytes(value))

/** Seconds since the epoch as UTCTime or GeneralizedTime. */
export const time = (seconds: number): Uint8Array => encodeTime(seconds)

const name = (commonName: string, organization = 'Test Vendor'): Buffer =>
  seq(set(seq(oid('2.5.4.10'), printable(organization))), set(seq(oid('2.5.4.3'), utf8(commonName))))

/** A private key with what certificates about it need. */
export interface PkiKey {
  readonly privateKey: KeyObject
  readonly publicKey: KeyObject
  readonly spki: Buffer
}

export type KeyKind = 'P-256' | 'P-384' | 'RSA-2048' | 'RSA-1024' | 'RSA-4096' | 'Ed25519'

export function newKey(kind: KeyKind = 'P-256'): PkiKey {
  const pair = generate(kind)
  return { ...pair, spki: pair.publicKey.export({ type: 'spki', format: 'der' }) }
}

/** How something is signed; by default as the signer's key suggests. */
export type Scheme = 'ecdsa-sha256' | 'ecdsa-sha384' | 'rsa-sha256' | 'rsa-sha1' | 'rsa-pss-sha384' | 'ed25519'

const HASH_OIDS = { sha256: '2.16.840.1.101.3.4.2.1', sha384: '2.16.840.1.101.3.4.2.2' } as const
const PSS_384 = (() => {
  const hash = seq(oid(HASH_OIDS.sha384), nil())
  return seq(
    oid('1.2.840.113549.1.1.10'),
    seq(context(0, hash), context(1, seq(oid('1.2.840.113549.1.1.8'), hash)), context(2, int(48))),
  )
})()
const SCHEMES: { readonly [scheme in Scheme]: { readonly id: Buffer; readonly hash: string | null } } = {
  'ecdsa-sha256': { id: seq(oid('1.2.840.10045.4.3.2')), hash: 'sha256' },
  'ecdsa-sha384': { id: seq(oid('1.2.840.10045.4.3.3')), hash: 'sha384' },
  'rsa-sha256': { id: seq(oid('1.2.840.113549.1.1.11'), nil()), hash: 'sha256' },
  'rsa-sha1': { id: seq(oid('1.2.840.113549.1.1.5'), nil()), hash: 'sha1' },
  'rsa-pss-sha384': { id: PSS_384, hash: 'sha384' },
  ed25519: { id: seq(oid('1.3.101.112')), hash: null },
}

export function signWith(key: PkiKey, data: Uint8Array, scheme: Scheme = defaultScheme(key)): Buffer {
  const { hash } = SCHEMES[scheme]
  if (scheme !== 'rsa-pss-sha384') return sign(hash, data, key.privateKey)
  return sign(hash, data, { key: key.privateKey, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 48 })
}

export interface PkiExtension {
  readonly oid: string
  readonly critical?: boolean
  /** Content of the OCTET STRING. */
  readonly value: Uint8Array
}

export const caExtensions = (pathLength?: number): readonly PkiExtension[] => [
  {
    oid: '2.5.29.19',
    critical: true,
    value: seq(bool(true), ...(pathLength === undefined ? [] : [int(pathLength)])),
  },
  // keyCertSign and cRLSign.
  { oid: '2.5.29.15', critical: true, value: bits(Buffer.from([0x06]), 1) },
]

export const subjectAltDns = (...names: readonly string[]): PkiExtension => ({
  oid: '2.5.29.17',
  value: seq(...names.map((one) => tlv(0x82, Buffer.from(one)))),
})

export const extendedUsage = (...purposes: readonly string[]): PkiExtension => ({
  oid: '2.5.29.37',
  value: seq(...purposes.map(oid)),
})

/** A certificate and its key. */
export interface PkiCertificate {
  readonly der: Buffer
  readonly pem: string
  readonly key: PkiKey
  readonly subject: Buffer
  readonly notAfter: number
  /** SHA-256 of the DER, hex. */
  readonly fingerprint: string
}

export interface CertificateOptions {
  /** A common name, or the DER of a Name. */
  readonly subject: string | Uint8Array
  /** Absent: self-signed. */
  readonly issuer?: PkiCertificate
  /** Overrides the name of the issuer. */
  readonly issuerName?: Uint8Array
  readonly key?: PkiKey
  readonly scheme?: Scheme
  readonly serial?: number | bigint | Uint8Array
  /** Seconds since the epoch. */
  readonly notBefore?: number
  readonly notAfter?: number
  readonly extensions?: readonly PkiExtension[]
  readonly version?: 1 | 3
}

/** Default validity of what is made here: 2020 to 2049. */
export const NOT_BEFORE: number = Date.UTC(2020, 0, 1) / 1000
export const NOT_AFTER: number = Date.UTC(2049, 0, 1) / 1000
let nextSerial = 1000

export function makeCertificate(options: CertificateOptions): PkiCertificate {
  const { issuer, key = newKey(), notBefore = NOT_BEFORE, notAfter = NOT_AFTER, extensions = [], version = 3 } = options
  const subject = typeof options.subject === 'string' ? name(options.subject) : Buffer.from(options.subject)
  const signer = issuer?.key ?? key
  const scheme = options.scheme ?? defaultScheme(signer)
  nextSerial += 1
  const tbs = seq(
    ...(version === 3 ? [context(0, int(2))] : []),
    int(options.serial ?? nextSerial),
    SCHEMES[scheme].id,
    options.issuerName ?? issuer?.subject ?? subject,
    seq(time(notBefore), time(notAfter)),
    subject,
    key.spki,
    ...(version === 3 && extensions.length > 0 ? [context(3, seq(...extensions.map(extension)))] : []),
  )
  const der = seq(tbs, SCHEMES[scheme].id, bits(signWith(signer, tbs, scheme)))
  const fingerprint = createHash('sha256').update(der).digest('hex')
  return { der, pem: encodePem('CERTIFICATE', der), key, subject, notAfter, fingerprint }
}

/** A self-signed CA. */
export function makeRoot(subject = 'Test Root CA', options: Partial<CertificateOptions> = {}): PkiCertificate {
  return makeCertificate({ subject, extensions: caExtensions(), ...options })
}

export interface CrlOptions {
  readonly issuer: PkiCertificate
  readonly serials?: readonly (number | bigint | Uint8Array)[]
  readonly thisUpdate?: number
  readonly nextUpdate?: number
  readonly number?: number
  readonly scheme?: Scheme
  readonly issuerName?: Uint8Array
}

export function makeCrl(options: CrlOptions): Buffer {
  const { issuer, serials = [], thisUpdate = NOT_BEFORE, nextUpdate = NOT_AFTER, number = 1 } = options
  const scheme = options.scheme ?? defaultScheme(issuer.key)
  const entries = serials.map((serial) => seq(int(serial), time(thisUpdate)))
  const tbs = seq(
    int(1),
    SCHEMES[scheme].id,
    options.issuerName ?? issuer.subject,
    time(thisUpdate),
    time(nextUpdate),
    ...(entries.length > 0 ? [seq(...entries)] : []),
    context(0, seq(extension({ oid: '2.5.29.20', value: int(number) }))),
  )
  return seq(tbs, SCHEMES[scheme].id, bits(signWith(issuer.key, tbs, scheme)))
}

function extension({ oid: id, critical = false, value }: PkiExtension): Buffer {
  return seq(oid(id), ...(critical ? [bool(true)] : []), octets(value))
}

function defaultScheme({ publicKey }: PkiKey): Scheme {
  if (publicKey.asymmetricKeyType === 'ed25519') return 'ed25519'
  if (publicKey.asymmetricKeyType === 'rsa') return 'rsa-sha256'
  return publicKey.asymmetricKeyDetails?.namedCurve === 'secp384r1' ? 'ecdsa-sha384' : 'ecdsa-sha256'
}

function generate(kind: KeyKind): { privateKey: KeyObject; publicKey: KeyObject } {
  if (kind === 'Ed25519') return generateKeyPairSync('ed25519')
  if (kind === 'P-256' || kind === 'P-384') return generateKeyPairSync('ec', { namedCurve: kind })
  return generateKeyPairSync('rsa', { modulusLength: Number(kind.slice(4)) })
}

function integerBytes(value: number | bigint | Uint8Array): Buffer {
  if (value instanceof Uint8Array) return Buffer.from(value)
  let hex = BigInt(value).toString(16)
  if (hex.length % 2 === 1) hex = `0${hex}`
  const bytes = Buffer.from(hex, 'hex')
  return (bytes[0] as number) >= 0x80 ? Buffer.concat([Buffer.from([0]), bytes]) : bytes
}
