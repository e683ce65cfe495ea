import type { Procedure } from '../workload-api/service.ts'
import {
  getBundleRequest,
  type NewDownstreamX509CaRequest,
  type NewDownstreamX509CaResponse,
  newDownstreamX509CaRequest,
  newDownstreamX509CaResponse,
  publishJwtAuthorityRequest,
  publishJwtAuthorityResponse,
  type SpireBundle,
  type SpireJwtKey,
  spireBundle,
} from './messages.ts'

/** What a server below asks of a SPIRE server. @see spire-api-sdk: svid.proto, bundle.proto */
export const SPIRE_SERVER_API: {
  readonly getBundle: Procedure<Readonly<Record<never, never>>, SpireBundle>
  readonly newDownstreamX509Ca: Procedure<NewDownstreamX509CaRequest, NewDownstreamX509CaResponse>
  readonly publishJwtAuthority: Procedure<SpireJwtKey, readonly SpireJwtKey[]>
} = {
  getBundle: {
    path: '/spire.api.server.bundle.v1.Bundle/GetBundle',
    isStream: false,
    request: getBundleRequest,
    response: spireBundle,
  },
  newDownstreamX509Ca: {
    path: '/spire.api.server.svid.v1.SVID/NewDownstreamX509CA',
    isStream: false,
    request: newDownstreamX509CaRequest,
    response: newDownstreamX509CaResponse,
  },
  publishJwtAuthority: {
    path: '/spire.api.server.bundle.v1.Bundle/PublishJWTAuthority',
    isStream: false,
    request: publishJwtAuthorityRequest,
    response: publishJwtAuthorityResponse,
  },
}
