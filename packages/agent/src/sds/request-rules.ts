import { type DiscoveryRequest, SECRET_TYPE } from 'aims/provisioning'
import { invalid } from '../workload-api/read-request.ts'
import type { Validator } from './secret-cache.ts'

/** Bytes of one request. Envoy tells of all its extensions in the first one. */
export const MAX_DISCOVERY_REQUEST: number = 1024 * 1024

const MAX_NAMES = 256
const MAX_NAME = 2048

/** Refuses requests for what is no secret, and names that none has. @throws {@link GrpcError} */
export function requireSecrets({ typeUrl, resourceNames: names }: DiscoveryRequest): void {
  // Envoy may leave it out, as there is but one.
  if (typeUrl !== '' && typeUrl !== SECRET_TYPE) throw invalid('only secrets are served here')
  if (names.length > MAX_NAMES) throw invalid('too many resource names')
  if (names.some((name) => name === '' || Buffer.byteLength(name) > MAX_NAME))
    throw invalid('a malformed resource name')
}

/** How a node wants to check its peers: `disable_spiffe_cert_validation` in its metadata, as in SPIRE. */
export function validatorOf({ nodeMetadata }: DiscoveryRequest): Validator | undefined {
  const value = nodeMetadata?.disable_spiffe_cert_validation
  if (value === true || value === 'true') return 'trusted-ca'
  if (value === false || value === 'false') return 'spiffe'
  return undefined
}
