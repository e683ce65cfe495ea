import { AimsError } from '../../base/errors.ts'
import type { ExpectedBinding } from '../binding.ts'
import type { CollateralFile, CollateralSource } from '../collateral.ts'
import type { Authenticated, EvidenceContext, EvidenceVerifier } from '../evidence.ts'
import { jwksCollateral } from '../token/collateral.ts'
import { attributesOf, selectorsOf, tokenEvidence } from '../token/evidence.ts'
import { issuerKeys } from '../token/issuer-keys.ts'
import {
  MAX_TOKEN,
  parsePlatformToken,
  type TokenProfile,
  type UnverifiedPlatformToken,
  verifyPlatformToken,
} from '../token/platform-token.ts'
import { type AzureMsiClaims, azureMsiClaims, UUID } from './claims.ts'
import { type AzureMsiPolicy, appraiseAzureMsi, readAzureMsiPolicy } from './policy.ts'

/** What tokens of managed identities are verified with. */
export interface AzureMsiTrust {
  /** Has `azure/<tenant>/jwks.json`: what `https://login.microsoftonline.com/<tenant>/discovery/keys` publishes. */
  readonly collateral: CollateralSource
  /** Directories whose identities are accepted, as UUIDs. Absent: those whose keys are at hand, with a warning. */
  readonly tenants?: readonly string[]
  /**
   * The application id URI of this service, which tokens are asked for as `resource`. Needed for challenges: the token
   * cannot carry one, so it is at least a token for nobody else.
   */
  readonly audience?: string
}

// Entra ID gives tokens of managed identities 24 hours and some minutes.
const PROFILE: TokenProfile = { algorithms: ['RS256'], ignoredHeaders: ['x5t', 'x5t#S256'], maxLifetime: 90_000 }

/** Resources of Azure itself: every script asks for tokens to these, and every service that it calls has seen one. */
const COMMON_AUDIENCES: ReadonlySet<string> = new Set([
  'https://management.azure.com',
  'https://management.core.windows.net',
  'https://graph.microsoft.com',
  'https://graph.windows.net',
  'https://vault.azure.net',
  'https://storage.azure.com',
  'https://database.windows.net',
])

/**
 * Verifies the access token of an Azure managed identity, asked for at the instance metadata service with the application
 * id URI of this service as `resource`. Evidence: the token.
 *
 * It carries neither nonce nor key, so the result says `binding: none`: good for the first key that comes with it. The
 * metadata service gives the same token for hours, so there is no statement that could be used once. Does not ask Azure
 * whether the resource still exists.
 *
 * @throws TypeError when a tenant is no UUID, or `audience` is one of Azure's own
 * @see https://learn.microsoft.com/entra/identity/managed-identities-azure-resources/how-to-use-vm-token
 */
export function azureMsiVerifier(trust: AzureMsiTrust): EvidenceVerifier<AzureMsiClaims, AzureMsiPolicy> {
  const tenants = trust.tenants?.map((tenant) => tenant.toLowerCase())
  if (tenants?.every((tenant) => UUID.test(tenant)) === false) throw new TypeError('tenants are UUIDs')
  if (trust.audience !== undefined && isCommon(trust.audience)) {
    throw new TypeError('audience must be the URI of an application of your own, not one of Azure')
  }
  return {
    type: 'azure-msi',
    maxSize: MAX_TOKEN,
    authenticate: (evidence, context) => authenticate(evidence, trust, tenants, context),
    readPolicy: readAzureMsiPolicy,
    appraise: (authenticated, policy) => appraiseAzureMsi(authenticated, policy, tenants !== undefined),
  }
}

/** Makes a collateral source of loose files: JWK Sets, as Entra ID publishes them, for any tenant. */
export function azureMsiCollateral(files: readonly CollateralFile[]): CollateralSource {
  return jwksCollateral(/^azure\/[0-9a-f-]{36}\/jwks\.json$/, files)
}

function authenticate(
  evidence: Uint8Array,
  { collateral, audience }: AzureMsiTrust,
  tenants: readonly string[] | undefined,
  { now, expected }: EvidenceContext,
): Authenticated<AzureMsiClaims> {
  const unverified = parsePlatformToken(evidence, PROFILE)
  const tenant = chooseTenant(unverified, tenants)
  const keys = issuerKeys(collateral, `azure/${tenant}/jwks.json`)
  const issuer = `https://sts.windows.net/${tenant}/`
  const token = verifyPlatformToken(unverified, { issuer, keys, profile: PROFILE, now })
  const claims = azureMsiClaims(token, tenant)
  requireAudience(token.audience, audience, expected)
  const { resource, identity } = claims
  return tokenEvidence(token, {
    type: 'azure-msi',
    claims,
    attested: `azure-msi:${claims.principal}:${resource.id}`,
    selectors: selectorsOf('azure_msi', {
      'tenant-id': tenant,
      'subscription-id': resource.subscription,
      'principal-id': claims.principal,
      'resource-group': `${resource.subscription}:${resource.resourceGroup}`,
      'resource-id': resource.id,
      'identity-id': identity?.id,
      ...machineOf(claims),
    }),
    attributes: attributesOf({
      'tenant-id': tenant,
      'principal-id': claims.principal,
      'application-id': claims.application,
      'resource-id': resource.id,
    }),
    isBound: false,
    isReused: true,
    now,
  })
}

// The claim only chooses among what is configured; nothing is looked up for another tenant.
function chooseTenant({ jws: { claims } }: UnverifiedPlatformToken, tenants: readonly string[] | undefined): string {
  const { tid } = claims
  const tenant = typeof tid === 'string' && UUID.test(tid.toLowerCase()) ? tid.toLowerCase() : undefined
  if (tenant === undefined || tenants?.includes(tenant) === false) {
    throw new AimsError('attestation.issuer_unknown', 'the token is of a tenant that is not configured')
  }
  return tenant
}

function requireAudience(audience: string, own: string | undefined, expected: ExpectedBinding): void {
  if (expected.kind === 'data') {
    throw new AimsError('attestation.binding_mismatch', 'a token of a managed identity carries no data')
  }
  const wanted = expected.kind === 'audience' ? expected.audience : own
  if (wanted === undefined && expected.kind === 'challenge') {
    throw new AimsError('attestation.binding_missing', 'the application id URI of this service is not configured')
  }
  if (isCommon(audience) || (wanted !== undefined && audience !== wanted)) {
    throw new AimsError('attestation.binding_mismatch', 'the token is not for this service')
  }
}

function isCommon(audience: string): boolean {
  return COMMON_AUDIENCES.has(audience.toLowerCase().replace(/\/+$/, ''))
}

function machineOf({ resource: { type, resourceGroup, names } }: AzureMsiClaims): Record<string, string> {
  const [name] = names
  if (type === 'microsoft.compute/virtualmachines') return { 'vm-name': `${resourceGroup}:${name}` }
  const isScaleSet = type.startsWith('microsoft.compute/virtualmachinescalesets')
  return isScaleSet ? { 'vmss-name': `${resourceGroup}:${name}` } : {}
}
