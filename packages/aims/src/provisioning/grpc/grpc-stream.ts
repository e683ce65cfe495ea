import { constants, type IncomingHttpHeaders, type ServerHttp2Stream } from 'node:http2'
import { AimsError } from '../../base/errors.ts'
import { FrameReader } from '../workload-api/grpc-framing.ts'
import { GRPC_STATUS, REQUEST_ID } from '../workload-api/service.ts'

/** The status a call ends with. */
export type GrpcStatus = (typeof GRPC_STATUS)[keyof typeof GRPC_STATUS]

/** A call that ends with a status other than OK. The text goes to the client: it is a code of ours, or fixed. */
export class GrpcError extends Error {
  readonly status: GrpcStatus

  constructor(status: GrpcStatus, text: string, options?: ErrorOptions) {
    super(text, options)
    this.status = status
  }
}

/** Milliseconds a client has to send its request, and to end its side after an answer. */
const PATIENCE = 10_000

/** One call, seen from the server: reads requests, writes any number of messages, ends with a status. */
export class GrpcStream {
  readonly #stream: ServerHttp2Stream
  readonly #encoding: string | undefined
  #pending: Buffer | undefined
  #last: Buffer | undefined
  #isEnding = false

  constructor(stream: ServerHttp2Stream, headers: IncomingHttpHeaders) {
    const { 'grpc-encoding': encoding } = headers
    this.#stream = stream
    this.#encoding = typeof encoding === 'string' ? encoding : undefined
    // What breaks a stream also closes it.
    stream.on('error', () => undefined)
    stream.on('drain', () => this.#flush())
  }

  /** Calls `listener` once, when the call is over for whatever reason. */
  onClose(listener: () => void): void {
    if (this.#stream.closed || this.#stream.destroyed) listener()
    else this.#stream.once('close', listener)
  }

  /** The one message that the client sends. @throws {@link GrpcError} */
  async request(maxSize: number): Promise<Buffer> {
    const messages: Buffer[] = []
    const timer = setTimeout(() => this.#stream.destroy(), PATIENCE)
    try {
      for await (const some of this.#messages(maxSize)) {
        messages.push(...some)
        if (messages.length > 1) break
      }
    } finally {
      clearTimeout(timer)
    }
    const [message, ...others] = messages
    if (message === undefined || others.length > 0) {
      throw new GrpcError(GRPC_STATUS.invalidArgument, 'not exactly one request message')
    }
    return message
  }

  /**
   * The messages that the client sends, one after the other, until it has no more or the call has ended. The first one
   * must come soon. While one is worked on, no other is read: a client cannot be faster than its answers.
   *
   * @throws {@link GrpcError}
   */
  async *requests(maxSize: number): AsyncGenerator<Buffer, void, undefined> {
    const timer = setTimeout(() => this.#stream.destroy(), PATIENCE)
    try {
      for await (const some of this.#messages(maxSize)) {
        if (some.length > 0) clearTimeout(timer)
        for (const message of some) if (!this.#isEnding) yield message
      }
    } finally {
      clearTimeout(timer)
    }
  }

  // What each piece of the stream completes.
  async *#messages(maxSize: number): AsyncGenerator<readonly Buffer[], void, undefined> {
    if (this.#encoding !== undefined && this.#encoding !== 'identity') {
      throw new GrpcError(GRPC_STATUS.unimplemented, 'compression is not supported')
    }
    const reader = new FrameReader(maxSize)
    try {
      for await (const chunk of this.#stream.iterator({ destroyOnReturn: false })) yield reader.push(chunk as Buffer)
      reader.end()
    } catch (cause) {
      if (!AimsError.is(cause)) throw new GrpcError(GRPC_STATUS.cancelled, 'the request was cut off', { cause })
      const isLarge = cause.code === 'provisioning.message_too_large'
      throw new GrpcError(isLarge ? GRPC_STATUS.resourceExhausted : GRPC_STATUS.invalidArgument, cause.code, { cause })
    }
  }

  /** Whether a state was written, or the call is over. */
  get hasState(): boolean {
    return this.#isEnding || this.#pending !== undefined || this.#last !== undefined
  }

  /** Writes the newest state. While the client is slow only the newest one waits: each is complete. */
  writeState(frame: Buffer): void {
    const last = this.#pending ?? this.#last
    if (this.#isEnding || this.#stream.destroyed || last?.equals(frame) === true) return
    this.#pending = frame
    if (!this.#stream.writableNeedDrain) this.#flush()
  }

  /**
   * Ends the call.
   *
   * @param details - A `google.rpc.Status`, for clients that look at more than the status.
   * @param id - Of the record of a refusal, for `aims explain`.
   */
  end(status: GrpcStatus, text = '', details?: Uint8Array, id?: string): void {
    if (this.#isEnding || this.#stream.destroyed) return
    this.#isEnding = true
    const trailers = {
      'grpc-status': String(status),
      ...(text === '' ? {} : { 'grpc-message': encodeURI(text) }),
      ...(id === undefined ? {} : { [REQUEST_ID]: id }),
      ...(details === undefined ? {} : { 'grpc-status-details-bin': Buffer.from(details).toString('base64') }),
    }
    if (this.#stream.headersSent) {
      this.#stream.once('wantTrailers', () => this.#stream.sendTrailers(trailers))
      this.#stream.end()
    } else {
      this.#stream.respond({ ':status': 200, 'content-type': 'application/grpc', ...trailers }, { endStream: true })
    }
    // Nobody reads what the client still sends, so it must come to an end.
    this.#stream.resume()
    const timer = setTimeout(() => this.#stream.close(constants.NGHTTP2_NO_ERROR), PATIENCE)
    this.#stream.once('close', () => clearTimeout(timer))
  }

  #flush(): void {
    const frame = this.#pending
    if (frame === undefined || this.#isEnding || this.#stream.destroyed) return
    this.#pending = undefined
    this.#last = frame
    if (!this.#stream.headersSent) {
      this.#stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true })
    }
    this.#stream.write(frame)
  }
}
