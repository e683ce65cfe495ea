import { DerReader, TAG } from '../../base/der.ts'
import { AimsError } from '../../base/errors.ts'
import { parsePem } from '../../base/pem.ts'
import { type Certificate, parseCertificate } from '../../base/x509-certificate.ts'
import { MAX_CERTIFICATES } from '../../base/x509-path.ts'

/** A chain that has been read and NOT verified. Nothing in it may be believed. */
export interface UnverifiedX509Svid {
  readonly leaf: Certificate
  readonly intermediates: readonly Certificate[]
}

const MAX_CHAIN_BYTES = 65_536
const MAX_BUNDLE_BYTES = 1_048_576

/**
 * Reads a chain, leaf first: a list of DER certificates, or their concatenation as in the Workload API. At most 8
 * certificates and 64 KiB.
 *
 * Does not verify anything.
 *
 * @throws {@link AimsError} `x509.no_certificate`, `x509.chain_too_long`, `credential.too_large`, `x509.malformed`,
 * `x509.invalid_extension`
 */
export function decodeUnverifiedX509Svid(
  chain: readonly Uint8Array[] | Uint8Array,
  options: { readonly maxCertificates?: number } = {},
): UnverifiedX509Svid {
  const { maxCertificates = MAX_CERTIFICATES } = options
  const ders = chain instanceof Uint8Array ? splitDerChain(chain) : chain
  if (ders.length > maxCertificates) {
    throw new AimsError('x509.chain_too_long', `the chain has more than ${maxCertificates} certificates`)
  }
  if (ders.reduce((sum, { length }) => sum + length, 0) > MAX_CHAIN_BYTES) {
    throw new AimsError('credential.too_large', `the chain is larger than ${MAX_CHAIN_BYTES} bytes`)
  }
  const [leaf, ...intermediates] = ders.map((der) => parseCertificate(der))
  if (leaf === undefined) throw new AimsError('x509.no_certificate', 'the chain has no certificate')
  return { leaf, intermediates }
}

/**
 * Refuses a chain in which anything but a CA follows the leaf, even where no path leads over it.
 *
 * @throws {@link AimsError} `x509.not_a_ca`
 * @see X509-SVID section 5.1
 */
export function requireCas(intermediates: readonly Certificate[]): void {
  if (!intermediates.every(({ isCa, usages }) => isCa && usages?.has('keyCertSign') !== false)) {
    throw new AimsError('x509.not_a_ca', 'a certificate after the leaf may not sign certificates')
  }
}

/**
 * Takes concatenated DER certificates apart, as `x509_svid` and `bundle` of the Workload API carry them. At most 1 MiB.
 *
 * Does not look inside the certificates.
 *
 * @throws {@link AimsError} `x509.malformed`, `credential.too_large`
 * @see SPIFFE Workload API section 5.2.1
 */
export function splitDerChain(concatenated: Uint8Array): readonly Uint8Array[] {
  if (concatenated.length > MAX_BUNDLE_BYTES) throw new AimsError('credential.too_large', 'more than 1 MiB of DER')
  const certificates: Uint8Array[] = []
  try {
    const reader = DerReader.of(concatenated, { maxBytes: MAX_BUNDLE_BYTES })
    while (!reader.isAtEnd) certificates.push(reader.element(TAG.sequence))
  } catch (cause) {
    if (!AimsError.is(cause)) throw cause
    throw new AimsError('x509.malformed', 'not a concatenation of DER certificates', { cause })
  }
  return certificates
}

/**
 * Reads the certificates of a PEM text, in order, as DER. Blocks with other labels, e.g. private keys, are left out.
 *
 * Does not look inside the certificates.
 *
 * @throws {@link AimsError} `pem.malformed`, `x509.no_certificate`
 */
export function parsePemChain(pem: string): readonly Uint8Array[] {
  const certificates = parsePem(pem).flatMap(({ label, bytes }) => (label === 'CERTIFICATE' ? [bytes] : []))
  if (certificates.length === 0) throw new AimsError('x509.no_certificate', 'the PEM text has no certificate')
  return certificates
}
