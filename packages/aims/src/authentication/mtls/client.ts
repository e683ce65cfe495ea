import { Agent, type AgentOptions, type RequestOptions } from 'node:https'
import { isIP } from 'node:net'
import type { Duplex } from 'node:stream'
import { type ConnectionOptions, TLSSocket } from 'node:tls'
import { AimsError } from '../../base/errors.ts'
import { encodePem } from '../../base/pem.ts'
import { presentedChain } from '../../base/tls-chain.ts'
import type { X509SvidSource } from '../../credentials/x509-svid/source.ts'
import { type TrustDomain, trustDomainOf } from '../../identifiers/spiffe-id.ts'
import { contextOptions, type TlsVersion } from './material.ts'
import { type PeerRules, Peers, verifyPeer } from './peers.ts'

/** Which servers a client accepts, and how. */
export interface ClientTlsOptions extends PeerRules {
  /** The trust domain of the server. Default: that of the own SVID. */
  readonly trustDomain?: TrustDomain
  /**
   * A host name the server is addressed by must be in its certificate. `when-present`: unless the certificate has no
   * host names at all, as is usual for SVIDs; then the identifier alone decides. Default `when-present`.
   */
  readonly dnsName?: 'when-present' | 'required'
  /** Default `TLSv1.3`. */
  readonly minVersion?: TlsVersion
}

/**
 * What `tls.connect` and `https.request` need to be this workload and to accept one kind of server: its chain must lead
 * to an authority of the expected trust domain, by OpenSSL and by our own verifier, and its identifier must match.
 *
 * A picture of the moment: make it anew for every connection, or use {@link mtlsAgent}, which does.
 *
 * @throws {@link AimsError} `x509.untrusted_domain` when there is no authority to trust
 * @see draft-ietf-wimse-mutual-tls-03; RFC 9525 section 6.3
 */
export function clientTlsOptions(source: X509SvidSource, options: ClientTlsOptions): ConnectionOptions {
  const svid = source.x509Svid()
  const { trustDomain = trustDomainOf(svid.spiffeId), dnsName = 'when-present' } = options
  const authorities = options.bundles.bundleFor(trustDomain)?.x509Authorities ?? []
  if (authorities.length === 0) {
    throw new AimsError('x509.untrusted_domain', 'no X.509 authority for the trust domain of the server')
  }
  return {
    ...contextOptions(svid, options.minVersion),
    ca: authorities.map((der) => encodePem('CERTIFICATE', der)),
    // An authority of a bundle is trusted as it is, also when it is not a root.
    allowPartialTrustChain: true,
    rejectUnauthorized: true,
    // Resumption would skip the check below. Named here, so that no agent puts one in.
    session: undefined,
    checkServerIdentity: (host, certificate) => {
      try {
        const { dnsNames } = verifyPeer(presentedChain(certificate), { ...options, trustDomain })
        if (!isIP(host) && (dnsName === 'required' || dnsNames.length > 0)) requireDnsName(host, dnsNames)
        return undefined
      } catch (error) {
        if (AimsError.is(error)) return error
        throw error
      }
    },
  }
}

/** {@link ClientTlsOptions}, and how the agent keeps its connections. */
export interface MtlsAgentOptions extends ClientTlsOptions {
  /** How often to look for changed bundles, in milliseconds. Default 1000. */
  readonly interval?: number
  /** Passed on to `https.Agent`. Default: connections are kept open. */
  readonly agent?: Pick<AgentOptions, 'keepAlive' | 'maxSockets' | 'maxFreeSockets' | 'timeout' | 'keepAliveMsecs'>
}

/**
 * An `https.Agent` that is one workload: every connection presents its current SVID and accepts the expected server only.
 * Connections to a server whose authority was removed, or whose certificate ended, are closed.
 *
 * Do not share it between identities, and `destroy` it at the end.
 */
export function mtlsAgent(source: X509SvidSource, options: MtlsAgentOptions): MtlsAgent {
  return new MtlsAgent(source, options)
}

/** An `https.Agent` that is one workload. Made by {@link mtlsAgent}. */
export class MtlsAgent extends Agent {
  readonly #source: X509SvidSource
  readonly #rules: ClientTlsOptions
  readonly #peers: Peers
  readonly #timer: NodeJS.Timeout

  constructor(source: X509SvidSource, options: MtlsAgentOptions) {
    super({ keepAlive: true, ...options.agent, maxCachedSessions: 0 })
    this.#source = source
    this.#rules = options
    this.#peers = new Peers({
      ...options,
      trustDomain: options.trustDomain ?? trustDomainOf(source.x509Svid().spiffeId),
    })
    this.#timer = setInterval(() => this.recheck(), options.interval ?? 1000).unref()
  }

  override createConnection(
    options: RequestOptions,
    callback?: (error: Error | null, stream: Duplex) => void,
  ): Duplex | null | undefined {
    const socket = super.createConnection({ ...options, ...clientTlsOptions(this.#source, this.#rules) }, callback)
    if (socket instanceof TLSSocket) socket.prependOnceListener('secureConnect', () => this.#admit(socket))
    return socket
  }

  /** Looks for changed bundles now. */
  recheck(): void {
    this.#peers.recheck(() => undefined)
  }

  override destroy(): void {
    clearInterval(this.#timer)
    super.destroy()
  }

  #admit(socket: TLSSocket): void {
    try {
      this.#peers.admit(socket)
    } catch (error) {
      if (!AimsError.is(error)) throw error
      socket.destroy(error)
    }
  }
}

function requireDnsName(host: string, names: readonly string[]): void {
  const wanted = host.toLowerCase().replace(/\.$/, '')
  const parent = wanted.slice(wanted.indexOf('.'))
  const matches = names.some((name) => {
    const offered = name.toLowerCase()
    // A wildcard is a whole first label, and stands for exactly one.
    return offered === wanted || (offered.startsWith('*.') && offered.slice(1) === parent && wanted.indexOf('.') > 0)
  })
  if (!matches) throw new AimsError('authentication.peer_unexpected', 'the certificate is not for the host addressed')
}
