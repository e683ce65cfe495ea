import type { MessageCodec } from '../workload-api/protobuf.ts'
import { readFields, textOf, varintOf, writeBytes, writeMessage, writeVarint } from '../workload-api/protobuf.ts'
import type { Procedure } from '../workload-api/service.ts'

/** Which list somebody has: `0` and `0` when none. */
export interface SeenRevocations {
  readonly sequence: number
  /** Seconds since the epoch. */
  readonly issuedAt: number
}

/** Message `ListRequest` of our service. */
export type RevocationListRequest = SeenRevocations

/** Message `ListResponse` of our service. */
export interface RevocationListResponse {
  /** The list as the identity server signed it: whoever relays it cannot change it. */
  readonly list: string
}

/** Passes the signed lists of an identity server on. */
export interface RevocationRelay {
  /** The newest list, as soon as it is another than `seen`, or the same again after some seconds. */
  fetchRevocationList(seen: SeenRevocations, signal?: AbortSignal): Promise<string>
}

/**
 * Our own service beside the Workload API, on the same socket:
 *
 * ```proto
 * package aims.agent.v1;
 * service Revocations { rpc FetchList(ListRequest) returns (ListResponse); }
 * message ListRequest { uint64 sequence = 1; uint64 issued_at = 2; }
 * message ListResponse { string list = 1; }
 * ```
 *
 * @see SPIFFE Workload Endpoint: nothing is added to the service of the specification
 */
export const REVOCATIONS_SERVICE: {
  readonly fetchList: Procedure<RevocationListRequest, RevocationListResponse>
} = {
  fetchList: {
    path: '/aims.agent.v1.Revocations/FetchList',
    isStream: false,
    request: listRequest(),
    response: listResponse(),
  },
}

function listRequest(): MessageCodec<RevocationListRequest> {
  return {
    encode: ({ sequence, issuedAt }) =>
      writeMessage(sequence === 0 ? [] : writeVarint(1, sequence), issuedAt === 0 ? [] : writeVarint(2, issuedAt)),
    decode(bytes) {
      const seen = { sequence: 0, issuedAt: 0 }
      for (const field of readFields(bytes)) {
        if (field.number === 1) seen.sequence = Number(varintOf(field))
        else if (field.number === 2) seen.issuedAt = Number(varintOf(field))
      }
      return seen
    },
  }
}

function listResponse(): MessageCodec<RevocationListResponse> {
  return {
    encode: ({ list }) => writeMessage(writeBytes(1, list)),
    decode(bytes) {
      let list = ''
      for (const field of readFields(bytes)) if (field.number === 1) list = textOf(field)
      return { list }
    },
  }
}
