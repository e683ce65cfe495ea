import { AimsError, type AimsErrorCode } from 'aims/base'
import { encodeErrorStatus, GRPC_STATUS, GrpcError, type GrpcStatus, type GrpcStream } from 'aims/provisioning'

interface Refusal {
  readonly status: GrpcStatus
  readonly reason: string
}

const INVALID: Refusal = { status: GRPC_STATUS.invalidArgument, reason: 'WORKLOAD_REFERENCE_INVALID' }
const NOT_FOUND: Refusal = { status: GRPC_STATUS.notFound, reason: 'WORKLOAD_NOT_FOUND' }
const NOT_ENTITLED: Refusal = { status: GRPC_STATUS.permissionDenied, reason: 'WORKLOAD_NOT_ENTITLED' }

const REFUSALS: ReadonlyMap<string, Refusal> = new Map([
  ['provisioning.reference_invalid', INVALID],
  ['provisioning.reference_unsupported', INVALID],
  ['provisioning.workload_not_found', NOT_FOUND],
  ['attestation.process_gone', NOT_FOUND],
  ['attestation.process_changed', NOT_FOUND],
  ['provisioning.no_identity', NOT_ENTITLED],
  ['provisioning.not_entitled', NOT_ENTITLED],
])

/** Whether a code says that the workload is there and gets nothing. */
export function isNotEntitled(code: string): boolean {
  return findRefusal(code) === NOT_ENTITLED
}

/** Ends a call: what concerns the workload says so in the words of the Broker API, also for programs. */
export function refuseCall(stream: GrpcStream, error: unknown): void {
  if (error instanceof GrpcError) stream.end(error.status, error.message)
  else if (AimsError.is(error)) refuseWorkload(stream, error.code)
  else stream.end(GRPC_STATUS.unavailable, 'the agent cannot answer now')
}

/** The same for a code alone. @see SPIFFE Broker API, section 4.8 */
export function refuseWorkload(stream: GrpcStream, code: AimsErrorCode): void {
  const refusal = findRefusal(code)
  if (refusal === undefined) {
    stream.end(GRPC_STATUS.unavailable, code)
    return
  }
  const { status, reason } = refusal
  const details = encodeErrorStatus(status, code, { reason, domain: 'spiffe.io', metadata: new Map([['code', code]]) })
  stream.end(status, code, details)
}

function findRefusal(code: string): Refusal | undefined {
  return REFUSALS.get(code) ?? (code.startsWith('attestation.') ? NOT_ENTITLED : undefined)
}
