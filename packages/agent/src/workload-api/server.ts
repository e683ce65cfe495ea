import type { IncomingHttpHeaders } from 'node:http2'
import { createServer, type Server, type Socket } from 'node:net'
import {
  type Attestor,
  loadPeerCredentialProvider,
  type PeerCredentialProvider,
  type PeerCredentials,
  releasePeerCredentials,
  unixAttestor,
} from 'aims/attestation'
import {
  AimsError,
  type BoundSocket,
  bindSocket,
  type Clock,
  createTokenBuckets,
  type Observer,
  systemClock,
  type TokenBuckets,
} from 'aims/base'
import {
  GRPC_STATUS,
  GrpcError,
  type GrpcStream,
  Http2Sessions,
  type RevocationRelay,
  SECURITY_HEADER,
} from 'aims/provisioning'
import { REVOCATION_HANDLERS } from '../revocations/calls.ts'
import { SECRET_HANDLERS } from '../sds/calls.ts'
import { DEFAULT_SECRETS, SecretCache, type SecretSettings } from '../sds/secret-cache.ts'
import type { WorkloadBackend } from '../workload-backend.ts'
import { Broadcast } from './broadcast.ts'
import { type CallContext, HANDLERS } from './calls.ts'
import { Census } from './census.ts'
import { FrameCache } from './frames.ts'
import { Peer, type PeerContext } from './peer.ts'

/** How to serve the Workload API. */
export interface WorkloadApiServerOptions {
  /** Absolute path of the Unix socket. Its directory is made if it is absent, and must be safe. */
  readonly socketPath: string
  readonly backend: WorkloadBackend
  /** Signed revocation lists for verifiers among the workloads. Default: none are relayed. */
  readonly revocations?: RevocationRelay
  /** Learns of every attestation, before the answer that rests on it. */
  readonly observer: Observer
  /**
   * Permissions of the socket file: who may connect at all. Who gets what is decided by attestation. Default 0o660:
   * the user of this process and the group `socketGid`; 0o666 lets every user ask.
   */
  readonly socketMode?: number
  /** Group of the socket file. Default: that of this process. */
  readonly socketGid?: number
  /** Names of secrets for Envoy, and how it is told to check peers. Default: those of SPIRE, and by the rules of SPIFFE. */
  readonly secrets?: SecretSettings
  /** Default: `unixAttestor()`. */
  readonly attestor?: Attestor<PeerCredentials>
  /** Default: `loadPeerCredentialProvider()`. */
  readonly peerCredentials?: PeerCredentialProvider
  /** Default: the machine's clock. */
  readonly clock?: Clock
  /** Connections that one user may hold. Default 1000. */
  readonly maxConnectionsPerUser?: number
  /**
   * Connections that one user may begin in a second, and ten times as many at once: each leaves a record of who has
   * connected. Default 100.
   */
  readonly arrivalsPerUser?: number
  /** Calls that one user may have open. Default 10,000. */
  readonly maxStreamsPerUser?: number
}

const MAX_CONNECTIONS = 20_000
/** Calls that one connection may have open. */
const MAX_STREAMS = 100
/**
 * The SPIFFE Workload API on a Unix socket, and beside it the secret discovery service of Envoy. Callers are who the kernel says they are; what they get, the backend says.
 *
 * @see SPIFFE Workload API; SPIFFE Workload Endpoint
 */
export class WorkloadApiServer {
  /** For `SPIFFE_ENDPOINT_SOCKET`. */
  readonly address: string
  readonly #listener: Server
  readonly #http2 = new Http2Sessions(MAX_STREAMS)
  readonly #context: CallContext
  readonly #peerContext: PeerContext
  readonly #peerCredentials: PeerCredentialProvider
  readonly #connections: Census
  readonly #arrivals: TokenBuckets
  readonly #streams: Census
  #socket: BoundSocket | undefined

  private constructor(options: WorkloadApiServerOptions, peerCredentials: PeerCredentialProvider) {
    const { socketPath, backend, revocations, observer, attestor = unixAttestor(), clock = systemClock } = options
    this.address = `unix://${socketPath}`
    this.#peerCredentials = peerCredentials
    this.#peerContext = { attestor, observer, clock, resource: { type: 'workload-api', id: socketPath } }
    this.#context = {
      backend,
      frames: new FrameCache(),
      secrets: new SecretCache(options.secrets ?? DEFAULT_SECRETS),
      broadcast: new Broadcast(backend),
      revocations,
    }
    this.#connections = new Census(options.maxConnectionsPerUser ?? 1000)
    this.#arrivals = createTokenBuckets({ rate: options.arrivalsPerUser ?? 100 })
    this.#streams = new Census(options.maxStreamsPerUser ?? 10_000)
    this.#listener = createServer((socket) => this.#accept(socket))
    this.#listener.maxConnections = MAX_CONNECTIONS
  }

  /**
   * Opens the socket.
   *
   * @throws {@link AimsError} `attestation.provider_unavailable`: without the kernel's word nothing is opened;
   *   `operation.socket_unavailable`, `.socket_directory_open`, `.socket_busy`, `.socket_foreign`
   */
  static async start(options: WorkloadApiServerOptions): Promise<WorkloadApiServer> {
    const { socketPath: path, socketMode: mode = 0o660, socketGid: gid } = options
    const server = new WorkloadApiServer(options, options.peerCredentials ?? (await loadPeerCredentialProvider()))
    try {
      server.#socket = await bindSocket(server.#listener, { path, mode, ...(gid === undefined ? {} : { gid }) })
    } catch (error) {
      server.#context.broadcast.close()
      throw error
    }
    return server
  }

  /** Ends all calls as Unavailable, so that clients come back, and removes the socket. */
  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#listener.close(() => resolve()))
    this.#context.broadcast.close()
    await this.#http2.close(closed)
    this.#socket?.release()
    this.#socket = undefined
  }

  #accept(socket: Socket): void {
    socket.on('error', () => undefined)
    let credentials: PeerCredentials
    try {
      credentials = this.#peerCredentials.read(socket)
    } catch {
      // A peer that left before it was looked at, or one the kernel does not know: nobody to answer.
      socket.destroy()
      return
    }
    const { uid } = credentials
    if (this.#arrivals.take(String(uid)) > 0 || !this.#connections.enter(uid)) {
      releasePeerCredentials(credentials)
      socket.destroy()
      return
    }
    const peer = new Peer(credentials, this.#peerContext)
    socket.once('close', () => {
      this.#connections.leave(uid)
      void peer.release()
    })
    // Now, while the process that connected is surely there. The answer is looked at when it is needed.
    peer.attest().catch(() => undefined)
    this.#http2.serve(socket, (stream, headers) => void this.#answer(stream, headers, peer))
  }

  async #answer(stream: GrpcStream, headers: IncomingHttpHeaders, peer: Peer): Promise<void> {
    const path = headers[':path'] ?? ''
    try {
      // Envoy cannot be told to send the header to a secret discovery service, and SPIRE does not ask for it.
      const secrets = SECRET_HANDLERS.get(path)
      // First of all: a request that a browser or proxy was tricked into does not carry it, and learns nothing.
      if (secrets === undefined && headers[SECURITY_HEADER] !== 'true')
        throw new GrpcError(GRPC_STATUS.invalidArgument, 'security header missing from request')
      const handler = secrets ?? HANDLERS.get(path) ?? REVOCATION_HANDLERS.get(path)
      const isGrpc = headers[':method'] === 'POST' && headers['content-type']?.startsWith('application/grpc') === true
      if (handler === undefined || !isGrpc) throw new GrpcError(GRPC_STATUS.unimplemented, 'no such method')
      const { uid } = peer.credentials
      if (!this.#streams.enter(uid)) throw new GrpcError(GRPC_STATUS.resourceExhausted, 'too many calls are open')
      stream.onClose(() => this.#streams.leave(uid))
      await handler(stream, peer, this.#context)
    } catch (error) {
      await this.#refuse(stream, peer, path, error)
    }
  }

  async #refuse(stream: GrpcStream, peer: Peer, path: string, error: unknown): Promise<void> {
    if (error instanceof GrpcError) return stream.end(error.status, error.message)
    const code = AimsError.is(error) ? error.code : ''
    const isDenied = code.startsWith('attestation.') || REFUSALS.has(code)
    if (!isDenied) return stream.end(GRPC_STATUS.unavailable, code === '' ? 'the agent cannot answer now' : code)
    // Attestation has been recorded where it happened.
    const recorded = code.startsWith('attestation.')
      ? Promise.resolve()
      : peer.recordRefusal(path, code, this.#context.backend)
    await recorded.then(
      () => stream.end(GRPC_STATUS.permissionDenied, code, undefined, peer.correlationId),
      () => stream.end(GRPC_STATUS.unavailable, 'the agent cannot answer now'),
    )
  }
}

const REFUSALS: ReadonlySet<string> = new Set(['provisioning.no_identity', 'provisioning.not_entitled'])
