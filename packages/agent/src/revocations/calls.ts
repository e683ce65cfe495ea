import { frameMessage, GRPC_STATUS, GrpcError, REVOCATIONS_SERVICE } from 'aims/provisioning'
import type { Handler } from '../workload-api/calls.ts'
import { readRequest } from '../workload-api/read-request.ts'

/**
 * Our own service: signed revocation lists for verifiers among the workloads. The lists are public, so who asks does not
 * matter.
 */
export const REVOCATION_HANDLERS: ReadonlyMap<string, Handler> = new Map([
  [REVOCATIONS_SERVICE.fetchList.path, fetchList],
])

async function fetchList(...[stream, , { revocations }]: Parameters<Handler>): Promise<void> {
  if (revocations === undefined) throw new GrpcError(GRPC_STATUS.unimplemented, 'no such method')
  const { request, response } = REVOCATIONS_SERVICE.fetchList
  const gone = new AbortController()
  stream.onClose(() => gone.abort())
  const list = await revocations.fetchRevocationList(await readRequest(request, stream), gone.signal)
  stream.writeState(frameMessage(response.encode({ list })))
  stream.end(GRPC_STATUS.ok)
}
