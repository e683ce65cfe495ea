import { AimsError, refuseAs } from '../../base/errors.ts'
import { parseJsonObject } from '../../base/json.ts'
import { unpackCms } from '../cms/packaging.ts'
import { type CmsProfile, type CmsSuite, parseSignedData, type UnverifiedSignedData } from '../cms/signed-data.ts'
import { isSigner } from '../cms/verify.ts'
import { parseVendorCertificate, type VendorCertificate } from '../x509/vendor-certificate.ts'

/** An attested document taken apart and NOT verified. */
export interface UnverifiedAzure {
  readonly message: UnverifiedSignedData
  /** The one certificate of the message with issuer and serial number of its signer. */
  readonly signer: VendorCertificate
  /** The other certificates of the message. */
  readonly others: readonly VendorCertificate[]
}

const SHA256 = '300d06096086480165030402010500'
const RSA = '300d06092a864886f70d0101010500'
const RSA_SHA256 = '300d06092a864886f70d01010b0500'
const suite = (digestAlgorithm: string, signatureAlgorithm: string): CmsSuite => ({
  name: 'rsa-sha256',
  digestAlgorithm,
  signatureAlgorithm,
  hash: 'sha256',
  keyType: 'rsa',
})
const PROFILE: CmsProfile = {
  encoding: 'der',
  // Azure names a signature algorithm where a digest belongs (N4). The second is what the standard asks for.
  suites: [suite(RSA_SHA256, RSA), suite(SHA256, RSA)],
  signedAttributes: 'absent',
  certificates: 'required',
}

/**
 * Takes an attested document apart: the `signature` as text, DER, PEM or hex, or the whole JSON answer of the metadata
 * service. Finds the certificate of the signer by issuer and serial number; its place in the list says nothing (N2).
 *
 * @throws {@link AimsError} `attestation.malformed`, `attestation.unsupported`, `attestation.too_large`,
 *   `attestation.key_unknown` when the certificate of the signer is not in the message
 */
export function parseAzure(evidence: Uint8Array): UnverifiedAzure {
  const message = parseSignedData(unpackCms(evidence[0] === 0x7b ? signatureOf(evidence) : evidence), PROFILE)
  const certificates = message.certificates.map(parseVendorCertificate)
  const [signer, second] = certificates.filter((one) => isSigner(message, one))
  if (signer === undefined) {
    throw new AimsError('attestation.key_unknown', 'the certificate of the signer is not in the attested document')
  }
  if (second !== undefined) throw malformed('two certificates are that of the signer')
  return { message, signer, others: certificates.filter((one) => one !== signer) }
}

function signatureOf(evidence: Uint8Array): Uint8Array {
  const { encoding, signature, ...rest } = refuseAs('attestation.malformed', 'the evidence is not strict JSON', () =>
    parseJsonObject(evidence),
  )
  if (encoding !== 'pkcs7' || typeof signature !== 'string' || Object.keys(rest).length > 0) {
    throw malformed('takes {"encoding": "pkcs7", "signature": "..."}')
  }
  return Buffer.from(signature)
}

function malformed(rule: string): AimsError {
  return new AimsError('attestation.malformed', `the attested document: ${rule}`)
}
