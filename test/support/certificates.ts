import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import { encodeOid, encodeTime } from '../../packages/aims/src/base/der-writer.ts'

/** One DER element with these parts as content. */
export function tlv(tag: number, ...parts: readonly Uint8Array[]): Buffer {
  const content = Buffer.concat(parts)
  const length: number[] = []
  for (let rest = content.length; rest > 0; rest >>= 8) length.unshift(rest & 0xff)
  const header = content.length < 0x80 ? [content.length] : [0x80 | length.length, ...length]
  return Buffer.concat([Uint8Array.of(tag, ...header), content])
}

export const oid = (dotted: string): Uint8Array => encodeOid(dotted)
export const ascii = (tag: number, text: string): Buffer => tlv(tag, Buffer.from(text, 'latin1'))
export const sequence = (...parts: readonly Uint8Array[]): Buffer => tlv(0x30, ...parts)
const TRUE: Uint8Array = Uint8Array.of(1, 1, 0xff)

/** A Name with one CN, or empty. */
export function name(commonName: string): Buffer {
  return commonName === '' ? sequence() : sequence(tlv(0x31, sequence(oid('2.5.4.3'), ascii(0x0c, commonName))))
}

export interface TestExtension {
  readonly critical: boolean
  readonly oid: string
  /** DER inside the OCTET STRING. */
  readonly value: Uint8Array
}

export type TestExtensions = { readonly [name: string]: TestExtension | undefined }

/** Bits of keyUsage by name, e.g. `['digitalSignature']`. */
export function keyUsage(usages: readonly (keyof typeof USAGE_BITS)[], critical = true): TestExtension {
  const bits = usages.map((usage) => USAGE_BITS[usage])
  const last = Math.max(...bits)
  const byte = bits.reduce<number>((sum, bit) => sum | (0x80 >> bit), 0)
  return { critical, oid: '2.5.29.15', value: tlv(3, Uint8Array.of(7 - last, byte)) }
}

const USAGE_BITS = { digitalSignature: 0, keyEncipherment: 2, keyAgreement: 4, keyCertSign: 5, cRLSign: 6 } as const

export function basicConstraints(ca: boolean, pathLength?: number, critical = true): TestExtension {
  const parts = [
    ca ? TRUE : Buffer.alloc(0),
    pathLength === undefined ? Buffer.alloc(0) : Uint8Array.of(2, 1, pathLength),
  ]
  return { critical, oid: '2.5.29.19', value: sequence(...parts) }
}

export function extendedKeyUsage(...purposes: readonly string[]): TestExtension {
  return { critical: false, oid: '2.5.29.37', value: sequence(...purposes.map(oid)) }
}

export const uri = (text: string): Buffer => ascii(0x86, text)
export const dns = (text: string): Buffer => ascii(0x82, text)

export function subjectAltName(names: readonly Uint8Array[], critical = true): TestExtension {
  return { critical, oid: '2.5.29.17', value: sequence(...names) }
}

/** Name constraints with these permitted and excluded GeneralNames. */
export function nameConstraints(
  permitted: readonly Uint8Array[],
  excluded: readonly Uint8Array[] = [],
  critical = true,
): TestExtension {
  const subtrees = (tag: number, names: readonly Uint8Array[]): Buffer =>
    names.length === 0 ? Buffer.alloc(0) : tlv(tag, ...names.map((one) => sequence(one)))
  return { critical, oid: '2.5.29.30', value: sequence(subtrees(0xa0, permitted), subtrees(0xa1, excluded)) }
}

export interface TestKey {
  readonly publicKey: KeyObject
  readonly privateKey: KeyObject
}

/** A CA or leaf of the tests, able to issue further ones whether or not it may. */
export interface TestCertificate {
  readonly der: Buffer
  readonly key: TestKey
  readonly subject: Uint8Array
}

export interface CertificateOptions {
  readonly issuer?: TestCertificate
  readonly key?: TestKey
  readonly subject?: string
  /** DER; instead of a name made of `subject`. */
  readonly subjectName?: Uint8Array
  /** DER; instead of the subject of `issuer`. */
  readonly issuerName?: Uint8Array
  /** Instead of the key of `issuer`. */
  readonly signingKey?: KeyObject
  readonly notBefore?: number
  readonly notAfter?: number
  readonly serialNumber?: Uint8Array
  /** AlgorithmIdentifier in the part that is signed, and after it. Default ecdsa-with-SHA256. */
  readonly algorithm?: Uint8Array
  readonly outerAlgorithm?: Uint8Array
  /** `null` for Ed25519. */
  readonly hash?: string | null
  readonly spki?: Uint8Array
  /** By a name of the test's choice: `undefined` removes a default one. */
  readonly extensions?: TestExtensions
  /** Instead of all extensions. */
  readonly rawExtensions?: readonly Uint8Array[]
}

export const NOT_BEFORE = 1_800_000_000
export const NOT_AFTER = 1_800_086_400
/** A time at which everything built with defaults is valid. */
export const NOW = 1_800_000_100

const ECDSA_SHA256 = sequence(oid('1.2.840.10045.4.3.2'))

/** Makes a key pair: P-256 by default. */
export function testKey(namedCurve = 'P-256'): TestKey {
  return generateKeyPairSync('ec', { namedCurve })
}

/** Builds any certificate, right or wrong. Without an issuer it signs itself. */
export function buildCertificate(options: CertificateOptions): TestCertificate {
  const { issuer, key = testKey(), subject = '', algorithm = ECDSA_SHA256, hash = 'sha256' } = options
  const spki = options.spki ?? key.publicKey.export({ type: 'spki', format: 'der' })
  const subjectName = options.subjectName ?? name(subject)
  const keyIds: TestExtensions = {
    subjectKeyId: { critical: false, oid: '2.5.29.14', value: tlv(4, keyId(key)) },
    authorityKeyId: { critical: false, oid: '2.5.29.35', value: sequence(tlv(0x80, keyId(issuer?.key ?? key))) },
  }
  const extensions =
    options.rawExtensions ??
    Object.values({ ...keyIds, ...options.extensions }).flatMap((one) => (one === undefined ? [] : [extension(one)]))
  const tbs = sequence(
    Uint8Array.of(0xa0, 3, 2, 1, 2),
    tlv(2, options.serialNumber ?? Uint8Array.of(1, 2, 3, 4)),
    algorithm,
    options.issuerName ?? issuer?.subject ?? subjectName,
    sequence(encodeTime(options.notBefore ?? NOT_BEFORE), encodeTime(options.notAfter ?? NOT_AFTER)),
    subjectName,
    spki,
    extensions.length === 0 ? Buffer.alloc(0) : tlv(0xa3, sequence(...extensions)),
  )
  const signature = sign(hash, tbs, options.signingKey ?? issuer?.key.privateKey ?? key.privateKey)
  const der = sequence(tbs, options.outerAlgorithm ?? algorithm, tlv(3, Uint8Array.of(0), signature))
  return { der, key, subject: subjectName }
}

export function extension({ critical, oid: id, value }: TestExtension): Buffer {
  return sequence(oid(id), critical ? TRUE : Buffer.alloc(0), tlv(4, value))
}

function keyId(key: TestKey): Uint8Array {
  return key.publicKey.export({ type: 'spki', format: 'der' }).subarray(-20)
}

export const SERVER_AUTH = '1.3.6.1.5.5.7.3.1'
export const CLIENT_AUTH = '1.3.6.1.5.5.7.3.2'

/** A CA; `extensions` replace its own by name: basicConstraints, keyUsage, subjectAltName, subjectKeyId ... */
export function buildCa(options: CertificateOptions & { readonly subject: string }): TestCertificate {
  return buildCertificate({
    ...options,
    extensions: {
      basicConstraints: basicConstraints(true),
      keyUsage: keyUsage(['keyCertSign', 'cRLSign']),
      ...options.extensions,
    },
  })
}

/** A leaf that is an X.509-SVID for `spiffe://example.com/agent/calendar-bot`; `extensions` replace by name. */
export function buildSvid(options: CertificateOptions): TestCertificate {
  return buildCertificate({
    ...options,
    extensions: {
      basicConstraints: basicConstraints(false),
      keyUsage: keyUsage(['digitalSignature']),
      extendedKeyUsage: extendedKeyUsage(SERVER_AUTH, CLIENT_AUTH),
      subjectAltName: subjectAltName([uri('spiffe://example.com/agent/calendar-bot')]),
      ...options.extensions,
    },
  })
}
