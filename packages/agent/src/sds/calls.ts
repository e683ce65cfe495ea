import { AimsError } from 'aims/base'
import { frameMessage, GRPC_STATUS, GrpcError, type GrpcStream, SECRET_DISCOVERY, SECRET_TYPE } from 'aims/provisioning'
import type { CallContext, Handler } from '../workload-api/calls.ts'
import type { Peer } from '../workload-api/peer.ts'
import { decodeRequest } from '../workload-api/read-request.ts'
import { MAX_DISCOVERY_REQUEST, requireSecrets, validatorOf } from './request-rules.ts'
import { StateStream } from './state-stream.ts'

const { streamSecrets, fetchSecrets, deltaSecretsPath } = SECRET_DISCOVERY

/** The methods of the secret discovery service by their exact paths. */
export const SECRET_HANDLERS: ReadonlyMap<string, Handler> = new Map([
  [streamSecrets.path, stream],
  [fetchSecrets.path, fetch],
  [deltaSecretsPath, incremental],
])

async function stream(call: GrpcStream, peer: Peer, { backend, broadcast, secrets }: CallContext): Promise<void> {
  const state = new StateStream(call, secrets)
  let isFollowing = false
  for await (const bytes of call.requests(MAX_DISCOVERY_REQUEST)) {
    const request = decodeRequest(streamSecrets.request, bytes)
    state.hear(request)
    if (request.errorDetail !== undefined) {
      // The text is that of the client, and stays in its own log.
      await peer.recordRejection(streamSecrets.path, state.version, request.errorDetail.code).catch(() => undefined)
    }
    if (!state.isAsking) continue
    // Before the first state, so that no change falls between the two.
    if (!isFollowing) broadcast.add(peer, state)
    isFollowing = true
    const snapshot = await backend.snapshot(await peer.attest())
    // Whatever changed meanwhile has been sent, and is newer.
    const refusal = state.isAsking ? state.show(snapshot) : undefined
    if (refusal !== undefined) throw new AimsError(refusal, 'the workload has no such secret')
  }
  call.end(GRPC_STATUS.ok)
}

async function fetch(call: GrpcStream, peer: Peer, { backend, secrets: cache }: CallContext): Promise<void> {
  const request = decodeRequest(fetchSecrets.request, await call.request(MAX_DISCOVERY_REQUEST))
  requireSecrets(request)
  const snapshot = await backend.snapshot(await peer.attest())
  const validator = validatorOf(request) ?? cache.settings.validator
  const selected = cache.select(snapshot, new Set(request.resourceNames), validator)
  if (typeof selected === 'string') throw new AimsError(selected, 'the workload has no such secret')
  const { version: versionInfo, secrets } = selected
  const response = { versionInfo, resources: [...secrets.values()], typeUrl: SECRET_TYPE, nonce: '' }
  call.writeState(frameMessage(fetchSecrets.response.encode(response)))
  call.end(GRPC_STATUS.ok)
}

async function incremental(): Promise<void> {
  throw new GrpcError(GRPC_STATUS.unimplemented, 'use StreamSecrets: secrets are few, and always sent together')
}
