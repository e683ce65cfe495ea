import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import { inspect } from 'node:util'
import { ALGORITHMS, isJwsAlgorithm, type JwsAlgorithm, signBytes } from './algorithms.ts'
import { sha256Base64url } from './bytes.ts'
import { AimsError } from './errors.ts'
import type { JsonObject } from './json.ts'
import { type PublicMembers, type ReadJwk, readJwkToCertify, readPublicJwk } from './jwk.ts'
import { KeyToCertify } from './key-to-certify.ts'

/** A public key as JSON (RFC 7517), with what the key itself needs and nothing else. */
export interface PublicJwk extends PublicMembers {
  readonly alg?: string
  readonly kid?: string
  readonly use?: string
}

/** A public key: as node:crypto has it, or as it was read to be certified. */
export type PublicKey = KeyObject | KeyToCertify

/** A public key and the algorithm it is used with. The algorithm belongs to the key, never to the token (J1). */
export interface VerificationKey {
  readonly alg: JwsAlgorithm
  /** The algorithms that tokens may be signed with, where an issuer publishes the key and leaves it open. */
  readonly algs?: readonly JwsAlgorithm[]
  readonly key: KeyObject
  readonly kid?: string
  /** RFC 7638, SHA-256, base64url. */
  readonly thumbprint: string
}

/** Makes signatures with a private key that it does not show. A KMS or HSM answers with a promise. */
export interface Signer {
  readonly alg: JwsAlgorithm
  readonly kid?: string
  readonly publicKey: KeyObject
  /** Signs `data`. ECDSA signatures are r and s side by side (JWS form). */
  sign(data: Uint8Array): Uint8Array | Promise<Uint8Array>
  /** The same in the form of X.509 (ECDSA in DER), where it is at hand without a conversion. */
  signDer?(data: Uint8Array): Uint8Array
}

/** A signer whose key is in this process. */
export interface LocalSigner extends Signer {
  sign(data: Uint8Array): Uint8Array
}

/**
 * A private key that stays in the process: it signs, and refuses to be serialised, cloned, or printed.
 */
export class WorkloadKey implements LocalSigner {
  readonly alg: JwsAlgorithm
  readonly kid: string
  readonly publicKey: KeyObject
  readonly #privateKey: KeyObject

  constructor(privateKey: KeyObject, options: { readonly alg?: JwsAlgorithm; readonly kid?: string } = {}) {
    if (privateKey.type !== 'private') throw new TypeError('a private key is needed')
    this.publicKey = createPublicKey(privateKey)
    this.alg = options.alg ?? defaultAlgorithm(this.publicKey)
    requireFit(this.alg, this.publicKey)
    this.kid = options.kid ?? jwkThumbprint(this.publicKey)
    this.#privateKey = privateKey
  }

  /** Makes a fresh key. Default ES256, the fastest to verify. */
  static generate(alg: 'ES256' | 'ES384' | 'EdDSA' | 'Ed25519' = 'ES256'): WorkloadKey {
    const { privateKey } =
      alg === 'EdDSA' || alg === 'Ed25519'
        ? generateKeyPairSync('ed25519')
        : generateKeyPairSync('ec', { namedCurve: alg === 'ES256' ? 'P-256' : 'P-384' })
    return new WorkloadKey(privateKey, { alg })
  }

  sign(data: Uint8Array): Buffer {
    return signBytes(this.alg, this.#privateKey, data)
  }

  /** Signs in the form of X.509: as {@link sign}, with ECDSA signatures in DER. */
  signDer(data: Uint8Array): Buffer {
    const { hash, half } = ALGORITHMS[this.alg]
    return half === undefined ? this.sign(data) : sign(hash, data, this.#privateKey)
  }

  /** What TLS needs: the key object itself. It is not exportable by `toJSON` or `inspect`. */
  get tlsKey(): KeyObject {
    return this.#privateKey
  }

  toJSON(): never {
    throw new AimsError('key.not_serializable', 'private keys are not serialised')
  }

  static {
    const inspectRedacted = function (this: WorkloadKey): string {
      return `WorkloadKey { alg: '${this.alg}', kid: '${this.kid}' }`
    }
    Object.defineProperty(WorkloadKey.prototype, inspect.custom, { value: inspectRedacted })
  }
}

/** The algorithm a key is used with when nothing else says so: the JWS algorithm of its curve, or RS256. */
export function defaultAlgorithm(key: PublicKey): JwsAlgorithm {
  if (key instanceof KeyToCertify) return key.defaultAlg
  const curve = key.asymmetricKeyDetails?.namedCurve
  if (key.asymmetricKeyType === 'ed25519') return 'EdDSA'
  if (key.asymmetricKeyType === 'rsa') return 'RS256'
  if (curve === 'prime256v1') return 'ES256'
  if (curve === 'secp384r1') return 'ES384'
  if (curve === 'secp521r1') return 'ES512'
  throw new AimsError('key.unsupported', 'supported are P-256, P-384, P-521, Ed25519 and RSA')
}

/** Refuses an algorithm that the key cannot be used with, and RSA keys outside 2048 to 4096 bits. */
export function requireFit(alg: JwsAlgorithm, publicKey: PublicKey): void {
  const isRead = publicKey instanceof KeyToCertify
  // Who read it has checked it.
  if (isRead && publicKey.defaultAlg === alg) return
  const key = isRead ? publicKey.key : publicKey
  const { keyType, curve } = ALGORITHMS[alg]
  const details = key.asymmetricKeyDetails
  if (key.asymmetricKeyType !== keyType || (curve !== undefined && details?.namedCurve !== curve)) {
    throw new AimsError('key.alg_mismatch', 'the algorithm does not fit the key')
  }
  const bits = details?.modulusLength
  if (keyType === 'rsa' && (bits === undefined || bits < 2048 || bits > 4096)) {
    throw new AimsError('key.unsupported', 'RSA keys have 2048 to 4096 bits')
  }
}

/**
 * Reads a public JWK strictly: no private members, canonical base64url of the right length, a point on the curve.
 * Does not look at `alg`, `use`, `key_ops` or `kid`: {@link importVerificationKey} does.
 *
 * @throws {@link AimsError} `key.private`, `key.unsupported`, `key.malformed`
 * @see RFC 7517; RFC 7518 section 6; RFC 8037 section 2
 */
export function importPublicJwk(jwk: JsonObject): KeyObject {
  return readPublicJwk(jwk).key
}

/** A public key as a minimal JWK. `alg`, `kid` and `use` are added when given. */
export function exportPublicJwk(
  key: PublicKey,
  extra: { readonly alg?: string; readonly kid?: string; readonly use?: string } = {},
): PublicJwk {
  return { ...membersOf(key), ...extra }
}

function membersOf(key: PublicKey): PublicMembers {
  if (key instanceof KeyToCertify) return key.members
  if (key.type !== 'public') throw new AimsError('key.private', 'only public keys are exported')
  return key.export({ format: 'jwk' }) as PublicMembers
}

/** RFC 7638 thumbprint, SHA-256, base64url. */
export function jwkThumbprint(key: PublicKey): string {
  if (key instanceof KeyToCertify) return key.thumbprint
  const { kty, crv, x, y, n, e } = exportPublicJwk(key.type === 'public' ? key : createPublicKey(key))
  const members = kty === 'RSA' ? { e, kty, n } : kty === 'OKP' ? { crv, kty, x } : { crv, kty, x, y }
  return sha256Base64url(JSON.stringify(members))
}

/** Pairs a public key with its algorithm. @throws {@link AimsError} `key.alg_mismatch`, `key.unsupported` */
export function verificationKey(
  key: KeyObject,
  options: { readonly alg?: JwsAlgorithm; readonly kid?: string } = {},
): VerificationKey {
  const alg = options.alg ?? defaultAlgorithm(key)
  requireFit(alg, key)
  return { alg, key, thumbprint: jwkThumbprint(key), ...(options.kid === undefined ? {} : { kid: options.kid }) }
}

/**
 * Reads a public JWK together with its `alg` and `kid`. Without `alg` it is the one of the curve, and RS256 for RSA.
 * Does not look at `use` and `key_ops`: where a key is found says what it is for.
 *
 * @throws {@link AimsError} `key.private`, `key.unsupported`, `key.malformed`, `key.alg_mismatch`
 */
export function importVerificationKey(jwk: JsonObject): VerificationKey {
  const read = readPublicJwk(jwk)
  const { key, thumbprint } = read
  return { key, thumbprint, ...useOf(read, jwk) }
}

/** {@link importVerificationKey} for a key that gets a credential, and refuses the same. */
export function importKeyToCertify(jwk: JsonObject): KeyToCertify {
  const read = readJwkToCertify(jwk)
  return new KeyToCertify(read, useOf(read, jwk))
}

function useOf({ keyType, defaultAlg }: ReadJwk, jwk: JsonObject): Pick<VerificationKey, 'alg' | 'kid'> {
  const { alg = defaultAlg, kid } = jwk
  // Every elliptic key has one algorithm, and Ed25519 two names for it; only RSA leaves a choice.
  const fits = isJwsAlgorithm(alg) && (keyType === 'ec' ? alg === defaultAlg : ALGORITHMS[alg].keyType === keyType)
  if (!fits) throw new AimsError('key.alg_mismatch', 'alg is not a signature algorithm of this key')
  if (kid !== undefined && typeof kid !== 'string') throw new AimsError('key.malformed', 'kid is not a string')
  return kid === undefined ? { alg } : { alg, kid }
}

/**
 * {@link importVerificationKey} for keys that an issuer publishes. Without `alg`, RFC 7517 section 4.4 leaves the choice
 * to the issuer: then every algorithm of this type of key counts, and no other.
 *
 * @throws {@link AimsError} `key.private`, `key.unsupported`, `key.malformed`, `key.alg_mismatch`
 */
export function importIssuerKey(jwk: JsonObject): VerificationKey {
  const key = importVerificationKey(jwk)
  const algs = jwk.alg === undefined ? OPEN_ALGORITHMS[key.alg] : undefined
  return algs === undefined ? key : { ...key, algs }
}

/** By the algorithm that is meant when none is named: the others that the same key makes. */
const OPEN_ALGORITHMS: { readonly [alg in JwsAlgorithm]?: readonly JwsAlgorithm[] } = {
  RS256: ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'],
  EdDSA: ['EdDSA', 'Ed25519'],
}

/** Reads a PEM or DER (PKCS#8) private key. @throws {@link AimsError} `key.malformed` */
export function importPrivateKey(pemOrDer: string | Uint8Array): KeyObject {
  try {
    return typeof pemOrDer === 'string'
      ? createPrivateKey(pemOrDer)
      : createPrivateKey({ key: Buffer.from(pemOrDer), format: 'der', type: 'pkcs8' })
  } catch {
    // The cause may quote the input: it is left out on purpose.
    throw new AimsError('key.malformed', 'not a PKCS#8 private key')
  }
}

/** SubjectPublicKeyInfo, DER. */
export function spkiBytes(key: PublicKey): Buffer {
  if (key instanceof KeyToCertify) return key.spki
  return (key.type === 'public' ? key : createPublicKey(key)).export({ type: 'spki', format: 'der' })
}
