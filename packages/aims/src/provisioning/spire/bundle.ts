import { AimsError } from '../../base/errors.ts'
import { type VerificationKey, verificationKey } from '../../base/keys.ts'
import { publicKeyFromSpki } from '../../base/spki.ts'
import { parseCertificate } from '../../base/x509-certificate.ts'
import type { TrustBundle } from '../../credentials/bundle/bundle.ts'
import type { TrustDomain } from '../../identifiers/spiffe-id.ts'
import type { SpireBundle, SpireJwtKey } from './messages.ts'

/** Whom a SPIRE server believes. */
export interface SpireTrust {
  readonly bundle: TrustBundle
  /** X.509 authorities of the bundle that are not to be relied on, DER: what is below them is to be replaced before they leave it. */
  readonly tainted: readonly Uint8Array[]
}

/**
 * Reads a bundle as SPIRE's server API gives it. Keys of a type that is not supported are left out: others still can be used.
 *
 * @throws {@link AimsError} `bundle.wrong_trust_domain`, `.missing_keys` (no X.509 authority), `.missing_kid`, `.duplicate_kid`,
 *   `.invalid_key`
 */
export function readSpireBundle(message: SpireBundle, trustDomain: TrustDomain): SpireTrust {
  if (message.trustDomain !== trustDomain) {
    throw new AimsError('bundle.wrong_trust_domain', 'the bundle is that of another trust domain')
  }
  const x509Authorities = message.x509Authorities.map(({ asn1 }) => asn1)
  const tainted = message.x509Authorities.flatMap((one) => (one.tainted ? [one.asn1] : []))
  if (x509Authorities.length === 0) throw new AimsError('bundle.missing_keys', 'the bundle has no X.509 authority')
  x509Authorities.forEach(requireCertificate)
  const jwtAuthorities = new Map<string, VerificationKey>()
  for (const { publicKey, keyId: kid } of message.jwtAuthorities) {
    if (kid === '') throw new AimsError('bundle.missing_kid', 'a key has no id')
    if (jwtAuthorities.has(kid)) throw new AimsError('bundle.duplicate_kid', 'two keys have the same id')
    const key = readKey(publicKey, kid)
    if (key !== undefined) jwtAuthorities.set(kid, key)
  }
  return { bundle: { trustDomain, x509Authorities, jwtAuthorities, witAuthorities: new Map() }, tainted }
}

function requireCertificate(der: Uint8Array): void {
  try {
    parseCertificate(der)
  } catch (cause) {
    throw new AimsError('bundle.invalid_key', 'an authority is not a certificate', { cause })
  }
}

function readKey(spki: SpireJwtKey['publicKey'], kid: string): VerificationKey | undefined {
  const key = publicKeyFromSpki(spki)
  if (key === undefined) throw new AimsError('bundle.invalid_key', 'an authority is not a public key')
  try {
    return verificationKey(key, { kid })
  } catch (cause) {
    if (AimsError.is(cause) && cause.code === 'key.unsupported') return undefined
    throw cause
  }
}
