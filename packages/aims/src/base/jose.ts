import { isJwsAlgorithm, type JwsAlgorithm, verifyBytes } from './algorithms.ts'
import { decodeBase64url, decodeBase64urlText, encodeTextBase64url } from './bytes.ts'
import { AimsError } from './errors.ts'
import { type JsonObject, parseJsonObject } from './json.ts'
import type { LocalSigner, Signer, VerificationKey } from './keys.ts'

/** What every compact JWS has, taken apart and NOT verified. */
interface UnverifiedToken {
  /** The token exactly as received. */
  readonly token: string
  readonly alg: JwsAlgorithm
  /** Exactly as written; compare without folding case. */
  readonly typ: string | undefined
  readonly kid: string | undefined
  readonly header: JsonObject
  readonly signature: Buffer
}

/** A compact JWS with any content, taken apart and NOT verified. */
export interface UnverifiedCompactJws extends UnverifiedToken {
  readonly payload: Buffer
}

/** A compact JWS with JSON claims, taken apart and NOT verified. Nothing in it may be believed. */
export interface UnverifiedJws extends UnverifiedToken {
  readonly claims: JsonObject
}

/** Header parameters that would let a token choose its own key or its own rules (J3, J4, J7). */
const FORBIDDEN_HEADERS = [
  'jwk',
  'jku',
  'x5u',
  'x5c',
  'x5t',
  'x5t#S256',
  'crit',
  'b64',
  'zip',
  'enc',
  'epk',
  'cty',
] as const

/** Default cap on a token, in characters. */
const MAX_TOKEN_LENGTH = 8192

/** How to take a token apart. */
export interface DecodeOptions {
  /** Characters. Default 8192. */
  readonly maxLength?: number
  /** The only values of `typ` accepted, compared exactly and before `alg`; `undefined` stands for a token without it. */
  readonly typ?: readonly (string | undefined)[]
  /**
   * Thumbprints of a certificate that this issuer writes into every header and nobody here looks at; the key is still
   * found by `kid` alone. Default: none is tolerated.
   */
  readonly ignoredHeaders?: readonly ('x5t' | 'x5t#S256')[]
}

/**
 * Takes a compact JWS with JSON claims apart: as {@link decodeUnverifiedCompactJws}, and the payload must be a JSON
 * object without duplicate members.
 *
 * Does not verify anything.
 *
 * @throws {@link AimsError} `jose.too_large`, `jose.malformed`, `jose.forbidden_header`, `jose.wrong_type`,
 * `jose.unsupported_alg`, `json.*`
 * @see RFC 7519 section 7.2; RFC 8725
 */
export function decodeUnverifiedJws(token: string, options: DecodeOptions = {}): UnverifiedJws {
  const { alg, typ, kid, header, payload, signature } = takeApart(token, options, decodeBase64urlText)
  return { token, alg, typ, kid, header, signature, claims: parseJsonObject(payload) }
}

/**
 * Takes a compact JWS apart, strictly: three canonical base64url parts, a JSON object without duplicate members as
 * header, an asymmetric signature algorithm, no header that names a key or changes the rules.
 *
 * Does not verify anything.
 *
 * @throws {@link AimsError} `jose.too_large`, `jose.malformed`, `jose.forbidden_header`, `jose.wrong_type`,
 * `jose.unsupported_alg`, `json.*`
 * @see RFC 7515 section 7.1; RFC 8725
 */
export function decodeUnverifiedCompactJws(token: string, options: DecodeOptions = {}): UnverifiedCompactJws {
  return takeApart(token, options, decodeBase64url)
}

function takeApart<Payload>(
  token: string,
  options: DecodeOptions,
  decodePayload: (part: string) => Payload | undefined,
): UnverifiedToken & { readonly payload: Payload } {
  const { maxLength = MAX_TOKEN_LENGTH } = options
  if (typeof token !== 'string') throw new AimsError('jose.malformed', 'not text')
  if (token.length > maxLength)
    throw new AimsError('jose.too_large', `the token is longer than ${maxLength} characters`)
  const first = token.indexOf('.')
  const second = token.indexOf('.', first + 1)
  if (first <= 0 || second === -1 || token.indexOf('.', second + 1) !== -1) {
    throw new AimsError('jose.malformed', 'not three parts')
  }
  const { alg, typ, kid, header } = decodeHeader(token.slice(0, first), options.ignoredHeaders)
  if (options.typ?.includes(typ) === false) throw new AimsError('jose.wrong_type', 'typ names another kind of token')
  if (!isJwsAlgorithm(alg)) throw new AimsError('jose.unsupported_alg', 'not a supported signature algorithm')
  const payload = decodePayload(token.slice(first + 1, second))
  const signature = decodeBase64url(token.slice(second + 1))
  if (payload === undefined || signature === undefined) throw new AimsError('jose.malformed', 'not canonical base64url')
  if (signature.length === 0) throw new AimsError('jose.malformed', 'the signature is empty')
  return { token, alg, typ, kid, header, payload, signature }
}

/**
 * Reads `typ` of a compact JWS to find out which kind of token it claims to be, or `undefined` when it has none.
 *
 * Does not verify anything, nor look at the other two parts.
 *
 * @throws {@link AimsError} as {@link decodeUnverifiedJws}
 */
export function decodeUnverifiedTyp(token: string): string | undefined {
  if (token.length > MAX_TOKEN_LENGTH) {
    throw new AimsError('jose.too_large', `the token is longer than ${MAX_TOKEN_LENGTH} characters`)
  }
  return decodeHeader(token.slice(0, Math.max(0, token.indexOf('.')))).typ
}

interface Header {
  /** Those of {@link FORBIDDEN_HEADERS} that are present. */
  readonly forbidden: readonly string[]
  readonly alg: string
  readonly typ: string | undefined
  readonly kid: string | undefined
  readonly header: JsonObject
}

// Issuers and holders repeat their header byte for byte, so reading it once is most of what decoding costs.
// Only the reading is kept, by the exact text; what it means is judged anew for every token.
const headersRead = new Map<string, Header>()
const MAX_HEADERS_READ = 256
const MAX_CACHED_HEADER = 512

function decodeHeader(part: string, ignored: readonly string[] = []): Header {
  const header = knownHeader(part)
  const forbidden = header.forbidden.find((name) => !ignored.includes(name))
  if (forbidden !== undefined) {
    throw new AimsError('jose.forbidden_header', `the header parameter ${forbidden} is not allowed`)
  }
  return header
}

function knownHeader(part: string): Header {
  const known = headersRead.get(part)
  if (known !== undefined) return known
  const header = readHeader(part)
  // A header that holds objects could be written to by who was given it, and others would read that.
  const isFlat = Object.values(header.header).every((value) => value === null || typeof value !== 'object')
  if (isFlat && part.length <= MAX_CACHED_HEADER) {
    if (headersRead.size >= MAX_HEADERS_READ) headersRead.clear()
    // A copy: a part of a token keeps all of the token in memory.
    headersRead.set(Buffer.from(part, 'latin1').toString('latin1'), header)
  }
  return header
}

function readHeader(part: string): Header {
  const bytes = decodeBase64url(part)
  if (bytes === undefined) throw new AimsError('jose.malformed', 'not canonical base64url')
  const header = parseJsonObject(bytes)
  const { alg, typ, kid } = header
  const forbidden = FORBIDDEN_HEADERS.filter((name) => name in header)
  if (typeof alg !== 'string') throw new AimsError('jose.malformed', 'alg is not a string')
  if (typ !== undefined && typeof typ !== 'string') throw new AimsError('jose.malformed', 'typ is not a string')
  if (kid !== undefined && typeof kid !== 'string') throw new AimsError('jose.malformed', 'kid is not a string')
  return { forbidden, alg, typ, kid, header: Object.freeze(header) }
}

/**
 * Checks the signature of a decoded JWS under one key, with exactly an algorithm of that key.
 * False for any mismatch, also of the algorithm; nothing else is checked.
 */
export function verifyJws(jws: UnverifiedToken, key: VerificationKey): boolean {
  const { algs } = key
  if (jws.alg !== key.alg && algs?.includes(jws.alg) !== true) return false
  return verifyBytes(jws.alg, key.key, signedPart(jws.token), jws.signature)
}

// Verification is synchronous, so one per thread is enough; and tokens of a kind are about as long as each other.
const scratch = Buffer.allocUnsafeSlow(MAX_TOKEN_LENGTH)
let signed = scratch

// To make a view of a Buffer, or a Buffer, costs several times as much as to fill one.
function signedPart(token: string): Uint8Array {
  const length = token.lastIndexOf('.')
  if (length > scratch.length) return Buffer.from(token.slice(0, length), 'latin1')
  scratch.write(token, 0, length, 'latin1')
  if (signed.length !== length) signed = scratch.subarray(0, length)
  return signed
}

/** Claims or header to be signed: JSON values, `undefined` members left out. */
export type JwsInput = { readonly [name: string]: unknown }

/** Signs claims as a compact JWS. `alg` comes from the signer; `kid` only when given in `header`. */
export async function signJws(header: JwsInput, claims: JwsInput, signer: Signer): Promise<string> {
  const input = signingInput(header, claims, signer)
  const signature = await signer.sign(Buffer.from(input, 'latin1'))
  return `${input}.${Buffer.from(signature).toString('base64url')}`
}

/** Signs claims as a compact JWS with a key of this process. */
export function signJwsLocally(header: JwsInput, claims: JwsInput, signer: LocalSigner): string {
  const input = signingInput(header, claims, signer)
  return `${input}.${(signer.sign(Buffer.from(input, 'latin1')) as Buffer).toString('base64url')}`
}

function signingInput(header: JwsInput, claims: JwsInput, signer: Signer): string {
  return `${encodeJson({ ...header, alg: signer.alg })}.${encodeJson(claims)}`
}

function encodeJson(value: JwsInput): string {
  return encodeTextBase64url(JSON.stringify(value))
}
