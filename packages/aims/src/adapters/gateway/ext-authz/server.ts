import type { IncomingHttpHeaders } from 'node:http2'
import type { Socket } from 'node:net'
import { TLSSocket } from 'node:tls'
import type { RawHeaders } from '../../../authentication/carriage.ts'
import { peerCertificatesOf } from '../../../authentication/mtls/material.ts'
import type { IncomingRequest, UnseenBody } from '../../../authentication/request.ts'
import { createCorrelationId } from '../../../base/correlation-id.ts'
import { AimsError } from '../../../base/errors.ts'
import { isSpiffeId } from '../../../identifiers/spiffe-id.ts'
import { GrpcError, type GrpcStream } from '../../../provisioning/grpc/grpc-stream.ts'
import { Http2Sessions } from '../../../provisioning/grpc/http2-sessions.ts'
import { frameMessage } from '../../../provisioning/workload-api/grpc-framing.ts'
import { GRPC_STATUS } from '../../../provisioning/workload-api/service.ts'
import type { Gate, Verdict } from '../gate.ts'
import { connectionServer, type GatewayTls, type ListenAddress, listenOn, type RunningGateway } from '../listen.ts'
import { requireTrustedListener } from '../proxy-rules.ts'
import {
  CHECK_PATH,
  type CheckRequest,
  type CheckResponse,
  decodeCheckRequest,
  encodeCheckResponse,
} from './messages.ts'

/** A service that Envoy asks about each request over gRPC. */
export interface ExtAuthzOptions {
  /** Without the method `mtls`. With `forwarded`, Envoy's word about client certificates counts as its `proxies` say. */
  readonly gate: Gate
  /** A Unix socket or an address of this machine, unless there is `tls`. */
  readonly listen: ListenAddress
  /** With a client certificate that is Envoy's. */
  readonly tls?: GatewayTls
  /**
   * Judge requests of an Envoy that has no `encode_raw_headers`: lines of one name come joined by commas, and a request that
   * is judged by such a line is refused where the comma shows. Default: refused before that.
   */
  readonly acceptJoinedHeaders?: boolean
  /** Envoy is configured with `with_request_body` and `pack_as_bytes`. Default: no body is seen. */
  readonly seesBodies?: boolean
  /** Accept proofs that name a body that is not seen, or not whole: they do not cover it then. Default: refused. */
  readonly acceptUncheckedDigest?: boolean
  /** Bytes of one question, with body and fields. Default 1 MiB. */
  readonly maxMessage?: number
}

/** Calls that one connection of Envoy may have open. */
const MAX_STREAMS = 1000
const MAX_MESSAGE = 1_048_576
/** Set by Envoy alone; it takes away what a client sends under this name. */
const PARTIAL_BODY = 'x-envoy-auth-partial-body'

/**
 * Starts `envoy.service.auth.v3.Authorization`. What cannot be judged is refused; what is no question is an error of gRPC, on
 * which Envoy refuses as long as `failure_mode_allow` is off.
 *
 * @throws TypeError for a listener whose askers are not to be believed, and for an authenticator with `mtls`
 * @throws {@link AimsError} `operation.port_busy`, `operation.address_unavailable`, `operation.socket_*`
 */
export async function startExtAuthz(options: ExtAuthzOptions): Promise<RunningGateway> {
  const { listen, tls } = options
  requireTrustedListener(options)
  const sessions = new Http2Sessions(MAX_STREAMS)
  const server = connectionServer((socket) => {
    sessions.serve(socket, (stream, headers) => void answer(stream, headers, socket, options))
  }, tls)
  const closed = new Promise<void>((resolve) => server.once('close', resolve))
  return await listenOn(server, listen, {
    scheme: tls === undefined ? 'grpc' : 'grpcs',
    stop: () => sessions.close(closed),
  })
}

async function answer(
  stream: GrpcStream,
  headers: IncomingHttpHeaders,
  socket: Socket,
  options: ExtAuthzOptions,
): Promise<void> {
  try {
    if (headers[':path'] !== CHECK_PATH || headers[':method'] !== 'POST') {
      throw new GrpcError(GRPC_STATUS.unimplemented, 'no such method')
    }
    const asked = decode(await stream.request(options.maxMessage ?? MAX_MESSAGE))
    const response = await check(asked, socket, options)
    stream.writeState(frameMessage(encodeCheckResponse(response)))
    stream.end(GRPC_STATUS.ok)
  } catch (error) {
    if (error instanceof GrpcError) stream.end(error.status, error.message)
    else stream.end(GRPC_STATUS.internal, 'the question could not be answered')
  }
}

function decode(bytes: Uint8Array): CheckRequest {
  try {
    return decodeCheckRequest(bytes)
  } catch (cause) {
    if (!AimsError.is(cause)) throw cause
    throw new GrpcError(GRPC_STATUS.invalidArgument, cause.code, { cause })
  }
}

async function check(asked: CheckRequest, socket: Socket, options: ExtAuthzOptions): Promise<CheckResponse> {
  const { gate } = options
  const request = toIncoming(asked, socket, options)
  const cannotTell = !asked.headers.areRaw && options.acceptJoinedHeaders !== true
  const verdict = cannotTell ? await gate.refuse(request, JOINED) : await gate.judge(request)
  return toResponse(verdict)
}

const JOINED = new AimsError('authentication.malformed_field', 'Envoy has joined header lines: set encode_raw_headers')

function toResponse(verdict: Verdict): CheckResponse {
  if (verdict.effect === 'admit') {
    // What is set needs no removal, and Envoy does one after the other.
    const set = new Set(verdict.add.map(([name]) => name))
    return { effect: 'admit', set: verdict.add, remove: verdict.remove.filter((name) => !set.has(name.toLowerCase())) }
  }
  const { status, headers, body } = verdict.response
  return { effect: 'refuse', status, headers: Object.entries(headers), body }
}

function toIncoming(asked: CheckRequest, socket: Socket, options: ExtAuthzOptions): IncomingRequest {
  const { method, path, headers } = asked
  const fields = headers.fields.filter(([name]) => !name.startsWith(':') && name !== PARTIAL_BODY)
  return {
    id: createCorrelationId(),
    method,
    target: path,
    body: bodyOf(asked, options),
    answersUnsigned: true,
    ...withPeer(fields, asked, socket, options),
  }
}

// The whole body, where Envoy says that it is. A body of which nothing is said is none only where bodies are sent along.
function bodyOf({ headers: { fields }, body }: CheckRequest, options: ExtAuthzOptions): Uint8Array | UnseenBody {
  const { seesBodies = false, acceptUncheckedDigest } = options
  const unseen = { kind: 'unseen', ...(acceptUncheckedDigest === undefined ? {} : { acceptUncheckedDigest }) } as const
  if (!seesBodies) return unseen
  const said = fields.flatMap(([name, value]) => (name === PARTIAL_BODY ? [value] : []))
  if (said.length === 1 && said[0] === 'false') return body
  const isAnnounced = fields.some(
    ([name, value]) => name === 'transfer-encoding' || (name === 'content-length' && value !== '0'),
  )
  return said.length === 0 && !isAnnounced && body.length === 0 ? body : unseen
}

// What a client writes into the field is not what Envoy says.
function withPeer(
  fields: RawHeaders,
  { principal }: CheckRequest,
  socket: Socket,
  { gate }: ExtAuthzOptions,
): Pick<IncomingRequest, 'headers' | 'peerCertificates'> {
  const own = fields.filter(([name]) => name !== XFCC)
  if (!(socket instanceof TLSSocket) || !gate.authenticator.methods.includes('forwarded')) return { headers: fields }
  return {
    headers: isSpiffeId(principal) ? [...own, [XFCC, `URI=${principal}`]] : own,
    peerCertificates: peerCertificatesOf(socket),
  }
}

const XFCC = 'x-forwarded-client-cert'
