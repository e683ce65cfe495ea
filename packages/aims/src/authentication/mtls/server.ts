import type { Server, TLSSocket, TlsOptions } from 'node:tls'
import type { Check } from '../../base/check.ts'
import { systemClock } from '../../base/clock.ts'
import { createCorrelationId } from '../../base/correlation-id.ts'
import { AimsError } from '../../base/errors.ts'
import type { Observer } from '../../base/event.ts'
import type { X509Svid, X509SvidSource } from '../../credentials/x509-svid/source.ts'
import { connectionTrailOf } from '../refusal/trail.ts'
import { contextOptions, peerCertificatesOf, type TlsVersion } from './material.ts'
import { type PeerRules, Peers } from './peers.ts'

/** How a server speaks TLS. */
export interface ServerTlsOptions {
  /** Default `TLSv1.3`. */
  readonly minVersion?: TlsVersion
}

/**
 * What `tls.createServer` and `https.createServer` need to be this workload, and to ask clients for their certificate.
 *
 * Does not check the certificate: give the server to {@link rotatingServer}, which does, before it is used. OpenSSL
 * cannot, since it would trust the authorities of all trust domains for each of them.
 */
export function serverTlsOptions(source: X509SvidSource, options: ServerTlsOptions = {}): TlsOptions {
  return {
    ...contextOptions(source.x509Svid(), options.minVersion),
    requestCert: true,
    rejectUnauthorized: false,
    ca: [],
    // Node waits two minutes for clients that connect and say nothing.
    handshakeTimeout: HANDSHAKE_TIMEOUT,
  }
}

const HANDSHAKE_TIMEOUT = 10_000

/** Which clients a server accepts, and how it follows its SVID. */
export interface RotatingServerOptions extends PeerRules, ServerTlsOptions {
  /** Learns of clients that were refused, and of connections that were closed. */
  readonly observer: Observer
  /**
   * Let clients in that present no certificate, to be authenticated otherwise, by a proof in each request. A certificate
   * that is presented must be good in any case. Default false.
   */
  readonly admitWithoutCertificate?: boolean
  /** How often to look for a new SVID and changed bundles, in milliseconds. Default 1000. */
  readonly interval?: number
}

/** A TLS server that follows its SVID. Made by {@link rotatingServer}. */
export interface RotatingServer {
  /** Looks for a new SVID and changed bundles now. For sources that tell when they have something. */
  refresh(): void
  /** Stops looking. The server and its connections stay. */
  stop(): void
}

/**
 * Keeps a TLS server at the current SVID of its source, without closing connections, and checks clients: after the
 * handshake and before any byte of theirs is used, and again when the bundle of their trust domain changes or their
 * certificate ends. A client that is refused sees its connection closed; the reason is in the audit record, and in the
 * event `tlsClientError` of the server.
 *
 * @see draft-ietf-wimse-mutual-tls-03; X509-SVID section 5
 */
export function rotatingServer(server: Server, source: X509SvidSource, options: RotatingServerOptions): RotatingServer {
  const { observer, admitWithoutCertificate = false, interval = 1000 } = options
  const peers = new Peers(options)
  let current = source.x509Svid()

  const refuse = (error: AimsError, socket: TLSSocket): void => {
    socket.destroy()
    server.emit('tlsClientError', error, socket)
    const record = observer.record({
      type: 'authentication.refused',
      resource: { type: 'tls', id: current.spiffeId },
      action: 'connect',
      decision: 'deny',
      reasons: [error.code],
      checks: checksOf(error, socket, options),
      correlationId: createCorrelationId(),
    })
    record.catch((cause: unknown) => server.emit('tlsClientError', cause, socket))
  }

  const admit = (socket: TLSSocket): void => {
    try {
      if (peerCertificatesOf(socket).length > 0) peers.admit(socket)
      else if (!admitWithoutCertificate) {
        throw new AimsError('authentication.no_client_certificate', 'the client presented no certificate')
      }
    } catch (error) {
      if (!AimsError.is(error)) throw error
      refuse(error, socket)
    }
  }

  const refresh = (): void => {
    const next = currentOr(source, current)
    if (next !== current) {
      server.setSecureContext(contextOptions(next, options.minVersion))
      current = next
    }
    peers.recheck(refuse)
  }

  // First of all listeners: the one of `https` starts to read requests.
  server.prependListener('secureConnection', admit)
  const timer = setInterval(refresh, interval)
  timer.unref()
  server.once('close', () => clearInterval(timer))
  return { refresh, stop: () => clearInterval(timer) }
}

function checksOf(
  error: AimsError,
  socket: TLSSocket,
  { bundles, revocations, clock = systemClock }: PeerRules,
): readonly Check[] {
  const request = { method: 'connect', target: '/', headers: [], peerCertificates: peerCertificatesOf(socket) }
  const options = { audiences: [], bundles, ...(revocations === undefined ? {} : { revocations }) }
  return connectionTrailOf({ request, options, accepted: ['mtls'], binding: {}, now: clock(), error })
}

// A source that has nothing at the moment changes nothing: clients themselves refuse what has expired.
function currentOr(source: X509SvidSource, current: X509Svid): X509Svid {
  try {
    return source.x509Svid()
  } catch (error) {
    if (AimsError.is(error)) return current
    throw error
  }
}
