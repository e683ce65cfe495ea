import {
  type EmptyRequest,
  emptyRequest,
  type JwtBundlesResponse,
  type JwtSvidRequestMessage,
  type JwtSvidResponse,
  jwtBundlesResponse,
  jwtSvidRequest,
  jwtSvidResponse,
  type ValidateJwtSvidRequest,
  type ValidateJwtSvidResponse,
  validateJwtSvidRequest,
  validateJwtSvidResponse,
  type WitBundlesResponse,
  type WitSvidRequest,
  type WitSvidResponse,
  witBundlesResponse,
  witSvidRequest,
  witSvidResponse,
  type X509BundlesResponse,
  type X509SvidResponse,
  x509BundlesResponse,
  x509SvidResponse,
} from './messages.ts'
import type { MessageCodec } from './protobuf.ts'

/** One remote procedure: its path, and how its messages are written and read. */
export interface Procedure<Request, Response> {
  /** The exact HTTP path. */
  readonly path: string
  /** Whether the answers are states that follow each other. */
  readonly isStream: boolean
  readonly request: MessageCodec<Request>
  readonly response: MessageCodec<Response>
}

/** The whole service. Never extended: new functions are a new service. @see SPIFFE Workload API, workloadapi.proto */
export const WORKLOAD_API: {
  readonly fetchX509Svid: Procedure<EmptyRequest, X509SvidResponse>
  readonly fetchX509Bundles: Procedure<EmptyRequest, X509BundlesResponse>
  readonly fetchJwtSvid: Procedure<JwtSvidRequestMessage, JwtSvidResponse>
  readonly fetchJwtBundles: Procedure<EmptyRequest, JwtBundlesResponse>
  readonly validateJwtSvid: Procedure<ValidateJwtSvidRequest, ValidateJwtSvidResponse>
  readonly fetchWitSvid: Procedure<WitSvidRequest, WitSvidResponse>
  readonly fetchWitBundles: Procedure<EmptyRequest, WitBundlesResponse>
} = {
  fetchX509Svid: stream('FetchX509SVID', emptyRequest, x509SvidResponse),
  fetchX509Bundles: stream('FetchX509Bundles', emptyRequest, x509BundlesResponse),
  fetchJwtSvid: unary('FetchJWTSVID', jwtSvidRequest, jwtSvidResponse),
  fetchJwtBundles: stream('FetchJWTBundles', emptyRequest, jwtBundlesResponse),
  validateJwtSvid: unary('ValidateJWTSVID', validateJwtSvidRequest, validateJwtSvidResponse),
  fetchWitSvid: stream('FetchWITSVID', witSvidRequest, witSvidResponse),
  fetchWitBundles: stream('FetchWITBundles', emptyRequest, witBundlesResponse),
}

function unary<Q, A>(name: string, request: MessageCodec<Q>, response: MessageCodec<A>): Procedure<Q, A> {
  return { path: `/SpiffeWorkloadAPI/${name}`, isStream: false, request, response }
}

function stream<Q, A>(name: string, request: MessageCodec<Q>, response: MessageCodec<A>): Procedure<Q, A> {
  return { path: `/SpiffeWorkloadAPI/${name}`, isStream: true, request, response }
}

/** The metadata every call must carry, so that a request forged through a web browser or proxy fails. */
export const SECURITY_HEADER = 'workload.spiffe.io'

/** The trailer that names the record of a refusal, for `aims explain`. */
export const REQUEST_ID = 'aims-request-id'

/** The gRPC status codes that matter here. @see https://grpc.io/docs/guides/status-codes/ */
export const GRPC_STATUS = {
  ok: 0,
  cancelled: 1,
  unknown: 2,
  invalidArgument: 3,
  deadlineExceeded: 4,
  notFound: 5,
  permissionDenied: 7,
  resourceExhausted: 8,
  unimplemented: 12,
  internal: 13,
  unavailable: 14,
  unauthenticated: 16,
} as const
