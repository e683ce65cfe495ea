import { hash, type KeyObject, verify } from 'node:crypto'
import { asBuffer, equalConstantTime } from '../../base/bytes.ts'
import { AimsError } from '../../base/errors.ts'
import { type VendorCertificate, vendorPublicKey } from '../x509/vendor-certificate.ts'
import type { UnverifiedSignedData } from './signed-data.ts'

/** True when a message names this certificate as that of its signer: issuer and serial number, byte for byte. */
export function isSigner(
  { issuer, serial }: Pick<UnverifiedSignedData, 'issuer' | 'serial'>,
  certificate: VendorCertificate,
): boolean {
  return asBuffer(issuer).equals(certificate.issuer) && asBuffer(serial).equals(certificate.serial)
}

/**
 * Checks that the key of the named signer signed this content, through the signed attributes where there are any.
 *
 * Does not check who the signer is: its certificate must be pinned, or lead to a root.
 *
 * @throws {@link AimsError} `attestation.key_unknown` for another certificate, `attestation.invalid_signature`,
 *   `attestation.weak_key`
 * @see RFC 5652 sections 5.4 to 5.6
 */
export function verifySignedData(data: UnverifiedSignedData, certificate: VendorCertificate): void {
  if (!isSigner(data, certificate)) {
    throw new AimsError('attestation.key_unknown', 'the certificate is not that of the signer of the CMS message')
  }
  const { suite, content, signature, signedAttributes } = data
  const key = vendorPublicKey(certificate)
  const isDigest =
    signedAttributes === undefined ||
    equalConstantTime(hash(suite.hash, content, 'buffer'), signedAttributes.messageDigest)
  const signed = signedAttributes?.signed ?? content
  if (!isDigest || key.asymmetricKeyType !== suite.keyType || !holds(suite.hash, signed, key, signature)) {
    throw new AimsError('attestation.invalid_signature', 'the signature of the CMS message does not verify')
  }
}

function holds(algorithm: string, data: Uint8Array, key: KeyObject, signature: Uint8Array): boolean {
  try {
    return verify(algorithm, data, key, signature)
  } catch {
    return false
  }
}
