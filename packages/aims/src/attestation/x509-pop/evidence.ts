import { constants, type KeyObject, sign } from 'node:crypto'
import { asBuffer, decodeBase64 } from '../../base/bytes.ts'
import { AimsError, refuseAs } from '../../base/errors.ts'
import { isJsonObject, parseJsonObject } from '../../base/json.ts'
import type { AttestationType } from '../attestor.ts'
import { bindingDigest, type Challenge } from '../binding.ts'
import type { VendorSignatureScheme } from '../x509/signature.ts'

/** Evidence that a certificate and a signature of its key are, taken apart and NOT verified. */
export interface UnverifiedPop {
  /** DER, leaf first. */
  readonly chain: readonly Uint8Array[]
  readonly signature: Uint8Array
}

/** The types whose evidence is made this way. The type is part of what is signed. */
export type PopType = Extract<AttestationType, 'x509-pop' | 'spiffe'>

/** Certificates of the chain, the leaf included. */
const MAX_CHAIN = 5
const CONTEXT = Buffer.from('AIMS-X509-POP-v1\0')

/** What the key of the leaf signs: a context of its own, so that no other use of the key makes the same bytes. */
export function popMessage(challenge: Challenge, type: PopType = 'x509-pop'): Buffer {
  return Buffer.concat([CONTEXT, bindingDigest(type, challenge, 'sha256')])
}

/** The one way a key signs: PSS with SHA-256 for RSA, the hash of its size for P-256, P-384 and P-521, Ed25519 as it is. */
export function popScheme(key: KeyObject): VendorSignatureScheme | undefined {
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = key
  if (type === 'ed25519') return { keyType: 'ed25519', hash: null }
  if (type === 'rsa' || type === 'rsa-pss') return { keyType: 'rsa-pss', hash: 'sha256', saltLength: 32 }
  const hash = HASHES[details?.namedCurve ?? '']
  return type === 'ec' && hash !== undefined ? { keyType: 'ec', hash } : undefined
}

const HASHES: { readonly [curve: string]: 'sha256' | 'sha384' | 'sha512' } = {
  prime256v1: 'sha256',
  secp384r1: 'sha384',
  secp521r1: 'sha512',
}

/**
 * Makes the evidence: signs the challenge with the key of the certificate.
 *
 * @param chain - DER, leaf first, without the root.
 * @throws {@link AimsError} `attestation.weak_key` for a kind of key that is not accepted
 */
export function signPop(
  chain: readonly Uint8Array[],
  key: KeyObject,
  challenge: Challenge,
  type: PopType = 'x509-pop',
): Buffer {
  const scheme = popScheme(key)
  if (scheme === undefined)
    throw new AimsError('attestation.weak_key', 'the key is not one of RSA, P-256, P-384, P-521, Ed25519')
  const pss = { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: scheme.saltLength ?? 0 }
  const signature = sign(scheme.hash, popMessage(challenge, type), scheme.saltLength === undefined ? key : pss)
  const base64 = (bytes: Uint8Array): string => asBuffer(bytes).toString('base64')
  return Buffer.from(JSON.stringify({ chain: chain.map(base64), signature: base64(signature) }))
}

/**
 * Reads `{"chain":[base64 of DER, leaf first],"signature":base64}`, strictly.
 *
 * @throws {@link AimsError} `attestation.malformed`
 */
export function parsePop(evidence: Uint8Array): UnverifiedPop {
  const parts = refuseAs('attestation.malformed', 'the evidence is not strict JSON', () => parseJsonObject(evidence))
  const { chain, signature, ...others } = parts
  if (!isJsonObject(parts) || Object.keys(others).length > 0 || !Array.isArray(chain)) throw malformed()
  if (chain.length === 0 || chain.length > MAX_CHAIN) throw malformed()
  return { chain: chain.map(bytes), signature: bytes(signature) }
}

function bytes(value: unknown): Uint8Array {
  const decoded = typeof value === 'string' ? decodeBase64(value) : undefined
  if (decoded === undefined || decoded.length === 0) throw malformed()
  return decoded
}

function malformed(): AimsError {
  return new AimsError('attestation.malformed', `takes chain, 1 to ${MAX_CHAIN} certificates in base64, and signature`)
}
