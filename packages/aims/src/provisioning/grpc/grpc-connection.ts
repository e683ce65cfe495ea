import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect,
  constants,
  type IncomingHttpHeaders,
} from 'node:http2'
import type { Duplex } from 'node:stream'
import { ERROR_CODES } from '../../base/error-codes/index.ts'
import { AimsError, type AimsErrorCode } from '../../base/errors.ts'
import { FrameReader, frameMessage } from '../workload-api/grpc-framing.ts'
import { GRPC_STATUS, REQUEST_ID } from '../workload-api/service.ts'

/** Whom a connection leads to, and what is particular about calls there. */
export interface GrpcTarget {
  /** `http://HOST:PORT` or `https://HOST:PORT`: what the requests say, not where they go. */
  readonly origin: string
  /** Sent with each call. */
  readonly metadata: { readonly [name: string]: string }
  /** What a status means here. Others are `provisioning.endpoint_unavailable`. */
  readonly codes: { readonly [status: number]: AimsErrorCode }
  /** Opens what HTTP/2 runs over. @throws {@link AimsError} */
  open(): Promise<Duplex>
}

/** One call. */
export interface Call {
  readonly path: string
  readonly request: Uint8Array
  readonly signal?: AbortSignal
  /** Takes each message as it comes. What it throws ends the call. */
  readonly onMessage: (message: Buffer) => void
}

/** Calls gRPC methods over one HTTP/2 connection, which is made when it is needed and made again when it was lost. */
export class GrpcConnection {
  readonly #target: GrpcTarget
  readonly #maxMessageSize: number
  #session: Promise<ClientHttp2Session> | undefined
  #isClosed = false

  constructor(target: GrpcTarget, maxMessageSize: number) {
    this.#target = target
    this.#maxMessageSize = maxMessageSize
  }

  /**
   * Runs one call to its end: resolves when the server ends it with status OK, or when it is aborted.
   *
   * @throws {@link AimsError} after the status of the call, `provisioning.endpoint_unavailable`, `.malformed_message`,
   *   `.message_too_large`, `.closed`
   */
  async run(call: Call): Promise<void> {
    const session = await this.#connected()
    if (call.signal?.aborted === true) return
    const stream = openStream(session, call.path, this.#target.metadata)
    await runStream(stream, call, this.#target.codes, this.#maxMessageSize)
  }

  /** Ends all calls. */
  close(): void {
    this.#isClosed = true
    this.#session?.then(
      (session) => session.destroy(),
      () => undefined,
    )
  }

  async #connected(): Promise<ClientHttp2Session> {
    if (this.#isClosed) throw new AimsError('provisioning.closed', 'the client was closed')
    this.#session ??= this.#connect()
    return await this.#session
  }

  async #connect(): Promise<ClientHttp2Session> {
    try {
      const socket = await this.#target.open()
      const session = connect(this.#target.origin, {
        createConnection: () => socket,
        settings: { enablePush: false },
      })
      // What is wrong with the session is told by each of its streams.
      session.on('error', () => undefined)
      const forget = (): void => {
        this.#session = undefined
      }
      session.once('close', forget).once('goaway', forget)
      if (this.#isClosed) session.destroy()
      return session
    } catch (error) {
      this.#session = undefined
      throw error
    }
  }
}

function openStream(session: ClientHttp2Session, path: string, metadata: GrpcTarget['metadata']): ClientHttp2Stream {
  try {
    return session.request({
      ':method': 'POST',
      ':path': path,
      'content-type': 'application/grpc',
      te: 'trailers',
      ...metadata,
    })
  } catch (cause) {
    // The connection was lost, and nobody has told us yet.
    throw new AimsError('provisioning.endpoint_unavailable', 'the connection was lost', { cause })
  }
}

async function runStream(
  stream: ClientHttp2Stream,
  call: Call,
  codes: GrpcTarget['codes'],
  maxMessageSize: number,
): Promise<void> {
  const reader = new FrameReader(maxMessageSize)
  let status: string | undefined
  let reason: string | undefined
  let id: string | undefined
  let failure: unknown
  const cancel = (): void => stream.close(constants.NGHTTP2_CANCEL)
  const fail = (error: unknown): void => {
    failure ??= error
    cancel()
  }
  const takeStatus = (headers: IncomingHttpHeaders): void => {
    const value = headers['grpc-status']
    if (typeof value !== 'string' || status !== undefined) return
    status = value
    reason = headers['grpc-message']?.toString()
    id = headers[REQUEST_ID]?.toString()
  }
  stream.on('response', (headers) => {
    if (headers[':status'] !== 200 || headers['content-type']?.startsWith('application/grpc') !== true) {
      fail(new AimsError('provisioning.malformed_message', 'the answer is not gRPC'))
    }
    takeStatus(headers)
  })
  stream.on('trailers', takeStatus)
  stream.on('data', (chunk: Buffer) => {
    try {
      for (const message of failure === undefined ? reader.push(chunk) : []) call.onMessage(message)
    } catch (error) {
      fail(error)
    }
  })
  // A broken stream is one without a status.
  stream.on('error', () => undefined)
  call.signal?.addEventListener('abort', cancel, { once: true })
  stream.end(frameMessage(call.request))
  await new Promise<void>((resolve) => stream.once('close', resolve))
  call.signal?.removeEventListener('abort', cancel)

  if (failure !== undefined) throw failure
  if (call.signal?.aborted === true) return
  if (status === undefined) throw new AimsError('provisioning.endpoint_unavailable', 'the connection was lost')
  if (status !== String(GRPC_STATUS.ok)) throw statusError({ status, reason, id }, codes)
  reader.end()
}

/** What a call ended with. */
interface Ending {
  readonly status: string
  readonly reason: string | undefined
  readonly id: string | undefined
}

// The text that came with the status is the server's and is left out, unless it is one of our codes: an AIMS agent says
// by it what it could not do, and under which id its record is.
function statusError({ status, reason, id }: Ending, codes: GrpcTarget['codes']): AimsError {
  const number = /^[0-9]{1,2}$/.test(status) ? Number(status) : undefined
  const code = number !== undefined && Object.hasOwn(codes, number) ? codes[number] : undefined
  const why = reason !== undefined && Object.hasOwn(ERROR_CODES, reason) ? `: ${reason}` : ''
  const where = why !== '' && id !== undefined && UUID.test(id) ? ` (aims explain ${id})` : ''
  const shown = number ?? 'unreadable'
  return new AimsError(
    code ?? 'provisioning.endpoint_unavailable',
    `the call ended with gRPC status ${shown}${why}${where}`,
  )
}

const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/
