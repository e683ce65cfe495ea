import type { KeyObject } from 'node:crypto'
import { asBuffer } from '../../base/bytes.ts'
import { TAG } from '../../base/der.ts'
import { DerWriter } from '../../base/der-writer.ts'
import { AimsError } from '../../base/errors.ts'
import type { Signer } from '../../base/keys.ts'
import type { TrustDomain } from '../../identifiers/spiffe-id.ts'
import { trustDomainId } from '../../identifiers/trust-domain.ts'
import { requireAuthority, type X509Authority } from './authority.ts'
import {
  caKeyId,
  OID,
  randomSerialNumber,
  readSubjectKey,
  requireValidity,
  signCertificate,
  writeAuthorityKeyId,
  writeExtension,
  writeSubjectAltName,
  writeSubjectKeyId,
} from './certificate-writer.ts'

/** What a CA certificate says, whoever signs it. */
interface CaRequestBase {
  readonly trustDomain: TrustDomain
  /** Seconds since the epoch, whole. */
  readonly notBefore: number
  /** Seconds since the epoch, whole. Cut to the end of the issuer. */
  readonly notAfter: number
  /** How many CAs may stand between this one and a leaf. Default: no limit. */
  readonly pathLength?: number
  /** Adds a critical name constraint: whatever is issued below has no URI of another trust domain. Default false. */
  readonly isConfined?: boolean
}

/** A root signs itself; an intermediate gets its key certified by `issuer`. */
export type CaCertificateRequest =
  | (CaRequestBase & { readonly signer: Signer; readonly issuer?: never })
  | (CaRequestBase & {
      readonly issuer: X509Authority
      /** Key, or SubjectPublicKeyInfo in DER. */
      readonly subjectKey: KeyObject | Uint8Array
    })

// basicConstraints CA:TRUE without pathLen; keyUsage keyCertSign, cRLSign.
const CERT_AND_CRL_SIGN = Uint8Array.of(TAG.bitString, 2, 1, 0b0000_0110)
const IS_CA = Uint8Array.of(TAG.boolean, 1, 0xff)
const MAX_NAME = 64

/**
 * Issues the certificate of a CA of a trust domain: an SVID of the trust domain itself, CA:TRUE, keyCertSign and
 * cRLSign.
 *
 * @returns DER
 * @throws {@link AimsError} `x509.wrong_trust_domain`, `x509.path_length`, `x509.expired`, `x509.weak_key`, `key.*`
 * @throws TypeError for times that are not whole seconds in order, or a path length that is not from 0 to 7.
 * @see X509-SVID sections 3.2 and 4; RFC 5280 section 4.2.1
 */
export async function issueCaCertificate(request: CaCertificateRequest): Promise<Uint8Array> {
  const { trustDomain, notBefore, issuer } = request
  if (issuer !== undefined) requireAuthority(issuer)
  const pathLength = requirePathLength(request)
  const notAfter = Math.min(request.notAfter, issuer?.expiresAt ?? request.notAfter)
  requireValidity(notBefore, request.notAfter)
  if (issuer !== undefined && issuer.trustDomain !== trustDomain) {
    throw new AimsError('x509.wrong_trust_domain', 'the issuer is the CA of another trust domain')
  }
  if (notAfter <= notBefore) throw new AimsError('x509.expired', 'the issuer ends before the new CA begins')
  const key = readSubjectKey(request.issuer === undefined ? request.signer.publicKey : request.subjectKey)
  const keyId = caKeyId(key.bits)
  const subject = writeCaName(trustDomain, keyId)
  return signCertificate(
    {
      serialNumber: randomSerialNumber(),
      issuer: issuer?.certificate.subject ?? subject,
      subject,
      notBefore,
      notAfter,
      spki: key.spki,
      writeExtensions: (to) => {
        writeSubjectAltName(to, false, trustDomainId(trustDomain))
        writeAuthorityKeyId(to, issuer?.keyId ?? keyId)
        writeSubjectKeyId(to, keyId)
        if (request.isConfined === true) writeNameConstraint(to, trustDomain)
        writeExtension(to, OID.keyUsage, true, () => to.raw(CERT_AND_CRL_SIGN))
        writeExtension(to, OID.basicConstraints, true, () => {
          const fields = to.mark()
          if (pathLength !== undefined) to.element(TAG.integer, Uint8Array.of(pathLength))
          to.raw(IS_CA)
          to.wrap(TAG.sequence, fields)
        })
      },
    },
    request.issuer === undefined ? request.signer : request.issuer.signer,
  )
}

function requirePathLength({ pathLength, issuer }: CaCertificateRequest): number | undefined {
  if (pathLength !== undefined && !(Number.isInteger(pathLength) && pathLength >= 0 && pathLength <= 7)) {
    throw new TypeError('pathLength is a whole number from 0 to 7')
  }
  const allowed = issuer?.certificate.extensions.basicConstraints?.pathLength
  if (allowed === 0) throw new AimsError('x509.path_length', 'the issuer may not certify further CAs')
  if (allowed === undefined) return pathLength
  return Math.min(pathLength ?? allowed - 1, allowed - 1)
}

// permittedSubtrees with one URI. A host without a leading dot is that host alone (RFC 5280 section 4.2.1.10).
function writeNameConstraint(to: DerWriter, trustDomain: TrustDomain): void {
  writeExtension(to, OID.nameConstraints, true, () => {
    const constraints = to.mark()
    to.ascii(0x86, trustDomain)
    to.wrap(TAG.sequence, constraints)
    to.wrap(0xa0, constraints)
    to.wrap(TAG.sequence, constraints)
  })
}

// O=<trust domain>, CN=SPIFFE CA <key identifier>. The key identifier keeps the names of successive CAs apart: two CAs
// of one name and different keys would cost every verifier a failed signature check.
function writeCaName(trustDomain: TrustDomain, keyId: Uint8Array): Uint8Array {
  const to = new DerWriter(256)
  const name = to.mark()
  for (const [oid, text] of [
    [OID.commonName, `SPIFFE CA ${asBuffer(keyId).toString('hex', 0, 8)}`],
    // RFC 5280 appendix A.1: ub-organization-name is 64.
    [OID.organization, trustDomain.slice(0, MAX_NAME)],
  ] as const) {
    const rdn = to.mark()
    to.ascii(TAG.utf8String, text)
    to.raw(oid)
    to.wrap(TAG.sequence, rdn)
    to.wrap(TAG.set, rdn)
  }
  to.wrap(TAG.sequence, name)
  return to.take()
}
