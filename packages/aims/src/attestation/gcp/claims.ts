import { idClaim, objectClaim, optionalTextClaim, textClaim } from '../token/claims.ts'
import type { PlatformToken } from '../token/platform-token.ts'

/** The instance that Google vouches for. */
export interface GcpClaims {
  readonly projectId: string
  readonly projectNumber: string
  readonly zone: string
  readonly instanceId: string
  readonly instanceName: string
  /** Address of the service account whose identity the instance has, where Google has verified it. */
  readonly serviceAccount?: string
  /** Number of the service account. */
  readonly subject: string
}

/**
 * Reads the claims of a verified token. Without `google.compute_engine` it is the token of a service account, which
 * anybody with its key can have anywhere: refused.
 *
 * @throws {@link AimsError} `attestation.malformed`
 */
export function gcpClaims({ claims }: PlatformToken): GcpClaims {
  const engine = objectClaim(objectClaim(claims.google, 'google').compute_engine, 'google.compute_engine')
  const serviceAccount = claims.email_verified === true ? optionalTextClaim(claims, 'email') : undefined
  return {
    projectId: textClaim(engine, 'project_id'),
    projectNumber: idClaim(engine, 'project_number'),
    zone: textClaim(engine, 'zone'),
    instanceId: idClaim(engine, 'instance_id'),
    instanceName: textClaim(engine, 'instance_name'),
    subject: textClaim(claims, 'sub'),
    ...(serviceAccount === undefined ? {} : { serviceAccount }),
  }
}
