import { constants } from 'node:crypto'
import type { RequestListener } from 'node:http'
import { createServer, type Server } from 'node:https'
import type { AddressInfo } from 'node:net'
import { AimsError, encodePem } from 'aims/base'
import type { X509Svid } from 'aims/credentials'
import { HTTP_OPTIONS, harden } from './server-options.ts'

/** An HTTPS server whose certificate can be exchanged while it runs. */
export interface HttpsListener {
  readonly server: Server
  readonly port: number
  /** New connections get this certificate; open ones keep theirs. */
  use(svid: X509Svid): void
}

/** Where to listen. */
export interface HttpsAddress {
  readonly host: string
  readonly port: number
  /** Milliseconds a client has for the TLS handshake, in which it holds a connection and has said nothing. Default 10,000. */
  readonly handshakeTimeout?: number
}

/**
 * Listens with TLS 1.3 and asks clients for a certificate, which they need not have: whether it is a valid SVID is
 * checked per request, by our own verifier. There is no session resumption.
 *
 * @throws {@link AimsError} `operation.port_busy`, `operation.address_unavailable`
 */
export async function listenHttps(
  handler: RequestListener,
  address: HttpsAddress,
  svid: X509Svid,
): Promise<HttpsListener> {
  // Node waits two minutes, in which a few idle connections would keep everybody out.
  const { handshakeTimeout = 10_000 } = address
  const options = { ...HTTP_OPTIONS, ...secureContext(svid), ...REQUEST_CERTIFICATE, handshakeTimeout }
  const server = createServer(options, handler)
  harden(server)
  // A session that nobody stores cannot be resumed.
  server.on('newSession', (_id, _data, done) => done())
  server.on('resumeSession', (_id, done) => done(null, null))
  await listenOn(server, address)
  const { port } = server.address() as AddressInfo
  return { server, port, use: (next) => server.setSecureContext({ ...secureContext(next), ...REQUEST_CERTIFICATE }) }
}

const REQUEST_CERTIFICATE = {
  requestCert: true,
  // The chain is judged by the SPIFFE bundle of its trust domain, which OpenSSL does not know.
  rejectUnauthorized: false,
  minVersion: 'TLSv1.3',
  secureOptions: constants.SSL_OP_NO_TICKET,
} as const

function secureContext({ certificates, key }: X509Svid): { readonly cert: string; readonly key: string } {
  const cert = certificates.map((der) => encodePem('CERTIFICATE', der)).join('')
  return { cert, key: key.tlsKey.export({ type: 'pkcs8', format: 'pem' }).toString() }
}

/** Takes the port for this server alone. @throws {@link AimsError} `operation.port_busy`, `operation.address_unavailable` */
export function listenOn(server: Server, { host, port }: Pick<HttpsAddress, 'host' | 'port'>): Promise<void> {
  return new Promise((resolve, reject) => {
    const refuse = (cause: NodeJS.ErrnoException): void => {
      const code = cause.code === 'EADDRINUSE' ? 'operation.port_busy' : 'operation.address_unavailable'
      reject(new AimsError(code, `${host}:${port}: cannot listen`, { cause }))
    }
    server.once('error', refuse)
    server.listen({ host, port, exclusive: true }, () => {
      server.off('error', refuse)
      resolve()
    })
  })
}
