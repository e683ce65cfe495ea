import { constants, type KeyObject, verify } from 'node:crypto'
import { DerReader, TAG } from '../../base/der.ts'
import { AimsError } from '../../base/errors.ts'

/** How vendors sign certificates, revocation lists and statements. */
export interface VendorSignatureScheme {
  readonly keyType: 'ec' | 'rsa' | 'rsa-pss' | 'ed25519'
  /** For node:crypto; `null` for Ed25519. */
  readonly hash: 'sha256' | 'sha384' | 'sha512' | null
  /** RSASSA-PSS only, bytes. */
  readonly saltLength?: number
}

const BY_OID: { readonly [oid: string]: VendorSignatureScheme } = {
  '1.2.840.10045.4.3.2': { keyType: 'ec', hash: 'sha256' },
  '1.2.840.10045.4.3.3': { keyType: 'ec', hash: 'sha384' },
  '1.2.840.10045.4.3.4': { keyType: 'ec', hash: 'sha512' },
  '1.2.840.113549.1.1.11': { keyType: 'rsa', hash: 'sha256' },
  '1.2.840.113549.1.1.12': { keyType: 'rsa', hash: 'sha384' },
  '1.2.840.113549.1.1.13': { keyType: 'rsa', hash: 'sha512' },
  '1.3.101.112': { keyType: 'ed25519', hash: null },
}
const PSS = '1.2.840.113549.1.1.10'
const MGF1 = '1.2.840.113549.1.1.8'
const HASHES: { readonly [oid: string]: 'sha256' | 'sha384' | 'sha512' } = {
  '2.16.840.1.101.3.4.2.1': 'sha256',
  '2.16.840.1.101.3.4.2.2': 'sha384',
  '2.16.840.1.101.3.4.2.3': 'sha512',
}

/**
 * Reads an AlgorithmIdentifier of a signature, or returns `undefined` for one that is not accepted (SHA-1, MD5, DSA,
 * PSS with two hashes ...).
 *
 * @throws {@link AimsError} `der.*`
 * @see RFC 5758, RFC 4055
 */
function vendorSignatureScheme(algorithmIdentifier: Uint8Array): VendorSignatureScheme | undefined {
  const input = DerReader.of(algorithmIdentifier)
  const fields = input.enter(TAG.sequence)
  input.end()
  const oid = fields.oid()
  if (oid === PSS) return readPss(fields)
  const scheme = Object.hasOwn(BY_OID, oid) ? BY_OID[oid] : undefined
  if (scheme === undefined) return undefined
  // RSA has NULL parameters, the others none.
  if (scheme.keyType === 'rsa') fields.null()
  fields.end()
  return scheme
}

function readPss(fields: DerReader): VendorSignatureScheme | undefined {
  const params = fields.enter(TAG.sequence)
  fields.end()
  // Each has a default of SHA-1 or of what follows from it, so each must be written out.
  const hash = readHash(params.enter(0xa0))
  const mgf = params.enter(0xa1).enter(TAG.sequence)
  const isMgf1 = mgf.oid() === MGF1
  const mgfHash = readHash(mgf)
  const saltLength = params.enter(0xa2).smallInteger()
  const trailer = params.isAtEnd ? 1 : params.enter(0xa3).smallInteger()
  params.end()
  if (hash === undefined || !isMgf1 || mgfHash !== hash || saltLength > 64 || trailer !== 1) return undefined
  return { keyType: 'rsa-pss', hash, saltLength }
}

function readHash(holder: DerReader): 'sha256' | 'sha384' | 'sha512' | undefined {
  const algorithm = holder.enter(TAG.sequence)
  holder.end()
  const oid = algorithm.oid()
  if (!algorithm.isAtEnd) algorithm.null()
  algorithm.end()
  return Object.hasOwn(HASHES, oid) ? HASHES[oid] : undefined
}

/** True when `key` made this signature under the scheme. Never throws. */
export function verifyVendorSignature(
  scheme: VendorSignatureScheme,
  key: KeyObject,
  data: Uint8Array,
  signature: Uint8Array,
): boolean {
  // A key for RSA of any padding may have made a PSS signature; a key restricted to PSS made nothing else.
  const fits =
    key.asymmetricKeyType === scheme.keyType || (scheme.keyType === 'rsa-pss' && key.asymmetricKeyType === 'rsa')
  if (!fits) return false
  try {
    if (scheme.saltLength === undefined) return verify(scheme.hash, data, key, signature)
    return verify(
      scheme.hash,
      data,
      { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: scheme.saltLength },
      signature,
    )
  } catch {
    return false
  }
}

/** The same for an AlgorithmIdentifier as it stands beside the signature. */
export function requireScheme(algorithmIdentifier: Uint8Array): VendorSignatureScheme {
  const scheme = vendorSignatureScheme(algorithmIdentifier)
  if (scheme === undefined) throw new AimsError('attestation.weak_key', 'a signature algorithm is not accepted')
  return scheme
}

/** Whether a key is strong enough to vouch: RSA 2048 to 4096 bits, P-256, P-384, P-521, Ed25519. */
export function isStrongKey(key: KeyObject): boolean {
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = key
  if (type === 'ed25519') return true
  if (type === 'ec') return ['prime256v1', 'secp384r1', 'secp521r1'].includes(details?.namedCurve ?? '')
  if (type !== 'rsa' && type !== 'rsa-pss') return false
  const bits = details?.modulusLength ?? 0
  return bits >= 2048 && bits <= 4096 && (details?.publicExponent ?? 0n) > 1n
}
