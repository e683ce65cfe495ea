import { AimsError } from 'aims/base'
import { parseWorkloadSpiffeId, type SpiffeId } from 'aims/identifiers'
import { GRPC_STATUS, GrpcError, type GrpcStream, type MessageCodec } from 'aims/provisioning'

/** Bytes of the one request of a call. */
const MAX_REQUEST = 64 * 1024

/** Reads the one request of a call. @throws {@link GrpcError} */
export async function readRequest<Request>(codec: MessageCodec<Request>, stream: GrpcStream): Promise<Request> {
  return decodeRequest(codec, await stream.request(MAX_REQUEST))
}

/** Reads a request; what is none is InvalidArgument. @throws {@link GrpcError} */
export function decodeRequest<Request>({ decode }: MessageCodec<Request>, bytes: Buffer): Request {
  return orInvalid(() => decode(bytes))
}

/** A SPIFFE ID of a request, or nothing when it is not set. @throws {@link GrpcError} */
export function optionalId(text: string): SpiffeId | undefined {
  return text === '' ? undefined : orInvalid(() => parseWorkloadSpiffeId(text))
}

/** The refusal of a request that asks for nothing that there could be. */
export function invalid(text: string): GrpcError {
  return new GrpcError(GRPC_STATUS.invalidArgument, text)
}

function orInvalid<T>(read: () => T): T {
  try {
    return read()
  } catch (error) {
    if (AimsError.is(error)) throw invalid(error.code)
    throw error
  }
}
