import type { Procedure } from '../workload-api/service.ts'
import { type DiscoveryRequest, type DiscoveryResponse, discoveryRequest, discoveryResponse } from './messages.ts'

const SERVICE = '/envoy.service.secret.v3.SecretDiscoveryService/'

/** The secret discovery service of Envoy, version 3, without its incremental form. @see envoy/service/secret/v3/sds.proto */
export const SECRET_DISCOVERY: {
  readonly streamSecrets: Procedure<DiscoveryRequest, DiscoveryResponse>
  readonly fetchSecrets: Procedure<DiscoveryRequest, DiscoveryResponse>
  /** The path of the incremental form. */
  readonly deltaSecretsPath: string
} = {
  streamSecrets: {
    path: `${SERVICE}StreamSecrets`,
    isStream: true,
    request: discoveryRequest,
    response: discoveryResponse,
  },
  fetchSecrets: {
    path: `${SERVICE}FetchSecrets`,
    isStream: false,
    request: discoveryRequest,
    response: discoveryResponse,
  },
  deltaSecretsPath: `${SERVICE}DeltaSecrets`,
}
