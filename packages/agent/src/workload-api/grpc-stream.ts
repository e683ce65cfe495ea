import { constants, type IncomingHttpHeaders, type ServerHttp2Stream } from 'node:http2'
import { AimsError } from 'aims/base'
import { FrameReader, GRPC_STATUS } from 'aims/provisioning'

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

/** One call, seen from the server: reads one request, writes any number of messages, ends with a status. */
export class GrpcStream {
  readonly #stream: ServerHttp2Stream
  #pending: Buffer | undefined
  #last: Buffer | undefined
  #isEnding = false

  constructor(stream: ServerHttp2Stream) {
    this.#stream = stream
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
  async request(headers: IncomingHttpHeaders, maxSize: number): Promise<Buffer> {
    const encoding = headers['grpc-encoding']
    if (encoding !== undefined && encoding !== 'identity') {
      throw new GrpcError(GRPC_STATUS.unimplemented, 'compression is not supported')
    }
    const reader = new FrameReader(maxSize)
    const messages: Buffer[] = []
    const timer = setTimeout(() => this.#stream.destroy(), PATIENCE)
    try {
      for await (const chunk of this.#stream.iterator({ destroyOnReturn: false })) {
        messages.push(...reader.push(chunk as Buffer))
        if (messages.length > 1) break
      }
      reader.end()
    } catch (cause) {
      if (!AimsError.is(cause)) throw new GrpcError(GRPC_STATUS.cancelled, 'the request was cut off', { cause })
      const isLarge = cause.code === 'provisioning.message_too_large'
      throw new GrpcError(isLarge ? GRPC_STATUS.resourceExhausted : GRPC_STATUS.invalidArgument, cause.code, { cause })
    } finally {
      clearTimeout(timer)
    }
    const [message, ...others] = messages
    if (message === undefined || others.length > 0) {
      throw new GrpcError(GRPC_STATUS.invalidArgument, 'not exactly one request message')
    }
    return message
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

  /** Ends the call. */
  end(status: GrpcStatus, text = ''): void {
    if (this.#isEnding || this.#stream.destroyed) return
    this.#isEnding = true
    const trailers = { 'grpc-status': String(status), ...(text === '' ? {} : { 'grpc-message': encodeURI(text) }) }
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
