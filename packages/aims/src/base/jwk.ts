import { createPublicKey, type KeyObject } from 'node:crypto'
import type { JwsAlgorithm } from './algorithms.ts'
import { decodeBase64url, sha256Base64url } from './bytes.ts'
import { isOnCurve, type NistCurve } from './curve-point.ts'
import { AimsError } from './errors.ts'
import type { JsonObject, JsonValue } from './json.ts'
import { isRocaModulus } from './roca.ts'
import { publicKeyFromSpki } from './spki.ts'

const PRIVATE_MEMBERS = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k'] as const

/** Refuses a JWK with private or symmetric key material. @throws {@link AimsError} `key.private` */
export function refusePrivateMembers(jwk: JsonObject): void {
  for (const member of PRIVATE_MEMBERS) {
    if (member in jwk) throw new AimsError('key.private', 'the JWK has private members')
  }
}

/** What a JWK says about the key itself. */
export interface ReadJwk {
  /** As node:crypto names it. */
  readonly keyType: 'ec' | 'ed25519' | 'rsa'
  /** The one algorithm of the curve; RS256 for RSA. */
  readonly defaultAlg: JwsAlgorithm
  /** RFC 7638, SHA-256, base64url. */
  readonly thumbprint: string
  /** Its members, in the order of RFC 7638. */
  readonly members: PublicMembers
  /** SubjectPublicKeyInfo, DER; absent for RSA. */
  readonly spki?: Buffer
}

/** What makes up a public key in a JWK. */
export interface PublicMembers {
  readonly kty: string
  readonly crv?: string
  readonly x?: string
  readonly y?: string
  readonly n?: string
  readonly e?: string
}

interface Curve {
  readonly kty: 'EC' | 'OKP'
  readonly keyType: 'ec' | 'ed25519'
  readonly alg: JwsAlgorithm
  /** Bytes of one coordinate. */
  readonly length: number
  /** What precedes the coordinates in a SubjectPublicKeyInfo (RFC 5480, RFC 8410). */
  readonly spkiPrefix: Buffer
  /** Absent: every text of the right length is a key, as node:crypto sees it. */
  readonly equation?: NistCurve
}

const CURVES: { readonly [crv: string]: Curve } = {
  'P-256': {
    kty: 'EC',
    keyType: 'ec',
    alg: 'ES256',
    length: 32,
    spkiPrefix: Buffer.from('3059301306072a8648ce3d020106082a8648ce3d03010703420004', 'hex'),
    equation: 'P-256',
  },
  'P-384': {
    kty: 'EC',
    keyType: 'ec',
    alg: 'ES384',
    length: 48,
    spkiPrefix: Buffer.from('3076301006072a8648ce3d020106052b8104002203620004', 'hex'),
    equation: 'P-384',
  },
  'P-521': {
    kty: 'EC',
    keyType: 'ec',
    alg: 'ES512',
    length: 66,
    spkiPrefix: Buffer.from('30819b301006072a8648ce3d020106052b810400230381860004', 'hex'),
    equation: 'P-521',
  },
  Ed25519: {
    kty: 'OKP',
    keyType: 'ed25519',
    alg: 'EdDSA',
    length: 32,
    spkiPrefix: Buffer.from('302a300506032b6570032100', 'hex'),
  },
}

/**
 * Reads the key of a public JWK strictly: no private members, canonical base64url of the right length, a point on the
 * curve. Does not look at `alg`, `use`, `key_ops` or `kid`.
 *
 * @throws {@link AimsError} `key.private`, `key.unsupported`, `key.malformed`
 * @see RFC 7518 section 6; RFC 8037 section 2
 */
export function readPublicJwk(jwk: JsonObject): ReadJwk & { readonly key: KeyObject } {
  refusePrivateMembers(jwk)
  if (jwk.kty === 'RSA') return readRsaJwk(jwk)
  const { read } = readCurveJwk(jwk)
  const key = publicKeyFromSpki(read.spki)
  if (key === undefined) throw offCurve()
  return { ...read, key }
}

/**
 * As {@link readPublicJwk}, and refuses the same, without asking node:crypto for a key of a curve: that costs as much as a
 * signature.
 */
export function readJwkToCertify(jwk: JsonObject): ReadJwk & { readonly key?: KeyObject } {
  refusePrivateMembers(jwk)
  if (jwk.kty === 'RSA') return readRsaJwk(jwk)
  const { read, equation, x, y } = readCurveJwk(jwk)
  if (equation !== undefined && !isOnCurve(equation, x, y)) throw offCurve()
  return read
}

interface CurveKey {
  readonly read: ReadJwk & { readonly spki: Buffer }
  readonly equation: NistCurve | undefined
  readonly x: Buffer
  readonly y: Buffer
}

function readCurveJwk({ kty, crv, ...jwk }: JsonObject): CurveKey {
  const name = typeof crv === 'string' ? crv : ''
  const curve = Object.hasOwn(CURVES, name) ? CURVES[name] : undefined
  if (curve === undefined || curve.kty !== kty) {
    throw new AimsError('key.unsupported', 'supported are P-256, P-384, P-521, Ed25519 and RSA')
  }
  const x = coordinate(jwk.x, curve.length)
  const y = curve.kty === 'EC' ? coordinate(jwk.y, curve.length) : NO_COORDINATE
  const spki = Buffer.concat([curve.spkiPrefix, x.bytes, y.bytes])
  const point = curve.kty === 'EC' ? { x: x.text, y: y.text } : { x: x.text }
  const members = { crv: name, kty: curve.kty, ...point }
  const read = { keyType: curve.keyType, defaultAlg: curve.alg, spki, ...named(members) }
  return { read, equation: curve.equation, x: x.bytes, y: y.bytes }
}

function offCurve(): AimsError {
  return new AimsError('key.malformed', 'the point is not on its curve')
}

function named(members: PublicMembers): Pick<ReadJwk, 'members' | 'thumbprint'> {
  return { members, thumbprint: sha256Base64url(JSON.stringify(members)) }
}

interface Encoded {
  readonly text: string
  readonly bytes: Buffer
}

const NO_COORDINATE: Encoded = { text: '', bytes: Buffer.alloc(0) }

function coordinate(value: JsonValue | undefined, length: number): Encoded {
  const bytes = typeof value === 'string' && value.length <= 96 ? decodeBase64url(value) : undefined
  if (typeof value !== 'string' || bytes?.length !== length) {
    throw new AimsError('key.malformed', 'a coordinate is not canonical base64url of full length')
  }
  return { text: value, bytes }
}

const MAX_MODULUS_BYTES = 512
const MAX_EXPONENT_BYTES = 8

function readRsaJwk(jwk: JsonObject): ReadJwk & { readonly key: KeyObject } {
  const { text: n, bytes: modulus } = unsigned(jwk.n, MAX_MODULUS_BYTES)
  const { text: e, bytes: exponent } = unsigned(jwk.e, MAX_EXPONENT_BYTES)
  // The top bit must be set in byte 256 at least: 2041 bits fill as many bytes as 2048.
  const short = modulus.length < 256 || (modulus.length === 256 && (modulus[0] as number) < 0x80)
  if (short) throw new AimsError('key.unsupported', 'RSA keys have 2048 to 4096 bits')
  // With e = 1 a signature is its own message; with an even e there is no private key.
  const isOne = exponent.length === 1 && exponent[0] === 1
  if (isOne || isEven(exponent) || isEven(modulus)) throw new AimsError('key.unsupported', 'unusable RSA numbers')
  if (isRocaModulus(modulus)) throw new AimsError('key.unsupported', 'the RSA key is of a generator known to be weak')
  try {
    const members = { e, kty: 'RSA', n }
    const key = createPublicKey({ key: members, format: 'jwk' })
    return { key, keyType: 'rsa', defaultAlg: 'RS256', ...named(members) }
  } catch (cause) {
    throw new AimsError('key.malformed', 'the JWK is not a valid public key', { cause })
  }
}

function unsigned(value: JsonValue | undefined, maxBytes: number): Encoded {
  const bytes = typeof value === 'string' && value.length <= maxBytes * 2 ? decodeBase64url(value) : undefined
  if (typeof value !== 'string' || bytes === undefined || bytes.length === 0 || bytes[0] === 0) {
    throw new AimsError('key.malformed', 'n or e is not canonical base64url')
  }
  if (bytes.length > maxBytes) throw new AimsError('key.unsupported', 'an RSA number is too large')
  return { text: value, bytes }
}

function isEven(bytes: Buffer): boolean {
  return (bytes.at(-1) ?? 0) % 2 === 0
}
