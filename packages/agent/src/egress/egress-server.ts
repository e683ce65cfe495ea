import { createServer, type IncomingMessage, type Server, type ServerOptions, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import {
  type Attestor,
  loadPeerCredentialProvider,
  type PeerCredentialProvider,
  type PeerCredentials,
} from 'aims/attestation'
import { AimsError, bindSocket, type Clock, createCorrelationId, createTokenBuckets, type Observer } from 'aims/base'
import { boundedRefusals } from '../bounded-refusals.ts'
import { Census } from '../workload-api/census.ts'
import { Peer } from '../workload-api/peer.ts'
import type { WorkloadBackend } from '../workload-backend.ts'
import { type BrokerCaller, loopbackCaller, unixCaller } from './caller.ts'
import { Destinations, type Network } from './destinations.ts'
import { type ExchangeContext, passOn, recordRefusal } from './exchange.ts'
import { givenTokens } from './given-tokens.ts'
import { hiding } from './hiding.ts'
import { lookBudget } from './look-budget.ts'
import { loopbackPeer } from './loopback-peer.ts'
import { answerProblem, codeOf } from './problem.ts'
import { rateLimits } from './rate.ts'
import type { BrokerRule } from './rules.ts'
import type { SecretReader } from './secrets/secret-store.ts'
import { openTunnel } from './tunnel.ts'

/** What the broker needs of where identities come from. */
export type BrokerBackend = Pick<WorkloadBackend, 'snapshot' | 'jwtSvids' | 'revocations'>

/** How to run the broker. */
export interface BrokerOptions {
  /** Absolute path of the Unix socket. */
  readonly socketPath: string
  /** Permissions of the socket file: who may connect at all. */
  readonly socketMode: number
  /** Port on 127.0.0.1, for clients that know no Unix sockets; 0 takes any free one. Default: none. */
  readonly port?: number | undefined
  readonly rules: readonly BrokerRule[]
  readonly secrets: SecretReader
  readonly backend: BrokerBackend
  readonly attestor: Attestor<PeerCredentials>
  /** Learns of every request before it is passed on. */
  readonly observer: Observer
  readonly clock: Clock
  /** Default: that of this machine. */
  readonly peerCredentials?: PeerCredentialProvider
  /** What tests put in place of the network. */
  readonly network?: Network
}

/** A broker that runs. */
export interface RunningBroker {
  /** Path of the socket. */
  readonly socketPath: string
  /** Of 127.0.0.1, when there is one. */
  readonly port: number | undefined
  close(): Promise<void>
}

// Rules H1 and H2 of our security notes. Milliseconds.
const HTTP_OPTIONS: ServerOptions = {
  insecureHTTPParser: false,
  maxHeaderSize: 16_384,
  headersTimeout: 10_000,
  requestTimeout: 0,
  keepAliveTimeout: 60_000,
  connectionsCheckingInterval: 2000,
  // We look at Host ourselves.
  requireHostHeader: false,
}
const MAX_CONNECTIONS = 4096
/** Of one user. */
const MAX_OF_ONE = 512
/** That one user may begin in a second: each leaves a record of who has connected. */
const ARRIVALS = 200
/** Milliseconds that requests under way have at the end. */
const GRACE = 1000

/**
 * Starts the credential broker: an HTTP proxy on a Unix socket, and on a port of 127.0.0.1 if one is configured. Each
 * caller is attested by the kernel's word, each request judged by the rules; what passes gets the credential that its
 * rule names, and the caller never sees one.
 *
 * @throws {@link AimsError} `attestation.provider_unavailable`; `operation.socket_*`, `operation.port_busy`
 */
export async function startEgress(options: BrokerOptions): Promise<RunningBroker> {
  const { clock, rules, secrets, backend, network } = options
  const peerCredentials = options.peerCredentials ?? (await loadPeerCredentialProvider())
  const observer = boundedRefusals(options.observer, { name: 'egress', clock, types: ['authorization.brokered'] })
  const destinations = new Destinations(network)
  const given = givenTokens(clock)
  const context: ExchangeContext = {
    backend,
    rules,
    secrets,
    given,
    clock,
    observer,
    destinations,
    rates: rateLimits(clock),
    hiding: hiding(secrets, given),
  }
  const census = new Census(MAX_OF_ONE)
  const arrivals = createTokenBuckets({ rate: ARRIVALS })
  const connections: Pick<Census, 'enter' | 'leave'> = {
    enter: (uid) => arrivals.take(String(uid)) === 0 && census.enter(uid),
    leave: (uid) => census.leave(uid),
  }
  const peerContext = { attestor: options.attestor, observer: options.observer, clock }
  const unix = listener(context, connections, (socket) => {
    const credentials = peerCredentials.read(socket)
    return unixCaller(new Peer(credentials, { ...peerContext, resource: { type: 'egress', id: options.socketPath } }))
  })
  const looks = lookBudget()
  const tcp = listener(context, connections, (socket) => {
    const { credentials, requireStill } = loopbackPeer(socket, looks)
    const port = socket.localPort ?? 0
    const peer = new Peer(credentials, { ...peerContext, resource: { type: 'egress', id: `127.0.0.1:${port}` } })
    return loopbackCaller(peer, port, requireStill)
  })
  const socket = await bindSocket(unix, { path: options.socketPath, mode: options.socketMode })
  const close = async (): Promise<void> => {
    await Promise.all([unix, tcp].map(closeServer))
    destinations.close()
    socket.release()
    await observer.close()
  }
  try {
    const port = options.port === undefined ? undefined : await listenOn(tcp, options.port)
    return { socketPath: options.socketPath, port, close }
  } catch (error) {
    await close()
    throw error
  }
}

function listener(
  context: ExchangeContext,
  census: Pick<Census, 'enter' | 'leave'>,
  meet: (socket: Socket) => BrokerCaller,
): Server {
  const callers = new WeakMap<Duplex, BrokerCaller | AimsError>()
  const callerOf = (socket: Duplex): BrokerCaller => {
    const caller = callers.get(socket)
    if (caller !== undefined && !AimsError.is(caller)) return caller
    throw caller ?? new AimsError('attestation.peer_unreadable', 'nobody knows who connected')
  }
  const server = createServer(HTTP_OPTIONS)
  server.maxConnections = MAX_CONNECTIONS
  server.maxHeadersCount = 101
  server.prependListener('connection', (socket: Socket) => {
    try {
      const caller = meet(socket)
      const uid = Number(caller.facts.uid)
      if (!census.enter(uid)) {
        callers.set(socket, new AimsError('egress.too_busy', 'too many connections of one user'))
        void caller.release()
        return
      }
      callers.set(socket, caller)
      socket.once('close', () => {
        census.leave(uid)
        void caller.release()
      })
      // Now, while the process that connected is surely there. The answer is looked at when it is needed.
      caller.attest().catch(() => undefined)
    } catch (error) {
      callers.set(socket, AimsError.is(error) ? error : new AimsError('attestation.peer_unreadable', 'the peer left'))
    }
  })
  server.on('request', (request: IncomingMessage, response: ServerResponse) => {
    let caller: BrokerCaller
    try {
      caller = callerOf(request.socket)
    } catch (error) {
      void refuseStranger(request, response, error, context)
      return
    }
    void passOn(request, response, caller, context)
  })
  server.on('connect', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    void openTunnel({ request, socket, head, callerOf }, context)
  })
  server.on('clientError', (_error: Error, socket: Duplex) => {
    // Nothing that came after it is looked at.
    if (socket.writable) socket.end('HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n')
    else socket.destroy()
  })
  return server
}

// Nobody knows who connected: that is recorded as well, and counted as the refusals of one.
async function refuseStranger(
  { method = '' }: IncomingMessage,
  response: ServerResponse,
  error: unknown,
  context: ExchangeContext,
): Promise<void> {
  const id = createCorrelationId()
  response.setHeader('x-request-id', id)
  const event = {
    type: 'authorization.brokered',
    resource: { type: 'egress', id: 'connection' },
    action: method.slice(0, 32),
    decision: 'deny',
    reasons: [codeOf(error)],
    correlationId: id,
  } as const
  answerProblem(response, await recordRefusal(context, event, error), id)
}

async function listenOn(server: Server, port: number): Promise<number> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause) =>
      reject(new AimsError('operation.port_busy', `127.0.0.1:${port}: cannot listen`, { cause })),
    )
    server.listen(port, '127.0.0.1', resolve)
  })
  return (server.address() as AddressInfo).port
}

async function closeServer(server: Server): Promise<void> {
  if (!server.listening) return
  const closed = new Promise<void>((resolve) => server.close(() => resolve()))
  server.closeIdleConnections()
  const timer = setTimeout(() => server.closeAllConnections(), GRACE)
  await closed
  clearTimeout(timer)
}
