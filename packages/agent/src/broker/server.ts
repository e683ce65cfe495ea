import { once } from 'node:events'
import type { IncomingHttpHeaders } from 'node:http2'
import type { AddressInfo } from 'node:net'
import { createServer, type Server, type TLSSocket } from 'node:tls'
import {
  type Attestor,
  type LocatedProcess,
  loadProcessLocator,
  type PeerCredentials,
  type ProcessLocator,
  unixAttestor,
} from 'aims/attestation'
import {
  type Principal,
  peerPrincipal,
  type RotatingServer,
  rotatingServer,
  serverTlsOptions,
} from 'aims/authentication'
import {
  AimsError,
  type BoundSocket,
  bindSocket,
  type Clock,
  createCorrelationId,
  type Observer,
  systemClock,
} from 'aims/base'
import type { BundleSource, RevocationSource, X509SvidSource } from 'aims/credentials'
import type { IdMatcher } from 'aims/identifiers'
import {
  BROKER_HEADER,
  type Endpoint,
  GRPC_STATUS,
  GrpcError,
  type GrpcStream,
  Http2Sessions,
  type WorkloadRequest,
} from 'aims/provisioning'
import { Broadcast } from '../workload-api/broadcast.ts'
import { FrameCache } from '../workload-api/frames.ts'
import { Peer } from '../workload-api/peer.ts'
import type { WorkloadBackend } from '../workload-backend.ts'
import { BROKER_HANDLERS, type BrokerContext } from './calls.ts'
import { resolveReference } from './reference.ts'
import { isNotEntitled, refuseCall, refuseWorkload } from './refusals.ts'

/** How to serve the Broker API. */
export interface BrokerServerOptions {
  readonly endpoint: Endpoint
  /** Who this agent is to brokers. */
  readonly x509: X509SvidSource
  /** By which brokers are recognised. */
  readonly bundles: BundleSource
  /** Which certificates were revoked. Default: none is checked. */
  readonly revocations?: RevocationSource
  /** Which SPIFFE IDs are brokers. Nobody else gets anything. */
  readonly callers: IdMatcher
  readonly backend: WorkloadBackend
  /** Learns of every attestation, before the answer that rests on it. */
  readonly observer: Observer
  /** Permissions of a Unix socket. Default 0o660. */
  readonly socketMode?: number
  /** Default: `unixAttestor()`. */
  readonly attestor?: Attestor<PeerCredentials>
  /** Default: `loadProcessLocator()`. */
  readonly locator?: ProcessLocator
  /** Default: the machine's clock. */
  readonly clock?: Clock
  /** Milliseconds after which an ended workload has no more streams. Default 1000. */
  readonly interval?: number
}

const MAX_CONNECTIONS = 100
/** Calls that one connection may have open: a broker has one for each of its workloads and kinds of credentials. */
const MAX_STREAMS = 4000

/**
 * The SPIFFE Broker API: lets a few named callers ask for the credentials of other processes on this machine. Both sides
 * show X.509-SVIDs, and each call is for one workload, which the kernel tells of.
 *
 * @see SPIFFE Broker API; SPIFFE Broker Endpoint (incubating)
 */
export class BrokerServer {
  readonly #options: BrokerServerOptions
  readonly #listener: Server
  readonly #rotation: RotatingServer
  readonly #http2 = new Http2Sessions(MAX_STREAMS)
  readonly #locator: ProcessLocator
  readonly #attestor: Attestor<PeerCredentials>
  readonly #frames = new FrameCache()
  readonly #broadcast: Broadcast
  readonly #running = new Map<GrpcStream, LocatedProcess>()
  readonly #strangers = new WeakSet<Principal>()
  readonly #watch: NodeJS.Timeout
  #socket: BoundSocket | undefined

  private constructor(options: BrokerServerOptions, locator: ProcessLocator) {
    const { x509, bundles, observer, clock = systemClock, interval = 1000 } = options
    this.#options = options
    this.#locator = locator
    this.#attestor = options.attestor ?? unixAttestor()
    this.#broadcast = new Broadcast(options.backend)
    this.#listener = createServer({ ...serverTlsOptions(x509), ALPNProtocols: ['h2'] })
    this.#listener.maxConnections = MAX_CONNECTIONS
    this.#listener.on('secureConnection', (socket: TLSSocket) => this.#accept(socket))
    this.#listener.on('tlsClientError', () => undefined)
    // Everybody who is authentic may ask, and is then told that he is no broker.
    const rules = { bundles, peer: () => true, observer, clock }
    const { revocations } = options
    this.#rotation = rotatingServer(this.#listener, x509, revocations === undefined ? rules : { ...rules, revocations })
    this.#watch = setInterval(() => this.#endStopped(), interval)
    this.#watch.unref()
  }

  /**
   * Opens the endpoint.
   *
   * @throws {@link AimsError} `attestation.provider_unavailable`; `operation.socket_unavailable` and others of `bindSocket`
   */
  static async start(options: BrokerServerOptions): Promise<BrokerServer> {
    const server = new BrokerServer(options, options.locator ?? (await loadProcessLocator()))
    try {
      await server.#listen()
      return server
    } catch (error) {
      server.#stop()
      throw error
    }
  }

  /** The TCP port, of a TCP endpoint. */
  get port(): number | undefined {
    const address: string | AddressInfo | null = this.#listener.address()
    return typeof address === 'object' ? address?.port : undefined
  }

  /** Ends all calls as Unavailable, and removes the socket. */
  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#listener.close(() => resolve()))
    this.#stop()
    await this.#http2.close(closed)
    this.#socket?.release()
    this.#socket = undefined
  }

  async #listen(): Promise<void> {
    const { endpoint, socketMode: mode = 0o660 } = this.#options
    if (endpoint.kind === 'unix') {
      this.#socket = await bindSocket(this.#listener, { path: endpoint.path, mode })
      return
    }
    try {
      await once(this.#listener.listen(endpoint.port, endpoint.host), 'listening')
    } catch (cause) {
      throw new AimsError('operation.socket_unavailable', 'the address of the broker endpoint is not free', { cause })
    }
  }

  #stop(): void {
    clearInterval(this.#watch)
    this.#rotation.stop()
    this.#broadcast.close()
  }

  #accept(socket: TLSSocket): void {
    // It was refused when it was looked at.
    if (socket.destroyed) return
    socket.on('error', () => undefined)
    if (socket.alpnProtocol !== 'h2') {
      socket.destroy()
      return
    }
    const caller = peerPrincipal(socket)
    this.#http2.serve(socket, (stream, headers) => void this.#answer(stream, headers, caller))
  }

  async #answer(stream: GrpcStream, headers: IncomingHttpHeaders, caller: Principal): Promise<void> {
    const path = headers[':path'] ?? ''
    let peer: Peer | undefined
    const find = (request: WorkloadRequest): Peer => {
      peer = this.#find(request, stream, caller)
      return peer
    }
    try {
      if (headers[BROKER_HEADER] !== 'true')
        throw new GrpcError(GRPC_STATUS.invalidArgument, 'security header missing from request')
      // `true` and nothing else: a promise is truthy.
      if (this.#options.callers(caller.id) !== true) await this.#refuseCaller(caller, path)
      const handler = BROKER_HANDLERS.get(path)
      const isGrpc = headers[':method'] === 'POST' && headers['content-type']?.startsWith('application/grpc') === true
      if (handler === undefined || !isGrpc) throw new GrpcError(GRPC_STATUS.unimplemented, 'no such method')
      const context: BrokerContext = {
        backend: this.#options.backend,
        frames: this.#frames,
        broadcast: this.#broadcast,
        find,
      }
      await handler(stream, context)
    } catch (error) {
      // An attestation that failed has been recorded where it happened.
      const code = AimsError.is(error) && !error.code.startsWith('attestation.') ? error.code : ''
      if (peer !== undefined && isNotEntitled(code))
        await peer.recordRefusal(path, code, this.#options.backend).catch(() => undefined)
      refuseCall(stream, error)
    }
  }

  // The process is held for as long as the call lasts, and no longer than it runs.
  #find(request: WorkloadRequest, stream: GrpcStream, caller: Principal): Peer {
    const { observer, clock = systemClock } = this.#options
    const found = resolveReference(request, this.#locator)
    const peer = new Peer(found.credentials, {
      attestor: this.#attestor,
      observer,
      clock,
      resource: this.#resource(),
      agent: { id: caller.id, method: caller.method },
    })
    this.#running.set(stream, found)
    stream.onClose(() => {
      this.#running.delete(stream)
      void peer.release()
    })
    return peer
  }

  // Recorded once for each connection.
  async #refuseCaller(caller: Principal, action: string): Promise<never> {
    const code = 'provisioning.broker_not_allowed'
    const isKnown = this.#strangers.has(caller)
    this.#strangers.add(caller)
    if (isKnown) throw new GrpcError(GRPC_STATUS.permissionDenied, code)
    await this.#options.observer.record({
      type: 'provisioning.refused',
      agent: { id: caller.id, method: caller.method },
      resource: this.#resource(),
      action,
      decision: 'deny',
      reasons: [code],
      correlationId: createCorrelationId(),
    })
    throw new GrpcError(GRPC_STATUS.permissionDenied, code)
  }

  #resource(): { readonly type: string; readonly id: string } {
    const { endpoint } = this.#options
    return { type: 'broker-api', id: endpoint.kind === 'unix' ? endpoint.path : `${endpoint.host}:${endpoint.port}` }
  }

  #endStopped(): void {
    for (const [stream, found] of this.#running) {
      try {
        found.requireRunning()
      } catch (error) {
        if (!AimsError.is(error)) throw error
        refuseWorkload(stream, error.code)
      }
    }
  }
}
