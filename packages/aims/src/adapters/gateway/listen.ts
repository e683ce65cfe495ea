import { once } from 'node:events'
import { createServer, type RequestListener, type Server, type ServerOptions } from 'node:http'
import { createServer as createHttpsServer } from 'node:https'
import { type AddressInfo, createServer as createTcpServer, type Server as NetServer, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { createServer as createTlsServer } from 'node:tls'
import type { PeerRules } from '../../authentication/mtls/peers.ts'
import { type RotatingServerOptions, rotatingServer, serverTlsOptions } from '../../authentication/mtls/server.ts'
import { AimsError } from '../../base/errors.ts'
import { bindSocket, type SocketPlace } from '../../base/unix-socket.ts'
import type { X509SvidSource } from '../../credentials/x509-svid/source.ts'

/** Where a gateway listens: a Unix socket, or an address of this machine. */
export type ListenAddress = SocketPlace | { readonly host: string; readonly port: number }

/** TLS with the SVID of the gateway, which rotates. */
export interface GatewayTls extends PeerRules, Pick<RotatingServerOptions, 'observer' | 'admitWithoutCertificate'> {
  readonly source: X509SvidSource
}

/** A gateway that runs. */
export interface RunningGateway {
  /** `unix:///run/aims/gateway.sock`, `http://127.0.0.1:8080`, `https://0.0.0.0:8443`. */
  readonly address: string
  /** Of a TCP listener. */
  readonly port: number | undefined
  /** Takes no more connections, lets what is under way end within 10 s, and closes the rest. */
  close(): Promise<void>
}

/** Milliseconds. */
const DRAIN = 10_000
/** One more than a request may have, so that fields beyond the limit are noticed and not dropped silently. */
const MAX_FIELDS = 101
const MAX_CONNECTIONS = 8192

// Rules H1 and H2 of our security notes. Milliseconds.
const HTTP_LIMITS: ServerOptions = {
  insecureHTTPParser: false,
  maxHeaderSize: 16_384,
  headersTimeout: 10_000,
  requestTimeout: 300_000,
  keepAliveTimeout: 5000,
  connectionsCheckingInterval: 2000,
}

/** Milliseconds in which a client takes nothing and sends nothing. */
export const CLIENT_TIMEOUT = 60_000

/**
 * An HTTP/1.1 server that is not listening yet: a strict parser, an end to everything, no tunnels.
 *
 * @param idle - Milliseconds that a connection may be silent. A client that asks and does not read is silent as well.
 */
export function gatewayServer(
  listener: RequestListener,
  tls: GatewayTls | undefined,
  idle: number = CLIENT_TIMEOUT,
): Server {
  const server =
    tls === undefined
      ? createServer(HTTP_LIMITS, listener)
      : createHttpsServer({ ...HTTP_LIMITS, ...serverTlsOptions(tls.source) }, listener)
  server.maxConnections = MAX_CONNECTIONS
  server.maxHeadersCount = MAX_FIELDS
  server.timeout = idle
  server.on('connect', (_, socket) => socket.destroy())
  // Whatever follows what cannot be parsed is not looked at.
  server.on('clientError', (error: NodeJS.ErrnoException, socket: Duplex) => {
    if (!socket.writable || error.code === 'ECONNRESET') return void socket.destroy()
    const status = STATUS[error.code ?? ''] ?? '400 Bad Request'
    socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`, () => socket.destroy())
  })
  if (tls !== undefined) rotate(server as Parameters<typeof rotatingServer>[0], tls)
  return server
}

const STATUS: { readonly [code: string]: string } = {
  HPE_HEADER_OVERFLOW: '431 Request Header Fields Too Large',
  ERR_HTTP_REQUEST_TIMEOUT: '408 Request Timeout',
}

/** A server of plain connections, or of TLS for HTTP/2: for gRPC, which speaks HTTP/2 over either. */
export function connectionServer(onConnection: (socket: Socket) => void, tls: GatewayTls | undefined): NetServer {
  const server =
    tls === undefined
      ? createTcpServer(onConnection)
      : createTlsServer({ ...serverTlsOptions(tls.source), ALPNProtocols: ['h2'] })
  server.maxConnections = MAX_CONNECTIONS
  if (tls !== undefined) {
    server.on('secureConnection', onConnection)
    rotate(server as Parameters<typeof rotatingServer>[0], tls)
  }
  return server
}

function rotate(server: Parameters<typeof rotatingServer>[0], { source, ...rules }: GatewayTls): void {
  rotatingServer(server, source, rules)
  server.on('tlsClientError', (_, socket) => socket.destroy())
}

/**
 * Listens. @param scheme - Of the address that is told.
 *
 * @throws {@link AimsError} `operation.port_busy`, `operation.address_unavailable`, `operation.socket_*`
 */
export async function listenOn(
  server: NetServer,
  address: ListenAddress,
  { scheme, stop }: { readonly scheme: 'http' | 'https' | 'grpc' | 'grpcs'; readonly stop: () => Promise<void> | void },
): Promise<RunningGateway> {
  const socket = 'path' in address ? await bindSocket(server, address) : await bindPort(server, address)
  const { port } = 'path' in address ? { port: undefined } : (server.address() as AddressInfo)
  const closed = once(server, 'close')
  return {
    address: 'path' in address ? `unix://${address.path}` : `${scheme}://${address.host}:${port}`,
    port,
    async close() {
      server.close()
      await stop()
      await closed
      socket?.release()
    },
  }
}

function bindPort(
  server: NetServer,
  { host, port }: { readonly host: string; readonly port: number },
): Promise<undefined> {
  return new Promise((resolve, reject) => {
    const refuse = (cause: NodeJS.ErrnoException): void => {
      const code = cause.code === 'EADDRINUSE' ? 'operation.port_busy' : 'operation.address_unavailable'
      reject(new AimsError(code, `${host}:${port}: cannot listen`, { cause }))
    }
    server.once('error', refuse)
    server.listen({ host, port, exclusive: true }, () => {
      server.off('error', refuse)
      resolve(undefined)
    })
  })
}

/** Lets requests under way end, for a while, and closes what is left. */
export function drain(server: Server): void {
  server.closeIdleConnections()
  const timer = setTimeout(() => server.closeAllConnections(), DRAIN)
  server.once('close', () => clearTimeout(timer))
}

/** True for an address that only processes of this machine reach. */
export function isLocal(address: ListenAddress): boolean {
  return 'path' in address || /^(?:127(?:\.\d{1,3}){3}|::1|localhost)$/.test(address.host)
}
