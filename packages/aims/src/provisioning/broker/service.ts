import type {
  JwtBundlesResponse,
  JwtSvidResponse,
  X509BundlesResponse,
  X509SvidResponse,
} from '../workload-api/messages.ts'
import { jwtBundlesResponse, jwtSvidResponse, x509BundlesResponse, x509SvidResponse } from '../workload-api/messages.ts'
import type { Procedure } from '../workload-api/service.ts'
import { type BrokerJwtRequest, brokerJwtRequest, type WorkloadRequest, workloadRequest } from './messages.ts'

/** The service of the SPIFFE Broker API. Its answers are those of the Workload API, field for field. @see brokerapi.proto */
export const BROKER_API: {
  readonly subscribeToX509Svid: Procedure<WorkloadRequest, X509SvidResponse>
  readonly subscribeToX509Bundles: Procedure<WorkloadRequest, X509BundlesResponse>
  readonly fetchJwtSvid: Procedure<BrokerJwtRequest, JwtSvidResponse>
  readonly subscribeToJwtBundles: Procedure<WorkloadRequest, JwtBundlesResponse>
} = {
  subscribeToX509Svid: subscription('SubscribeToX509SVID', x509SvidResponse),
  subscribeToX509Bundles: subscription('SubscribeToX509Bundles', x509BundlesResponse),
  fetchJwtSvid: {
    path: '/spiffe.broker.API/FetchJWTSVID',
    isStream: false,
    request: brokerJwtRequest,
    response: jwtSvidResponse,
  },
  subscribeToJwtBundles: subscription('SubscribeToJWTBundles', jwtBundlesResponse),
}

function subscription<A>(
  name: string,
  response: Procedure<WorkloadRequest, A>['response'],
): Procedure<WorkloadRequest, A> {
  return { path: `/spiffe.broker.API/${name}`, isStream: true, request: workloadRequest, response }
}

/** The metadata that every call of a broker must carry. @see SPIFFE Broker Endpoint, section 3 */
export const BROKER_HEADER = 'broker.spiffe.io'
