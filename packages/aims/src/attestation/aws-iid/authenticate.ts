import type { KeyObject } from 'node:crypto'
import { requireTime } from '../../base/clock.ts'
import { AimsError, refuseAs } from '../../base/errors.ts'
import { isSigner, verifySignedData } from '../cms/verify.ts'
import type { CollateralSource } from '../collateral.ts'
import { isStrongKey, verifyVendorSignature } from '../x509/signature.ts'
import { parseVendorCertificates, type VendorCertificate, vendorPublicKey } from '../x509/vendor-certificate.ts'
import type { UnverifiedIid } from './format.ts'
import type { RegionCertificates } from './roots.ts'

/** What identity documents must be signed with. */
export interface AwsIidTrust {
  /** `AWS_IID_CERTIFICATES`, or those of the regions in use. */
  readonly certificates: RegionCertificates
  /**
   * Certificates of the `pkcs7` (DSA-1024, SHA-1) and `signature` (RSA-1024) forms: `AWS_IID_LEGACY_CERTIFICATES`.
   * Absent, as it should be: these forms are refused.
   */
  readonly legacyCertificates?: RegionCertificates
  /** `aws/iid/<region>.pem`, else `aws/iid/certificates.pem`: certificates in PEM or DER, of all forms. */
  readonly collateral: CollateralSource
}

/**
 * Checks the signature under the pinned certificate of the region that the signed document names.
 *
 * @returns that certificate
 * @throws {@link AimsError} `attestation.weak_key`, `.issuer_unknown`, `.collateral_missing`, `.collateral_malformed`,
 *   `.key_unknown`, `.invalid_signature`, `.expired`, `.not_yet_valid`
 */
export function authenticateIid(
  iid: UnverifiedIid,
  region: string,
  trust: AwsIidTrust,
  now: number,
): VendorCertificate {
  const isLegacy = iid.form === 'signature' || iid.message.suite.name === 'pkcs7'
  const pins = isLegacy ? trust.legacyCertificates : trust.certificates
  if (pins === undefined) {
    throw new AimsError('attestation.weak_key', 'this form is signed with a weak key: send the rsa2048 form')
  }
  const pinned = [...pinsOf(pins, region), ...pinsOf(pins, '*')]
  if (pinned.length === 0)
    throw new AimsError('attestation.issuer_unknown', 'no certificate of this region is configured')
  const candidates = certificatesOf(trust.collateral, region).filter(({ fingerprint }) => pinned.includes(fingerprint))
  const certificate = candidates.find((one) => checks(iid, one))
  if (certificate === undefined) {
    throw new AimsError('attestation.key_unknown', 'no configured certificate of this region is that of the signer')
  }
  checkCertificate(certificate, isLegacy, now)
  return certificate
}

function pinsOf(pins: RegionCertificates, region: string): readonly string[] {
  return Object.hasOwn(pins, region) ? (pins[region] ?? []) : []
}

function certificatesOf(collateral: CollateralSource, region: string): readonly VendorCertificate[] {
  const files = [`aws/iid/${region}.pem`, 'aws/iid/certificates.pem'].map((name) => collateral.get(name))
  const present = files.filter((file) => file !== undefined)
  if (present.length === 0) {
    throw new AimsError('attestation.collateral_missing', `aws/iid/${region}.pem is not at hand`)
  }
  return refuseAs('attestation.collateral_malformed', 'a file of AWS certificates cannot be read', () =>
    present.flatMap(parseVendorCertificates),
  )
}

// A message names its signer; a bare signature does not, so each RSA certificate of the region is tried.
function checks(iid: UnverifiedIid, certificate: VendorCertificate): boolean {
  if (iid.form === 'cms') {
    if (!isSigner(iid.message, certificate)) return false
    verifySignedData(iid.message, certificate)
    return true
  }
  const key = vendorPublicKey(certificate)
  return (
    key.asymmetricKeyType === 'rsa' &&
    verifyVendorSignature({ keyType: 'rsa', hash: 'sha256' }, key, iid.document, iid.signature)
  )
}

function checkCertificate(certificate: VendorCertificate, isLegacy: boolean, now: number): void {
  requireTime(now)
  if (now < certificate.notBefore) {
    throw new AimsError('attestation.not_yet_valid', 'the certificate of the region is not valid yet')
  }
  if (Math.floor(now) > certificate.notAfter) {
    throw new AimsError('attestation.expired', 'the certificate of the region has expired')
  }
  const key = vendorPublicKey(certificate)
  if (!isStrongKey(key) && !(isLegacy && isLegacyKey(key))) {
    throw new AimsError('attestation.weak_key', 'the certificate of the region has a weak key')
  }
}

function isLegacyKey({ asymmetricKeyType: type, asymmetricKeyDetails: details }: KeyObject): boolean {
  return (type === 'rsa' || type === 'dsa') && (details?.modulusLength ?? 0) >= 1024
}
