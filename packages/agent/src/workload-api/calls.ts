import { AimsError } from 'aims/base'
import { parseWorkloadSpiffeId, type SpiffeId } from 'aims/identifiers'
import {
  type EmptyRequest,
  frameMessage,
  GRPC_STATUS,
  type Procedure,
  type RevocationRelay,
  WORKLOAD_API,
} from 'aims/provisioning'
import type { WorkloadBackend } from '../workload-backend.ts'
import type { Broadcast } from './broadcast.ts'
import type { FrameCache, StateView } from './frames.ts'
import { GrpcError, type GrpcStream } from './grpc-stream.ts'
import type { Peer } from './peer.ts'

/** What a call works with. */
export interface CallContext {
  readonly backend: WorkloadBackend
  readonly frames: FrameCache
  readonly broadcast: Broadcast
  /** Absent: no lists are relayed. */
  readonly revocations?: RevocationRelay | undefined
}

/** Answers one call of an attested process. @throws {@link GrpcError}, and what the backend throws */
export type Handler = (request: Buffer, peer: Peer, stream: GrpcStream, context: CallContext) => Promise<void>

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
    async (bytes, peer, stream, { backend, frames, broadcast }) => {
      const view = viewOf(decode(request, bytes))
      // Before the first state, so that no change falls between the two.
      broadcast.add(peer, stream, view)
      const snapshot = await backend.snapshot(await peer.attest())
      // Whatever changed meanwhile has been sent, and is newer.
      if (stream.hasState) return
      const frame = frames.frame(snapshot, view)
      if (frame === undefined) throw new AimsError('provisioning.no_identity', 'the workload has none of this')
      stream.writeState(frame)
    },
  ]
}

async function fetchJwtSvid(bytes: Buffer, peer: Peer, stream: GrpcStream, { backend }: CallContext): Promise<void> {
  const { audience, spiffeId } = decode(WORKLOAD_API.fetchJwtSvid.request, bytes)
  if (audience.length === 0 || audience.includes('')) throw invalid('audience must be set')
  const svids = await backend.jwtSvids(await peer.attest(), audience, optionalId(spiffeId))
  if (svids.length === 0) throw new AimsError('provisioning.no_identity', 'the workload has no identity')
  const messages = svids.map((svid) => ({ spiffeId: svid.spiffeId, svid: svid.token, hint: svid.hint }))
  stream.writeState(frameMessage(WORKLOAD_API.fetchJwtSvid.response.encode({ svids: messages })))
  stream.end(GRPC_STATUS.ok)
}

async function validateJwtSvid(bytes: Buffer, peer: Peer, stream: GrpcStream, { backend }: CallContext): Promise<void> {
  const { audience, svid } = decode(WORKLOAD_API.validateJwtSvid.request, bytes)
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

function decode<Request>({ decode }: { decode(bytes: Uint8Array): Request }, bytes: Buffer): Request {
  try {
    return decode(bytes)
  } catch (error) {
    if (AimsError.is(error)) throw invalid(error.code)
    throw error
  }
}

function optionalId(text: string): SpiffeId | undefined {
  if (text === '') return undefined
  try {
    return parseWorkloadSpiffeId(text)
  } catch (error) {
    if (AimsError.is(error)) throw invalid(error.code)
    throw error
  }
}

function invalid(text: string): GrpcError {
  return new GrpcError(GRPC_STATUS.invalidArgument, text)
}
