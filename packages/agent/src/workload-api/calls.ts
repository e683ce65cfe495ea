import { AimsError, type AimsErrorCode } from 'aims/base'
import {
  type EmptyRequest,
  frameMessage,
  GRPC_STATUS,
  GrpcError,
  type GrpcStream,
  type Procedure,
  type RevocationRelay,
  WORKLOAD_API,
} from 'aims/provisioning'
import type { SecretCache } from '../sds/secret-cache.ts'
import { followState, type StateSources, sendJwtSvids } from './answers.ts'
import type { StateView } from './frames.ts'
import type { Peer } from './peer.ts'
import { invalid, optionalId, readRequest } from './read-request.ts'

/** What a call works with. */
export interface CallContext extends StateSources {
  readonly secrets: SecretCache
  /** Absent: no lists are relayed. */
  readonly revocations?: RevocationRelay | undefined
}

/** Answers one call of a process. @throws {@link GrpcError}, and what attestation and the backend throw */
export type Handler = (stream: GrpcStream, peer: Peer, context: CallContext) => Promise<void>

/** The seven methods by their exact paths. There is no other. */
export const HANDLERS: ReadonlyMap<string, Handler> = new Map([
  follow(WORKLOAD_API.fetchX509Svid, () => ({ kind: 'x509-svids' })),
  follow(WORKLOAD_API.fetchX509Bundles, () => ({ kind: 'x509-bundles' })),
  follow(WORKLOAD_API.fetchJwtBundles, () => ({ kind: 'jwt-bundles' })),
  follow(WORKLOAD_API.fetchWitSvid, ({ spiffeId }) => ({ kind: 'wits', spiffeId: optionalId(spiffeId) ?? '' })),
  follow(WORKLOAD_API.fetchWitBundles, () => ({ kind: 'wit-bundles' })),
  [WORKLOAD_API.fetchJwtSvid.path, fetchJwtSvid],
  [WORKLOAD_API.validateJwtSvid.path, validateJwtSvid],
])

// A stream of states: the first at once, the next when something changes.
function follow<Request extends EmptyRequest>(
  { path, request }: Procedure<Request, unknown>,
  viewOf: (request: Request) => StateView,
): readonly [string, Handler] {
  return [
    path,
    async (stream, peer, context) => {
      const view = viewOf(await readRequest(request, stream))
      const refuse = (code: AimsErrorCode): void =>
        stream.end(GRPC_STATUS.permissionDenied, code, undefined, peer.correlationId)
      await followState(stream, peer, view, context, refuse)
    },
  ]
}

async function fetchJwtSvid(stream: GrpcStream, peer: Peer, { backend }: CallContext): Promise<void> {
  const request = await readRequest(WORKLOAD_API.fetchJwtSvid.request, stream)
  await sendJwtSvids(stream, request, () => peer.attest(), backend)
}

async function validateJwtSvid(stream: GrpcStream, peer: Peer, { backend }: CallContext): Promise<void> {
  const { audience, svid } = await readRequest(WORKLOAD_API.validateJwtSvid.request, stream)
  if (audience === '') throw invalid('audience must be set')
  if (svid === '') throw invalid('svid must be set')
  const valid = await backend.validateJwtSvid(await peer.attest(), audience, svid).catch((error: unknown) => {
    // That no list says anything is no answer about the token: the client may ask again.
    const isAnswer = AimsError.is(error) && error.code !== 'credential.revocation_unknown'
    const isRefusal = isAnswer && /^(?:credential|jose|identifier)\./.test(error.code)
    throw isRefusal ? new GrpcError(GRPC_STATUS.invalidArgument, error.code, { cause: error }) : error
  })
  stream.writeState(frameMessage(WORKLOAD_API.validateJwtSvid.response.encode(valid)))
  stream.end(GRPC_STATUS.ok)
}
