import { once } from 'node:events'
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect,
  constants,
  type IncomingHttpHeaders,
} from 'node:http2'
import { connect as connectSocket, type Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { connectFailure, isForbidden } from '../../base/connect-failure.ts'
import { ERROR_CODES } from '../../base/error-codes/index.ts'
import { AimsError, type AimsErrorCode } from '../../base/errors.ts'
import type { Endpoint } from './endpoint.ts'
import { FrameReader, frameMessage } from './grpc-framing.ts'
import { GRPC_STATUS, SECURITY_HEADER } from './service.ts'

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
  readonly #endpoint: Endpoint
  readonly #maxMessageSize: number
  #session: Promise<ClientHttp2Session> | undefined
  #isClosed = false

  constructor(endpoint: Endpoint, maxMessageSize: number) {
    this.#endpoint = endpoint
    this.#maxMessageSize = maxMessageSize
  }

  /**
   * Runs one call to its end: resolves when the server ends it with status OK, or when it is aborted.
   *
   * @throws {@link AimsError} `provisioning.*` after the status of the call
   */
  async run(call: Call): Promise<void> {
    const session = await this.#connected()
    if (call.signal?.aborted === true) return
    const stream = openStream(session, call.path)
    await runStream(stream, call, this.#maxMessageSize)
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
      const socket = await openSocket(this.#endpoint)
      const session = connect('http://localhost', { createConnection: () => socket, settings: { enablePush: false } })
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

function openStream(session: ClientHttp2Session, path: string): ClientHttp2Stream {
  try {
    return session.request({
      ':method': 'POST',
      ':path': path,
      'content-type': 'application/grpc',
      te: 'trailers',
      [SECURITY_HEADER]: 'true',
    })
  } catch (cause) {
    // The connection was lost, and nobody has told us yet.
    throw new AimsError('provisioning.endpoint_unavailable', 'the connection was lost', { cause })
  }
}

async function runStream(stream: ClientHttp2Stream, call: Call, maxMessageSize: number): Promise<void> {
  const reader = new FrameReader(maxMessageSize)
  let status: string | undefined
  let reason: string | undefined
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
  if (status !== String(GRPC_STATUS.ok)) throw statusError(status, reason)
  reader.end()
}

const CODE_OF_STATUS: { readonly [status: string]: AimsErrorCode } = {
  [GRPC_STATUS.invalidArgument]: 'provisioning.endpoint_refused',
  [GRPC_STATUS.deadlineExceeded]: 'provisioning.timeout',
  [GRPC_STATUS.permissionDenied]: 'provisioning.no_identity',
  [GRPC_STATUS.unimplemented]: 'provisioning.unimplemented',
}

// The text that came with the status is the server's and is left out, unless it is one of our codes: an AIMS agent says
// by it what it could not do.
function statusError(status: string, reason: string | undefined): AimsError {
  const code = Object.hasOwn(CODE_OF_STATUS, status) ? CODE_OF_STATUS[status] : undefined
  const shown = /^[0-9]{1,2}$/.test(status) ? status : 'unreadable'
  const why = reason !== undefined && Object.hasOwn(ERROR_CODES, reason) ? `: ${reason}` : ''
  return new AimsError(code ?? 'provisioning.endpoint_unavailable', `the call ended with gRPC status ${shown}${why}`)
}

const MAX_ATTEMPTS = 20
/** Milliseconds. */
const CONNECT_TIMEOUT = 10_000

async function openSocket(endpoint: Endpoint): Promise<Socket> {
  for (let attempt = 1; ; attempt += 1) {
    const socket = endpoint.kind === 'unix' ? connectSocket(endpoint.path) : connectSocket(endpoint.port, endpoint.host)
    socket.setTimeout(CONNECT_TIMEOUT, () => socket.destroy(new Error('no answer')))
    try {
      await once(socket, 'connect')
      socket.setTimeout(0)
      return socket
    } catch (cause) {
      const code = cause instanceof Error && 'code' in cause ? String(cause.code) : 'unknown'
      // The queue of the listener is full for a moment: the kernel does not wait on Unix sockets.
      if (code !== 'EAGAIN' || attempt === MAX_ATTEMPTS) {
        throw new AimsError('provisioning.endpoint_unavailable', `cannot connect: ${reasonOf(cause, code)}`, { cause })
      }
      await delay(5 * attempt)
    }
  }
}

function reasonOf(cause: unknown, code: string): string {
  return `${connectFailure(cause) ?? code}${isForbidden(cause) ? ': agent.socketMode of the agent says who may' : ''}`
}
