import { sha256Base64url } from '../../base/bytes.ts'
import { AimsError, refuseAs } from '../../base/errors.ts'
import { sealInTypes } from '../../base/seal.ts'
import { type Certificate, parseCertificate } from '../../base/x509-certificate.ts'
import { DEFAULT_MAX_CERTIFICATES, validatePath } from '../../base/x509-path.ts'
import { parseSpiffeId, pathOf, type TrustDomain, trustDomainOf, type WorkloadId } from '../../identifiers/spiffe-id.ts'
import { parseWimseId } from '../../identifiers/wimse-id.ts'
import type { BundleSource } from '../bundle/bundle.ts'
import { vouchesFor } from '../token.ts'
import { decodeUnverifiedX509Svid, requireCas } from './parse.ts'
import type { VerifiedX509Svid } from './x509-svid.ts'

/** What the relying party knows for itself. None of it may come from the peer. */
export interface X509SvidExpectations {
  /** The authorities of each trust domain. The identifier's own domain is looked up, never another one. */
  readonly bundles: BundleSource
  /** Seconds since the epoch. */
  readonly now: number
  /**
   * `svid`: every rule of X509-SVID. `wic`: a Workload Identity Certificate, which needs no keyUsage, may be for one
   * purpose only, and may carry a `wimse://` identifier. Default `svid`.
   */
  readonly mode?: 'svid' | 'wic'
  /** The only trust domain whose workloads are expected. Default: all that have a bundle. */
  readonly trustDomain?: TrustDomain
  /** Accept a leaf with an Ed25519 key, which many TLS stacks cannot use. Default false. */
  readonly ed25519?: boolean
  /** Certificates presented, and of the path with its anchor. Default 6, at most 8. */
  readonly maxCertificates?: number
}

const SERVER_AUTH = '1.3.6.1.5.5.7.3.1'
const CLIENT_AUTH = '1.3.6.1.5.5.7.3.2'

/**
 * Verifies an X.509-SVID or WIC: identifier, profile of the leaf, and the path to an authority of its own trust domain.
 *
 * Does not check that the peer holds the private key (TLS does), nor the host name of a server (RFC 9525), nor what the
 * workload may do.
 *
 * @param chain - DER, leaf first.
 * @throws {@link AimsError} `x509.*`, `credential.too_large`: the first check that failed
 * @throws TypeError for options out of range.
 * @see X509-SVID section 5; draft-ietf-wimse-workload-creds-02, section "Workload Identity Certificate"
 */
export function verifyX509Svid(chain: readonly Uint8Array[], expected: X509SvidExpectations): VerifiedX509Svid {
  const { bundles, now, mode = 'svid', ed25519 = false, maxCertificates = DEFAULT_MAX_CERTIFICATES } = expected
  // Anything else would be the laxer one.
  if (mode !== 'svid' && mode !== 'wic') throw new TypeError('mode is svid or wic')
  if (typeof ed25519 !== 'boolean') throw new TypeError('ed25519 is true or false')
  const { leaf, intermediates } = decodeUnverifiedX509Svid(chain, { maxCertificates })
  const subject = readIdentifier(leaf, mode)
  checkProfile(leaf, mode)
  // The path comes after the profile, so that a CA certificate is refused as what it is.
  if (pathOf(subject) === '') throw new AimsError('x509.root_path', 'the identifier has no path')
  if (leaf.keyType === 'Ed25519' && !ed25519) {
    throw new AimsError('x509.weak_key', 'an Ed25519 key needs the option ed25519')
  }
  requireCas(intermediates)
  const trustDomain = trustDomainOf(subject)
  if (expected.trustDomain !== undefined && expected.trustDomain !== trustDomain) {
    throw new AimsError('x509.wrong_trust_domain', 'the identifier is in another trust domain than expected')
  }
  const anchors = anchorsOf(bundles, subject)
  // X509-SVID demands neither key identifiers nor that a CA marks basicConstraints critical, and issuers leave them out.
  const path = validatePath({ leaf, intermediates, anchors, now, maxCertificates, conformingIssuers: false })
  return sealInTypes<VerifiedX509Svid>({
    kind: 'verified-x509-svid',
    mode,
    subject,
    trustDomain,
    publicKey: leaf.subjectPublicKey,
    expiresAt: path.expiresAt,
    notBefore: leaf.notBefore,
    serialNumber: leaf.serialNumber,
    thumbprint: sha256Base64url(leaf.raw),
    dnsNames: leaf.altNames.dnsNames,
  })
}

/** Reads the one identifier of a leaf, a path not being demanded. @throws {@link AimsError} `x509.uri_san_count`, `x509.invalid_identifier` */
function readIdentifier({ altNames: { uris } }: Certificate, mode: 'svid' | 'wic'): WorkloadId {
  const [uri] = uris
  if (uri === undefined || uris.length > 1) throw new AimsError('x509.uri_san_count', 'not exactly one URI SAN')
  return refuseAs('x509.invalid_identifier', 'the URI SAN is not a workload identifier', () =>
    mode === 'svid' ? parseSpiffeId(uri) : parseWimseId(uri, { allowOrigin: true }),
  )
}

function checkProfile({ isCa, extensions }: Certificate, mode: 'svid' | 'wic'): void {
  const { keyUsage, extendedKeyUsage } = extensions
  if (isCa) throw new AimsError('x509.leaf_is_ca', 'a CA certificate does not authenticate')
  if (mode === 'svid' && keyUsage === undefined) throw new AimsError('x509.missing_key_usage', 'keyUsage is absent')
  if (mode === 'svid' && keyUsage?.critical === false) {
    throw new AimsError('x509.key_usage_not_critical', 'keyUsage is not critical')
  }
  if (keyUsage !== undefined) {
    const { usages } = keyUsage
    if (usages.has('keyCertSign') || usages.has('cRLSign') || !usages.has('digitalSignature')) {
      throw new AimsError('x509.key_usage', 'keyUsage is not that of a workload')
    }
  }
  if (mode === 'svid' && extendedKeyUsage !== undefined) {
    const { purposes } = extendedKeyUsage
    if (!purposes.includes(SERVER_AUTH) || !purposes.includes(CLIENT_AUTH)) {
      throw new AimsError('x509.extended_key_usage', 'extended key usage lacks serverAuth or clientAuth')
    }
  }
}

function anchorsOf(bundles: BundleSource, subject: WorkloadId): readonly Certificate[] {
  const bundle = bundles.bundleFor(trustDomainOf(subject))
  if (bundle === undefined || !vouchesFor(bundle, subject) || bundle.x509Authorities.length === 0) {
    throw new AimsError('x509.untrusted_domain', 'no X.509 authority for scheme and trust domain of the certificate')
  }
  return bundle.x509Authorities.flatMap((der) => readAnchor(der) ?? [])
}

// By the array that the bundle holds: bundles are replaced when they change, not written to.
const anchorCache = new WeakMap<Uint8Array, Certificate | 'unusable'>()

// One authority that cannot be read does not take the others with it.
function readAnchor(der: Uint8Array): Certificate | undefined {
  let anchor = anchorCache.get(der)
  if (anchor === undefined) {
    try {
      anchor = parseCertificate(der)
    } catch (error) {
      if (!AimsError.is(error)) throw error
      anchor = 'unusable'
    }
    anchorCache.set(der, anchor)
  }
  return anchor === 'unusable' ? undefined : anchor
}
