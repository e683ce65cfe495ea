import { asBuffer } from '../../base/bytes.ts'
import { AimsError } from '../../base/errors.ts'
import { type Signer, spkiBytes } from '../../base/keys.ts'
import { createSealer, type Sealed } from '../../base/seal.ts'
import { type Certificate, parseCertificate } from '../../base/x509-certificate.ts'
import { isSignedBy } from '../../base/x509-path.ts'
import type { TrustDomain } from '../../identifiers/spiffe-id.ts'
import { trustDomainId } from '../../identifiers/trust-domain.ts'
import { requireSignatureAlgorithm } from './certificate-writer.ts'

/** A CA that issues the X.509-SVIDs of one trust domain. Only {@link createX509Authority} makes one. */
export interface X509Authority extends Sealed<'X509Authority'> {
  readonly kind: 'x509-authority'
  readonly trustDomain: TrustDomain
  readonly signer: Signer
  readonly certificate: Certificate
  /** Its subjectKeyIdentifier: what issued certificates name in authorityKeyIdentifier. */
  readonly keyId: Uint8Array
  /** What follows the leaf in every issued chain: this CA and those above it, without the root. */
  readonly chain: readonly Uint8Array[]
  /** The earliest end of the CA and its chain, seconds since the epoch: nothing issued lives longer. */
  readonly expiresAt: number
}

const sealer = createSealer<X509Authority>()

/** The parts of a CA, as they come from disk or from an upstream CA. */
export interface X509AuthorityOptions {
  readonly trustDomain: TrustDomain
  /** Holds the key of `certificate`. */
  readonly signer: Signer
  /** DER. */
  readonly certificate: Uint8Array
  /** CA certificates above this one, nearest first. A root at the end is left out of what is issued. Default none. */
  readonly chain?: readonly Uint8Array[]
}

/**
 * Puts a CA together and checks that its parts belong together: key, CA rights, trust domain, chain of signatures.
 *
 * Does not check times, nor that anyone trusts the root.
 *
 * @throws {@link AimsError} `x509.malformed`, `x509.invalid_extension`, `x509.not_a_ca`, `x509.key_mismatch`,
 * `x509.weak_key`, `x509.wrong_trust_domain`, `x509.invalid_signature`, `key.unsupported`
 * @see X509-SVID sections 3.2 and 4
 */
export function createX509Authority(options: X509AuthorityOptions): X509Authority {
  const { trustDomain, signer } = options
  requireSignatureAlgorithm(signer)
  const certificate = parseCertificate(options.certificate)
  const path = [certificate, ...(options.chain ?? []).map((der) => parseCertificate(der))]
  path.forEach(requireCa)
  if (!asBuffer(certificate.spkiDer).equals(spkiBytes(signer.publicKey))) {
    throw new AimsError('x509.key_mismatch', 'the signer does not hold the key of the CA certificate')
  }
  const { uris } = certificate.altNames
  if (uris.length > 0 && (uris.length > 1 || uris[0] !== trustDomainId(trustDomain))) {
    throw new AimsError('x509.wrong_trust_domain', 'the CA certificate is for another trust domain')
  }
  for (const [i, issuer] of path.slice(1).entries()) requireIssued(path[i] as Certificate, issuer)
  return sealer.seal({
    kind: 'x509-authority',
    trustDomain,
    signer,
    certificate,
    keyId: certificate.extensions.subjectKeyId as Uint8Array,
    chain: path.filter(({ isSelfIssued }) => !isSelfIssued).map(({ raw }) => raw),
    expiresAt: Math.min(...path.map(({ notAfter }) => notAfter)),
  })
}

/** Refuses what {@link createX509Authority} has not made, and so not checked. @throws TypeError */
export function requireAuthority(authority: X509Authority): void {
  if (!sealer.isSealed(authority)) throw new TypeError('the authority is not what createX509Authority returned')
}

function requireCa({ isCa, usages, extensions, keyType }: Certificate): void {
  if (!isCa || usages?.has('keyCertSign') === false) {
    throw new AimsError('x509.not_a_ca', 'the certificate may not sign certificates')
  }
  if (extensions.subjectKeyId === undefined) {
    throw new AimsError('x509.invalid_extension', 'the CA certificate has no subject key identifier')
  }
  if (keyType === 'unsupported') throw new AimsError('x509.weak_key', 'the key of the CA is not supported')
}

function requireIssued(certificate: Certificate, issuer: Certificate): void {
  if (!asBuffer(certificate.issuer).equals(issuer.subject) || !isSignedBy(certificate, issuer)) {
    throw new AimsError('x509.invalid_signature', 'the CA certificates do not follow from one another')
  }
}
