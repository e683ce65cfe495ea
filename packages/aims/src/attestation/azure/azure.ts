import { sha256 } from '../../base/bytes.ts'
import { AimsError, refuseAs } from '../../base/errors.ts'
import { verifySignedData } from '../cms/verify.ts'
import { type CollateralFile, type CollateralSource, collateralOf } from '../collateral.ts'
import { type Authenticated, authenticatedEvidence, type EvidenceContext, type EvidenceVerifier } from '../evidence.ts'
import { parseVendorCertificates, type VendorCertificate } from '../x509/vendor-certificate.ts'
import { type VendorChain, validateVendorChain } from '../x509/vendor-chain.ts'
import { type AzureCloud, checkMetadataCertificate, issuerAddresses } from './certificate.ts'
import { type AzureClaims, parseAzureDocument } from './document.ts'
import { parseAzure, type UnverifiedAzure } from './format.ts'
import { checkAzureNonce } from './nonce.ts'
import { type AzurePolicy, appraiseAzure, readAzurePolicy } from './policy.ts'

/** What attested documents must lead to. */
export interface AzureTrust {
  /** SHA-256 fingerprints of root certificates: `AZURE_ROOTS`. */
  readonly roots: ReadonlySet<string>
  /** `azure/ca.pem`: intermediate and root certificates, PEM or DER. Not trusted; intermediates change without notice. */
  readonly collateral: CollateralSource
  /** Default: `public` only. */
  readonly clouds?: readonly AzureCloud[]
}

const MAX_EVIDENCE = 32_768
const CA_FILE = 'azure/ca.pem'

/**
 * Verifies attested documents of the Azure metadata service. Evidence: the member `signature` of the answer (base64), or
 * the whole JSON answer. For a challenge the document is asked for with the nonce `azureNonce(challenge)`.
 *
 * The certificate that is chained is the very one whose key verifies the signature. Nothing is fetched: the issuer of a
 * new certificate must be in the collateral; `azureIssuerAddresses` says where it can be had.
 *
 * @see https://learn.microsoft.com/azure/virtual-machines/instance-metadata-service, "Attested data"
 */
export function azureVerifier(trust: AzureTrust): EvidenceVerifier<AzureClaims, AzurePolicy> {
  return {
    type: 'azure',
    maxSize: MAX_EVIDENCE,
    authenticate: (evidence, context) => authenticate(evidence, trust, context),
    readPolicy: readAzurePolicy,
    appraise: appraiseAzure,
  }
}

/** Makes a collateral source of loose certificates, PEM or DER: intermediates and roots. */
export function azureCollateral(files: readonly CollateralFile[]): CollateralSource {
  const certificates = files.flatMap(({ bytes }) =>
    refuseAs('attestation.collateral_malformed', 'a file of CA certificates cannot be read', () =>
      parseVendorCertificates(bytes),
    ),
  )
  return collateralOf({ [CA_FILE]: Buffer.concat(certificates.map(({ raw }) => raw)) })
}

/**
 * Where the issuer of the certificate in an attested document can be had: see {@link issuerAddresses}. Does not verify
 * the document.
 *
 * @throws {@link AimsError} `attestation.*`
 */
export function azureIssuerAddresses(evidence: Uint8Array): readonly string[] {
  return issuerAddresses(parseAzure(evidence).signer)
}

function authenticate(
  evidence: Uint8Array,
  trust: AzureTrust,
  { now, expected }: EvidenceContext,
): Authenticated<AzureClaims> {
  const azure = parseAzure(evidence)
  const claims = parseAzureDocument(azure.message.content)
  const chain = chainOf(azure, trust, now)
  checkMetadataCertificate(azure.signer, trust.clouds ?? ['public'])
  verifySignedData(azure.message, azure.signer)
  if (now < claims.createdOn) {
    throw new AimsError('attestation.not_yet_valid', 'the attested document was made in the future')
  }
  if (now > claims.expiresOn) throw new AimsError('attestation.expired', 'the attested document has expired')
  const isBound = checkAzureNonce(claims.nonce, expected)
  return authenticatedEvidence<AzureClaims>({
    claims,
    attested: `azure:${claims.subscriptionId}:${claims.vmId}`,
    ...(isBound ? {} : { statement: sha256(azure.message.content).toString('hex') }),
    result: {
      type: 'azure',
      selectors: [
        `azure_imds:subscription-id:${claims.subscriptionId}`,
        `azure_imds:vm-id:${claims.vmId}`,
        ...(claims.sku === '' ? [] : [`azure_imds:sku:${claims.sku}`]),
      ],
      verifiedAt: now,
      evidenceNotAfter: Math.min(claims.expiresOn, chain.expiresAt),
      binding: isBound ? 'audience' : 'none',
      freshness: isBound ? 'nonce' : 'window',
      hardwareRoot: chain.root.fingerprint,
      debug: false,
      attributes: { 'vm-id': claims.vmId, 'subscription-id': claims.subscriptionId, sku: claims.sku },
      warnings: [],
    },
  })
}

function chainOf({ signer, others }: UnverifiedAzure, trust: AzureTrust, now: number): VendorChain {
  const chain = validateVendorChain({
    leaf: signer,
    candidates: [...others, ...certificateAuthorities(trust.collateral)],
    roots: trust.roots,
    now,
  })
  // Nothing unsigned rides along.
  const used = new Set(chain.certificates.map(({ fingerprint }) => fingerprint))
  if (others.some(({ fingerprint }) => !used.has(fingerprint))) {
    throw new AimsError('attestation.malformed', 'the attested document has a certificate that is not of its chain')
  }
  return chain
}

function certificateAuthorities(collateral: CollateralSource): readonly VendorCertificate[] {
  const file = collateral.get(CA_FILE)
  if (file === undefined) throw new AimsError('attestation.collateral_missing', 'azure/ca.pem is not at hand')
  if (file.length === 0) return []
  return refuseAs('attestation.collateral_malformed', 'azure/ca.pem cannot be read', () =>
    parseVendorCertificates(file),
  )
}
