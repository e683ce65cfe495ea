import type { JwsAlgorithm } from './algorithms.ts'
import { DerReader, TAG } from './der.ts'
import { DerWriter, encodeOid } from './der-writer.ts'

/** What kind of key a certificate holds. `unsupported`: well formed, but never part of a path. */
export type CertificateKeyType = 'P-256' | 'P-384' | 'P-521' | 'Ed25519' | 'RSA' | 'unsupported'

/** How a certificate is signed. */
export interface SignatureScheme {
  /** For node:crypto; `null` for Ed25519. */
  readonly hash: 'sha256' | 'sha384' | 'sha512' | null
  readonly keyType: 'ec' | 'ed25519' | 'rsa'
}

const NULL_PARAMETERS = Uint8Array.of(TAG.null, 0)

// The whole AlgorithmIdentifier decides, parameters included: there is one right encoding of each.
const SCHEMES: readonly {
  readonly der: Uint8Array
  readonly scheme: SignatureScheme
  readonly algs: readonly JwsAlgorithm[]
}[] = [
  { der: identifier('1.2.840.10045.4.3.2'), scheme: { hash: 'sha256', keyType: 'ec' }, algs: ['ES256'] },
  { der: identifier('1.2.840.10045.4.3.3'), scheme: { hash: 'sha384', keyType: 'ec' }, algs: ['ES384'] },
  { der: identifier('1.2.840.10045.4.3.4'), scheme: { hash: 'sha512', keyType: 'ec' }, algs: ['ES512'] },
  { der: identifier('1.3.101.112'), scheme: { hash: null, keyType: 'ed25519' }, algs: ['EdDSA', 'Ed25519'] },
  {
    der: identifier('1.2.840.113549.1.1.11', NULL_PARAMETERS),
    scheme: { hash: 'sha256', keyType: 'rsa' },
    algs: ['RS256'],
  },
  {
    der: identifier('1.2.840.113549.1.1.12', NULL_PARAMETERS),
    scheme: { hash: 'sha384', keyType: 'rsa' },
    algs: ['RS384'],
  },
  {
    der: identifier('1.2.840.113549.1.1.13', NULL_PARAMETERS),
    scheme: { hash: 'sha512', keyType: 'rsa' },
    algs: ['RS512'],
  },
]

const SCHEME_BY_DER = new Map(SCHEMES.map(({ der, scheme }) => [latin1(der), scheme]))
const DER_BY_ALG = new Map(SCHEMES.flatMap(({ der, algs }) => algs.map((alg) => [alg, der] as const)))

/** The scheme of an AlgorithmIdentifier, or `undefined` when it is not one we verify (SHA-1, PSS, DSA ...). */
export function signatureScheme(algorithmIdentifier: Uint8Array): SignatureScheme | undefined {
  return SCHEME_BY_DER.get(latin1(algorithmIdentifier))
}

/** The AlgorithmIdentifier for certificates signed with this JWS algorithm, or `undefined` for RSASSA-PSS. */
export function signatureAlgorithmDer(alg: JwsAlgorithm): Uint8Array | undefined {
  return DER_BY_ALG.get(alg)
}

/** The kind of key in a SubjectPublicKeyInfo, read without asking OpenSSL. */
export interface PublicKeyInfo {
  readonly type: CertificateKeyType
  /** Content of the BIT STRING: what key identifiers are hashes of. */
  readonly key: Uint8Array
}

// There is one right encoding of everything before the key bits, so it is compared and not taken apart.
const KEY_PREFIXES: readonly {
  readonly type: CertificateKeyType
  readonly prefix: Uint8Array
  readonly length: number
}[] = [
  ecPrefix('P-256', '1.2.840.10045.3.1.7', 65),
  ecPrefix('P-384', '1.3.132.0.34', 97),
  ecPrefix('P-521', '1.3.132.0.35', 133),
  keyPrefix('Ed25519', identifier('1.3.101.112'), 32),
]

/**
 * Reads the kind of key from a SubjectPublicKeyInfo. Weak or unusual keys (RSA outside 2048 to 4096 bits or with an
 * unusable exponent, other curves, compressed points) come out as `unsupported`.
 *
 * Does not check that a point is on its curve: making a KeyObject of it does.
 *
 * @throws {@link AimsError} `der.*`
 * @see RFC 5480, RFC 8410, RFC 3279 section 2.3.1
 */
export function readPublicKeyInfo(spki: Uint8Array): PublicKeyInfo {
  for (const { type, prefix, length } of KEY_PREFIXES) {
    if (spki.length === length && startsWith(spki, prefix)) {
      // The 04 of an uncompressed point is in the prefix, and is part of the key.
      return { type, key: spki.subarray(type === 'Ed25519' ? prefix.length : prefix.length - 1) }
    }
  }
  const input = DerReader.of(spki)
  const fields = input.enter(TAG.sequence)
  input.end()
  const algorithm = fields.enter(TAG.sequence)
  const oid = algorithm.oid()
  const parameters = algorithm.isAtEnd ? undefined : algorithm.element()
  algorithm.end()
  const key = fields.octets()
  fields.end()
  const isRsa = oid === '1.2.840.113549.1.1.1' && isNull(parameters) && isUsableRsa(key)
  return { type: isRsa ? 'RSA' : 'unsupported', key }
}

function ecPrefix(type: CertificateKeyType, curve: string, pointBytes: number): (typeof KEY_PREFIXES)[number] {
  const { prefix, length } = keyPrefix(type, identifier('1.2.840.10045.2.1', encodeOid(curve)), pointBytes)
  return { type, prefix: Uint8Array.of(...prefix, 4), length }
}

function keyPrefix(type: CertificateKeyType, algorithm: Uint8Array, keyBytes: number): (typeof KEY_PREFIXES)[number] {
  const writer = new DerWriter(256)
  writer.octets(new Uint8Array(keyBytes))
  writer.raw(algorithm)
  writer.wrap(TAG.sequence, 0)
  const spki = writer.take()
  return { type, prefix: spki.subarray(0, spki.length - keyBytes), length: spki.length }
}

function startsWith(bytes: Uint8Array, prefix: Uint8Array): boolean {
  for (let i = 0; i < prefix.length; i += 1) if (bytes[i] !== prefix[i]) return false
  return true
}

function isUsableRsa(key: Uint8Array): boolean {
  const outer = DerReader.of(key)
  const numbers = outer.enter(TAG.sequence)
  const modulus = numbers.integer()
  const exponent = numbers.integer()
  numbers.end()
  outer.end()
  const bits = (modulus.length - 1) * 8 - (modulus[0] === 0 ? 0 : Math.clz32(modulus[0] as number) - 32)
  const odd = ((modulus.at(-1) as number) & (exponent.at(-1) as number) & 1) === 1
  const positive = (modulus[0] as number) < 0x80 && (exponent[0] as number) < 0x80
  const isOne = exponent.length === 1 && exponent[0] === 1
  return odd && positive && !isOne && exponent.length <= 5 && bits >= 2048 && bits <= 4096
}

function isNull(parameters: Uint8Array | undefined): boolean {
  return parameters?.length === 2 && parameters[0] === TAG.null && parameters[1] === 0
}

function identifier(oid: string, parameters: Uint8Array = new Uint8Array()): Uint8Array {
  const content = encodeOid(oid)
  return Uint8Array.of(TAG.sequence, content.length + parameters.length, ...content, ...parameters)
}

function latin1(bytes: Uint8Array): string {
  return String.fromCharCode(...bytes.subarray(0, 64))
}
