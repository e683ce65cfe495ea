import type { AttestationResult } from 'aims/attestation'
import { AimsError, type AimsErrorCode } from 'aims/base'
import type { GrpcStream } from 'aims/provisioning'
import { frameMessage, GRPC_STATUS, WORKLOAD_API } from 'aims/provisioning'
import type { WorkloadBackend } from '../workload-backend.ts'
import type { Broadcast, Subscriber } from './broadcast.ts'
import type { FrameCache, StateView } from './frames.ts'
import type { Peer } from './peer.ts'
import { invalid, optionalId } from './read-request.ts'

/** Where states come from. */
export interface StateSources {
  readonly backend: WorkloadBackend
  readonly frames: FrameCache
  readonly broadcast: Broadcast
}

/**
 * Keeps a stream at the state of a workload: the first at once, the next when something changes.
 *
 * @param refuse - Ends the stream when the workload has nothing of this any more.
 * @throws {@link AimsError} `provisioning.no_identity`; what attestation and the backend throw
 */
export async function followState(
  stream: GrpcStream,
  peer: Peer,
  view: StateView,
  { backend, frames, broadcast }: StateSources,
  refuse: (code: AimsErrorCode) => void,
): Promise<void> {
  const subscriber: Subscriber = {
    stream,
    show(snapshot) {
      const frame = frames.frame(snapshot, view)
      if (frame === undefined) return 'provisioning.no_identity'
      stream.writeState(frame)
      return undefined
    },
    refuse,
  }
  // Before the first state, so that no change falls between the two.
  broadcast.add(peer, subscriber)
  const snapshot = await backend.snapshot(await peer.attest())
  // Whatever changed meanwhile has been sent, and is newer.
  const refusal = stream.hasState ? undefined : subscriber.show(snapshot)
  if (refusal !== undefined) throw new AimsError(refusal, 'the workload has none of this')
}

/**
 * Sends JWT-SVIDs of a workload and ends the call.
 *
 * @throws {@link GrpcError}; {@link AimsError} `provisioning.no_identity`; what attestation and the backend throw
 */
export async function sendJwtSvids(
  stream: GrpcStream,
  { audience, spiffeId }: { readonly audience: readonly string[]; readonly spiffeId: string },
  attest: () => Promise<AttestationResult>,
  backend: WorkloadBackend,
): Promise<void> {
  if (audience.length === 0 || audience.includes('')) throw invalid('audience must be set')
  const only = optionalId(spiffeId)
  const svids = await backend.jwtSvids(await attest(), audience, only)
  if (svids.length === 0) throw new AimsError('provisioning.no_identity', 'the workload has no identity')
  const messages = svids.map((svid) => ({ spiffeId: svid.spiffeId, svid: svid.token, hint: svid.hint }))
  stream.writeState(frameMessage(WORKLOAD_API.fetchJwtSvid.response.encode({ svids: messages })))
  stream.end(GRPC_STATUS.ok)
}
