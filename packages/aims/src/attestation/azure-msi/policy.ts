import { AimsError } from '../../base/errors.ts'
import type { JsonObject } from '../../base/json.ts'
import { requireAllowed } from '../appraisal/allowed.ts'
import { formList, malformed, type PolicyField, readPolicyFields } from '../appraisal/policy-fields.ts'
import type { Authenticated } from '../evidence.ts'
import { type AzureMsiClaims, UUID } from './claims.ts'
import { lowerAscii, parseAzureResource } from './resource-id.ts'

/** Which managed identities are accepted, and from where. `{}`: any of the configured tenants. */
export interface AzureMsiPolicy {
  /** Absent: the tenants that the verifier is configured for. */
  readonly tenants: readonly string[] | undefined
  /** Absent: any. */
  readonly subscriptions: readonly string[] | undefined
  /** `SUBSCRIPTION/NAME`. Absent: any. */
  readonly resourceGroups: readonly string[] | undefined
  /** Resource ids of what may ask for tokens, e.g. machines. Absent: any. */
  readonly resources: readonly string[] | undefined
  /** Object ids of identities. Absent: any. */
  readonly principals: readonly string[] | undefined
}

const uuids: PolicyField<readonly string[] | undefined> = lowerCase(formList(new RegExp(UUID.source, 'i'), 'UUIDs'))

const resourceIds: PolicyField<readonly string[] | undefined> = (value, name) =>
  lowerCase(formList(/^\/subscriptions\//i, 'ids of Azure resources'))(value, name)?.map((id) => {
    try {
      return parseAzureResource(id).id
    } catch (cause) {
      if (AimsError.is(cause)) throw malformed(name, 'takes ids of Azure resources')
      throw cause
    }
  })

/** @throws {@link AimsError} `attestation.policy_malformed` */
export function readAzureMsiPolicy(document: JsonObject): AzureMsiPolicy {
  return readPolicyFields<AzureMsiPolicy>(document, {
    tenants: uuids,
    subscriptions: uuids,
    resourceGroups: lowerCase(formList(/^[0-9a-f-]{36}\/[^/\s]{1,90}$/i, 'resource groups as SUBSCRIPTION/NAME')),
    resources: resourceIds,
    principals: uuids,
  })
}

/** @throws {@link AimsError} `attestation.not_allowed` */
export function appraiseAzureMsi(
  { claims }: Authenticated<AzureMsiClaims>,
  policy: AzureMsiPolicy,
  isTenantConfigured: boolean,
): readonly string[] {
  const { tenant, principal, resource } = claims
  requireAllowed([
    [policy.tenants, tenant, 'tenant'],
    [policy.subscriptions, resource.subscription, 'subscription'],
    [policy.resourceGroups, `${resource.subscription}/${resource.resourceGroup}`, 'resource group'],
    [policy.resources, resource.id, 'resource'],
    [policy.principals, principal, 'identity'],
  ])
  const isNamed = isTenantConfigured || policy.tenants !== undefined
  return isNamed ? [] : ['no tenant is named: any whose keys are at hand passes']
}

function lowerCase(field: PolicyField<readonly string[] | undefined>): PolicyField<readonly string[] | undefined> {
  return (value, name) => field(value, name)?.map(lowerAscii)
}
