import {
  createServer as createHttp2Server,
  type Http2Server,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2'
import type { Socket } from 'node:net'
import { GrpcStream } from './grpc-stream.ts'

/** Milliseconds that open calls have to end when the server is closed. */
const GRACE = 1000
/** Milliseconds that a connection has to begin with HTTP/2. */
const PREFACE_TIMEOUT = 10_000

// Rule H3 of our security notes: budgets before anybody is known.
const HTTP2_LIMITS = {
  settings: { maxHeaderListSize: 16 * 1024, enablePush: false },
  maxSessionMemory: 10,
  maxSettings: 16,
  maxOutstandingPings: 4,
  maxHeaderListPairs: 64,
  maxSendHeaderBlockLength: 16 * 1024,
  maxSessionInvalidFrames: 20,
  maxSessionRejectedStreams: 20,
  unknownProtocolTimeout: 2000,
} as const

/** Takes the calls of one connection. */
export type CallListener = (stream: GrpcStream, headers: IncomingHttpHeaders) => void

/** HTTP/2 on connections that somebody else has accepted and looked at. */
export class Http2Sessions {
  readonly #http2: Http2Server
  readonly #sessions = new Set<ServerHttp2Session>()

  /** @param maxStreams - Calls that one connection may have open. */
  constructor(maxStreams: number) {
    const settings = { ...HTTP2_LIMITS.settings, maxConcurrentStreams: maxStreams }
    this.#http2 = createHttp2Server({ ...HTTP2_LIMITS, settings })
  }

  /** Speaks HTTP/2 on this connection from now on. */
  serve(socket: Socket, onCall: CallListener): void {
    // The session is made while the connection is handed over, and no other comes between.
    let session: ServerHttp2Session | undefined
    const take = (made: ServerHttp2Session): void => {
      session = made
    }
    this.#http2.once('session', take)
    this.#http2.emit('connection', socket)
    this.#http2.off('session', take)
    if (session === undefined) socket.destroy()
    else this.#follow(session, onCall)
  }

  /** Lets open calls end, for a moment. @param closed - Resolves when the last connection has ended. */
  async close(closed: Promise<void>): Promise<void> {
    for (const session of this.#sessions) session.close()
    const timer = setTimeout(() => {
      for (const session of this.#sessions) session.destroy()
    }, GRACE)
    await closed
    clearTimeout(timer)
  }

  #follow(session: ServerHttp2Session, onCall: CallListener): void {
    this.#sessions.add(session)
    const silent = setTimeout(() => session.destroy(), PREFACE_TIMEOUT)
    session.once('remoteSettings', () => clearTimeout(silent))
    session.on('error', () => undefined)
    session.once('close', () => {
      clearTimeout(silent)
      this.#sessions.delete(session)
    })
    session.on('stream', (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => {
      onCall(new GrpcStream(stream, headers), headers)
    })
  }
}
