import { connect as connectTcp, type Socket } from 'node:net'
import { connect as connectTls, type TLSSocket, type ConnectionOptions as TlsOptions } from 'node:tls'
import { AimsError } from './errors.ts'
import { presentedChain } from './tls-chain.ts'

/** A host that is recognised by its certificate and not by its name, e.g. by a SPIFFE ID. */
export interface TlsPeer {
  /** PEM. Each is trusted as it is, be it a root or not. At least one. */
  readonly authorities: string
  /** Judges what the host presented: DER, leaf first. It throws to refuse. */
  verify(chain: readonly Uint8Array[]): void
}

/** What a TLS connection to a vetted address is made of. */
export interface ConnectionOptions {
  /** The name that the certificate must have. */
  readonly host: string
  readonly port: number
  /** Vetted; tried in this order. */
  readonly addresses: readonly string[]
  /** PEM. Absent: the authorities that come with Node. */
  readonly authorities?: string
  /** Whom to accept instead of whoever has a certificate for the name. */
  readonly peer?: TlsPeer
  /** What else TLS needs, e.g. the certificate of a client and how it knows the server. It stands above the fields before. */
  readonly tls?: TlsOptions
  readonly signal: AbortSignal
  /** Opens a TCP connection. Default: the network. */
  connect?(address: string, port: number): Socket
}

/** Errors of a host that answers, but not as the one it should be. */
const TLS_ERRORS = /^(?:ERR_TLS_|ERR_SSL_|CERT_|UNABLE_TO_|DEPTH_ZERO_|SELF_SIGNED_|INVALID_|HOSTNAME_|EPROTO)/

/**
 * Opens a TLS connection to one of the addresses. No name is resolved again, no session is resumed, no environment variable
 * switches the check of the certificate off or puts a proxy between.
 *
 * @throws {@link AimsError} `outbound.tls_failed`, `outbound.unreachable`
 */
export async function openConnection(options: ConnectionOptions): Promise<TLSSocket> {
  let last: unknown
  for (const address of options.addresses) {
    try {
      return await openTo(address, options)
    } catch (error) {
      last = error
      const code = String((error as NodeJS.ErrnoException).code)
      // What the peer's judge throws has a code of ours.
      if (AimsError.is(error) || TLS_ERRORS.test(code))
        throw new AimsError('outbound.tls_failed', 'the TLS handshake failed', { cause: error })
      if (options.signal.aborted) break
    }
  }
  throw new AimsError('outbound.unreachable', 'no address of the host takes a connection', { cause: last })
}

function openTo(address: string, options: ConnectionOptions): Promise<TLSSocket> {
  const { host, port, authorities, peer, tls: more, signal } = options
  const tcp = options.connect?.(address, port) ?? connectTcp({ host: address, port })
  return new Promise((resolve, reject) => {
    const tls = connectTls({
      socket: tcp,
      // An address has no name to send.
      ...(host === address ? {} : { servername: host }),
      host,
      rejectUnauthorized: true,
      minVersion: 'TLSv1.2',
      ALPNProtocols: ['http/1.1'],
      ...(authorities === undefined ? {} : { ca: authorities }),
      ...(peer === undefined ? {} : judgedBy(peer)),
      ...more,
    })
    const end = (error: Error): void => {
      signal.removeEventListener('abort', abort)
      tls.destroy()
      tcp.destroy()
      reject(error)
    }
    const abort = (): void => end(new Error('aborted'))
    signal.addEventListener('abort', abort)
    tcp.once('error', end)
    tls.once('error', end)
    tls.once('close', () => end(new Error('closed')))
    tls.once('secureConnect', () => {
      signal.removeEventListener('abort', abort)
      resolve(tls)
    })
  })
}

// The path is checked by OpenSSL as well; the judge takes the place of the comparison of names.
function judgedBy(peer: TlsPeer): Pick<TlsOptions, 'ca' | 'allowPartialTrustChain' | 'checkServerIdentity'> {
  if (peer.authorities === '') throw new TypeError('a peer needs an authority')
  return {
    ca: peer.authorities,
    allowPartialTrustChain: true,
    checkServerIdentity: (_host, certificate) => {
      try {
        peer.verify(presentedChain(certificate))
        return undefined
      } catch (error) {
        return error as Error
      }
    },
  }
}
