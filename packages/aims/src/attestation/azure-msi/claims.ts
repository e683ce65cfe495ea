import { AimsError } from '../../base/errors.ts'
import { optionalTextClaim, textClaim } from '../token/claims.ts'
import type { PlatformToken } from '../token/platform-token.ts'
import { type AzureResource, parseAzureResource } from './resource-id.ts'

/** The managed identity that Entra ID vouches for, and where it was used. */
export interface AzureMsiClaims {
  /** Directory. */
  readonly tenant: string
  /** Object id of the identity: never given to another one. */
  readonly principal: string
  /** Client id of the identity. */
  readonly application?: string
  /** The resource that asked for the token; where Entra ID does not say it, the one the identity belongs to. */
  readonly resource: AzureResource
  /** The resource of the identity itself, when that is a resource of its own (user-assigned). */
  readonly identity?: AzureResource
}

export const UUID: RegExp = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/
const USER_ASSIGNED = 'microsoft.managedidentity/userassignedidentities'

/**
 * Reads the claims of a verified token. Tokens of people and of common applications have no resource: refused.
 *
 * @throws {@link AimsError} `attestation.malformed`
 */
export function azureMsiClaims({ claims }: PlatformToken, tenant: string): AzureMsiClaims {
  if (claims.scp !== undefined) throw new AimsError('attestation.malformed', 'the token is one of a person')
  const principal = textClaim(claims, 'oid').toLowerCase()
  if (!UUID.test(principal)) throw new AimsError('attestation.malformed', 'oid is not a UUID')
  const application = optionalTextClaim(claims, 'appid')
  const owner = optionalTextClaim(claims, 'xms_mirid')
  const user = optionalTextClaim(claims, 'xms_az_rid')
  const resource = parseAzureResource(user ?? owner ?? '')
  const identity = owner === undefined ? undefined : parseAzureResource(owner)
  return {
    tenant,
    principal,
    resource,
    ...(application === undefined ? {} : { application }),
    ...(identity?.type === USER_ASSIGNED ? { identity } : {}),
  }
}
