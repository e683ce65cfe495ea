import { TAG } from '../../base/der.ts'
import { DerWriter } from '../../base/der-writer.ts'
import { AimsError } from '../../base/errors.ts'
import type { PublicKey } from '../../base/keys.ts'
import { isDnsName } from '../../base/x509-names.ts'
import { parseSpiffeId, type SpiffeId } from '../../identifiers/spiffe-id.ts'
import { trustDomainId } from '../../identifiers/trust-domain.ts'
import { requireAuthority, type X509Authority } from './authority.ts'
import {
  leafKeyId,
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

/** Who gets an X.509-SVID, for which key, for how long. */
export interface X509SvidRequest {
  readonly spiffeId: SpiffeId
  /** The workload's own key, or its SubjectPublicKeyInfo in DER, which saves an export. Never a whole request (CSR). */
  readonly publicKey: PublicKey | Uint8Array
  /** Seconds since the epoch, whole. */
  readonly notBefore: number
  /** Seconds since the epoch, whole. Cut to the end of the CA. */
  readonly notAfter: number
  /** Host names for TLS servers, put beside the identifier. Default none. */
  readonly dnsNames?: readonly string[]
}

/** A signed X.509-SVID and what must be remembered of it. */
export interface IssuedX509Svid {
  /** DER, leaf first, then intermediates; never the root. */
  readonly certificates: readonly Uint8Array[]
  /** Lower-case hex; 128 random bits. */
  readonly serialNumber: string
  /** Seconds since the epoch. */
  readonly notAfter: number
}

/**
 * Issues an X.509-SVID: the identifier as the only URI SAN, CA:FALSE, keyUsage digitalSignature, extended key usage
 * serverAuth and clientAuth, an empty subject and therefore a critical SAN.
 *
 * Does not decide who may have the identity, and does not check that the requester holds the private key.
 *
 * @throws {@link AimsError} `x509.wrong_trust_domain`, `x509.root_path`, `x509.expired`, `x509.weak_key`,
 * `x509.invalid_extension`, `key.*`; `identifier.*` for what no parser made
 * @throws TypeError for times that are not whole seconds in order.
 * @see X509-SVID sections 2 to 4
 */
export async function issueX509Svid(request: X509SvidRequest, authority: X509Authority): Promise<IssuedX509Svid> {
  const { spiffeId, notBefore, dnsNames = [] } = request
  requireValidity(notBefore, request.notAfter)
  const { idPrefix, extensions } = templateOf(authority)
  requireOwnIdentifier(spiffeId, idPrefix)
  // A cast is no parse, and what is signed cannot be taken back.
  parseSpiffeId(spiffeId)
  if (!dnsNames.every(isDnsName)) throw new AimsError('x509.invalid_extension', 'a DNS name is malformed')
  const notAfter = Math.min(request.notAfter, authority.expiresAt)
  if (notAfter <= notBefore) throw new AimsError('x509.expired', 'the CA ends before the SVID begins')
  const key = readSubjectKey(request.publicKey)
  const serialNumber = randomSerialNumber()
  const signing = signCertificate(
    {
      serialNumber,
      issuer: authority.certificate.subject,
      subject: EMPTY_SUBJECT,
      notBefore,
      notAfter,
      spki: key.spki,
      writeExtensions: (to) => {
        writeSubjectAltName(to, true, spiffeId, dnsNames)
        writeSubjectKeyId(to, leafKeyId(key.bits))
        to.raw(extensions)
      },
    },
    authority.signer,
  )
  const leaf = signing instanceof Uint8Array ? signing : await signing
  return { certificates: [leaf, ...authority.chain], serialNumber: serialNumber.text, notAfter }
}

// The identifier stands in one place only: a CN beside it would be taken for a host name or an identity by somebody.
const EMPTY_SUBJECT = Uint8Array.of(TAG.sequence, 0)

function requireOwnIdentifier(spiffeId: SpiffeId, idPrefix: string): void {
  if (spiffeId.startsWith(idPrefix)) return
  if (`${spiffeId}/` === idPrefix) throw new AimsError('x509.root_path', 'the identifier has no path')
  throw new AimsError('x509.wrong_trust_domain', 'the identifier is of another trust domain than the CA')
}

const DIGITAL_SIGNATURE = Uint8Array.of(TAG.bitString, 2, 7, 0b1000_0000)
const NOT_A_CA = Uint8Array.of(TAG.sequence, 0)

/** What is the same in every SVID of a CA. */
interface Template {
  /** What identifiers of the trust domain begin with. */
  readonly idPrefix: string
  /** basicConstraints, keyUsage, extended key usage, authority key identifier. */
  readonly extensions: Uint8Array
}

const templates = new WeakMap<X509Authority, Template>()

function templateOf(authority: X509Authority): Template {
  let template = templates.get(authority)
  if (template === undefined) {
    requireAuthority(authority)
    template = { idPrefix: `${trustDomainId(authority.trustDomain)}/`, extensions: writeFixedExtensions(authority) }
    templates.set(authority, template)
  }
  return template
}

function writeFixedExtensions(authority: X509Authority): Uint8Array {
  const to = new DerWriter(256)
  writeAuthorityKeyId(to, authority.keyId)
  writeExtension(to, OID.extendedKeyUsage, false, () => {
    const purposes = to.mark()
    to.raw(OID.clientAuth)
    to.raw(OID.serverAuth)
    to.wrap(TAG.sequence, purposes)
  })
  writeExtension(to, OID.keyUsage, true, () => to.raw(DIGITAL_SIGNATURE))
  writeExtension(to, OID.basicConstraints, true, () => to.raw(NOT_A_CA))
  return to.take()
}
