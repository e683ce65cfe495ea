import { checkBoundAudience } from '../binding.ts'
import type { CollateralFile, CollateralSource } from '../collateral.ts'
import type { Authenticated, EvidenceContext, EvidenceVerifier } from '../evidence.ts'
import { jwksCollateral } from '../token/collateral.ts'
import { attributesOf, selectorsOf, tokenEvidence } from '../token/evidence.ts'
import { issuerKeys } from '../token/issuer-keys.ts'
import { MAX_TOKEN, parsePlatformToken, type TokenProfile, verifyPlatformToken } from '../token/platform-token.ts'
import { type GcpClaims, gcpClaims } from './claims.ts'
import { appraiseGcp, type GcpPolicy, readGcpPolicy } from './policy.ts'

/** What tokens of Google are verified with. */
export interface GcpTrust {
  /** Has `gcp/jwks.json`: what `https://www.googleapis.com/oauth2/v3/certs` publishes. */
  readonly collateral: CollateralSource
}

const ISSUER = 'https://accounts.google.com'
const PROFILE: TokenProfile = { algorithms: ['RS256'], maxLifetime: 3600 }
const KEYS = 'gcp/jwks.json'

/**
 * Verifies the identity token of a Google Compute Engine instance, as its metadata server hands it out with `format=full`
 * for the audience of a challenge. Evidence: the token.
 *
 * The keys are Google's own and never those of a service account, with which its holder could sign any claim. Does not ask
 * Google whether the instance still runs.
 *
 * @see https://cloud.google.com/compute/docs/instances/verifying-instance-identity
 */
export function gcpVerifier({ collateral }: GcpTrust): EvidenceVerifier<GcpClaims, GcpPolicy> {
  return {
    type: 'gcp',
    maxSize: MAX_TOKEN,
    authenticate: (evidence, context) => authenticate(evidence, collateral, context),
    readPolicy: readGcpPolicy,
    appraise: appraiseGcp,
  }
}

/** Makes a collateral source of loose files: JWK Sets, as Google publishes them. */
export function gcpCollateral(files: readonly CollateralFile[]): CollateralSource {
  return jwksCollateral(/^gcp\/jwks\.json$/, files)
}

function authenticate(
  evidence: Uint8Array,
  collateral: CollateralSource,
  { now, expected }: EvidenceContext,
): Authenticated<GcpClaims> {
  const unverified = parsePlatformToken(evidence, PROFILE)
  const keys = issuerKeys(collateral, KEYS)
  const token = verifyPlatformToken(unverified, { issuer: ISSUER, keys, profile: PROFILE, now })
  const claims = gcpClaims(token)
  return tokenEvidence(token, {
    type: 'gcp',
    claims,
    attested: `gcp:${claims.projectNumber}:${claims.instanceId}`,
    selectors: selectorsOf('gcp_iit', {
      'project-id': claims.projectId,
      zone: claims.zone,
      'instance-name': claims.instanceName,
      'instance-id': claims.instanceId,
      sa: claims.serviceAccount,
    }),
    attributes: attributesOf({
      'project-id': claims.projectId,
      'project-number': claims.projectNumber,
      'instance-id': claims.instanceId,
      'instance-name': claims.instanceName,
      zone: claims.zone,
      'service-account': claims.serviceAccount,
    }),
    isBound: checkBoundAudience('gcp', token.audience, expected),
    now,
  })
}
