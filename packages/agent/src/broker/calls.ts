import type { GrpcStream } from 'aims/provisioning'
import { BROKER_API, type Procedure, type WorkloadRequest } from 'aims/provisioning'
import { followState, type StateSources, sendJwtSvids } from '../workload-api/answers.ts'
import type { StateView } from '../workload-api/frames.ts'
import type { Peer } from '../workload-api/peer.ts'
import { readRequest } from '../workload-api/read-request.ts'
import { refuseWorkload } from './refusals.ts'

/** What a call of a broker works with. */
export interface BrokerContext extends StateSources {
  /** Finds the process that is named, for as long as the call lasts. @throws {@link AimsError} `provisioning.reference_*`, `attestation.*` */
  find(request: WorkloadRequest): Peer
}

/** Answers one call of a broker. @throws {@link GrpcError}, and what attestation and the backend throw */
export type BrokerHandler = (stream: GrpcStream, context: BrokerContext) => Promise<void>

/** The four methods by their exact paths. There is no other. */
export const BROKER_HANDLERS: ReadonlyMap<string, BrokerHandler> = new Map([
  follow(BROKER_API.subscribeToX509Svid, { kind: 'x509-svids' }),
  follow(BROKER_API.subscribeToX509Bundles, { kind: 'x509-bundles' }),
  follow(BROKER_API.subscribeToJwtBundles, { kind: 'jwt-bundles' }),
  [BROKER_API.fetchJwtSvid.path, fetchJwtSvid],
])

// A stream of states of one workload.
function follow(
  { path, request }: Procedure<WorkloadRequest, unknown>,
  view: StateView,
): readonly [string, BrokerHandler] {
  return [
    path,
    async (stream, context) => {
      const peer = context.find(await readRequest(request, stream))
      await followState(stream, peer, view, context, (code) => refuseWorkload(stream, code))
    },
  ]
}

async function fetchJwtSvid(stream: GrpcStream, { backend, find }: BrokerContext): Promise<void> {
  const request = await readRequest(BROKER_API.fetchJwtSvid.request, stream)
  const peer = find(request)
  await sendJwtSvids(stream, request, () => peer.attest(), backend)
}
