import { readFileSync } from 'node:fs'
import { Agent, type RequestOptions } from 'node:https'
import type { Duplex } from 'node:stream'
import type { ConnectionOptions } from 'node:tls'
import { type ApiClient, type ApiRequest, apiClient } from '../../base/api-client.ts'
import type { Clock } from '../../base/clock.ts'
import { AimsError } from '../../base/errors.ts'
import type { JsonValue } from '../../base/json.ts'
import type { BundleSource, TrustBundle } from '../../credentials/bundle/bundle.ts'
import { parseBundle } from '../../credentials/bundle/parse.ts'
import { emptyBundle } from '../../credentials/bundle/source.ts'
import type { X509Svid } from '../../credentials/x509-svid/source.ts'
import { joinSpiffeId, type SpiffeId, type TrustDomain, trustDomainOf } from '../../identifiers/spiffe-id.ts'
import { clientCertificate, parseServerAddress, serverTlsOptions, untrustedBy } from './server-tls.ts'

/** Where the identity server of a trust domain is, and how it is recognised. */
export interface IdentityServerOptions {
  readonly trustDomain: TrustDomain
  /** `https://HOST:PORT`. */
  readonly server: string
  /**
   * SPIFFE bundle of the trust domain: the path of a file, its bytes, or what follows it, e.g. `workload.bundles`. Without
   * one there is nobody to believe. A file or bytes know the authorities of their day; whoever stays connected for longer
   * than an authority lives gives a source, or calls `learn`.
   */
  readonly bundle: string | Uint8Array | BundleSource
  /**
   * Who the server is, when it shows an X.509-SVID of another trust domain, e.g. of SPIRE; `bundle` is of that one then.
   * Default `spiffe://TRUST-DOMAIN/aims/server`.
   */
  readonly serverId?: SpiffeId
  readonly clock: Clock
  /** Keeps connections open between requests: for whoever asks often. Default false: each is one look at the newest bundle. */
  readonly keepAlive?: boolean
}

/** The API of an identity server, over connections on which it proved to be that of its trust domain. */
export interface IdentityServer {
  /** The newest bundle: that of the options, until the server has given a newer one. */
  readonly bundle: TrustBundle
  /**
   * Sends a request.
   *
   * @param as - Shows this SVID, on a connection for this request alone.
   * @throws {@link AimsError} `provisioning.server_untrusted`, and as `ApiClient.send`
   */
  send(request: ApiRequest, as?: X509Svid): Promise<JsonValue | undefined>
  /** Takes a bundle that the server gave. An older one is ignored, and any when a source is followed or the server is of another trust domain. Returns the newest. */
  learn(document: string): TrustBundle
  /** Shows this SVID on connections that are made from now on, and uses no other connections. `undefined`: none is shown. */
  present(svid: X509Svid | undefined): void
  close(): void
}

/**
 * Makes the client of an identity server. Every connection is TLS 1.3, and the server's certificate must be the
 * X.509-SVID `spiffe://TRUST-DOMAIN/aims/server`, or that of `serverId`, under an authority of the newest bundle. There is no trust on first use.
 *
 * @throws {@link AimsError} `bundle.*`, `provisioning.invalid_endpoint`
 * @throws what the file system answers for a bundle that cannot be read
 */
export function identityServer(options: IdentityServerOptions): IdentityServer {
  const { server, bundle: given, clock, keepAlive = false } = options
  const { serverId = joinSpiffeId(options.trustDomain, 'aims', 'server') } = options
  // Whose authorities vouch for the server.
  const trustDomain = trustDomainOf(serverId)
  const isForeign = trustDomain !== options.trustDomain
  const followed = typeof given === 'string' || given instanceof Uint8Array ? undefined : given
  const read = (): TrustBundle => {
    if (typeof given === 'string') return parseBundle(readFileSync(given), trustDomain).bundle
    if (given instanceof Uint8Array) return parseBundle(given, trustDomain).bundle
    return given.bundleFor(trustDomain) ?? emptyBundle(trustDomain)
  }
  let text = ''
  let newest = read()
  requireAuthorities(newest)
  const address = parseServerAddress(server)
  let shown: X509Svid | undefined
  const open = (svid: () => X509Svid | undefined, isKept: boolean): Connections => {
    const agent = new ServerAgent(
      () => ({ ...serverTlsOptions(newest, serverId, clock), ...clientCertificate(svid()) }),
      isKept,
    )
    return { agent, api: apiClient({ ...address, agent }) }
  }
  const openShared = (): Connections => open(() => shown, keepAlive)
  let current = openShared()
  // What is under way ends, and no new request begins on a connection that was made under other circumstances.
  const renew = (): void => {
    current.agent.endWhenIdle()
    current = openShared()
  }
  const adopt = (next: TrustBundle): void => {
    // The same one stays the same object: verifiers keep what they know of it.
    if (newest.sequence !== undefined && (next.sequence ?? 0n) <= newest.sequence) return
    newest = next
    renew()
  }
  // A source says by itself what is newest, also without a sequence number. What it lost for a while is kept.
  const follow = (): void => {
    const next = followed?.bundleFor(trustDomain)
    if (next === undefined || next === newest || next.x509Authorities.length === 0) return
    newest = next
    renew()
  }
  return {
    get bundle() {
      return newest
    },
    async send(request, as) {
      follow()
      const alone = as && open(() => as, false)
      try {
        return await (alone ?? current).api.send(request)
      } catch (error) {
        // Whoever was away while all authorities changed has a newer file, perhaps.
        if (typeof given === 'string') adopt(orElse(read, newest))
        throw (
          untrustedBy(AimsError.is(error) && error.code === 'operation.server_unreachable' ? error.cause : undefined) ??
          error
        )
      } finally {
        alone?.api.close()
      }
    },
    learn(document) {
      if (document !== text && followed === undefined && !isForeign) adopt(parseBundle(document, trustDomain).bundle)
      text = document
      return newest
    },
    present(svid) {
      shown = svid
      renew()
    },
    close: () => current.api.close(),
  }
}

interface Connections {
  readonly agent: ServerAgent
  readonly api: ApiClient
}

class ServerAgent extends Agent {
  readonly #tls: () => ConnectionOptions

  constructor(tls: () => ConnectionOptions, keepAlive: boolean) {
    super({ keepAlive, maxCachedSessions: 0 })
    this.#tls = tls
  }

  endWhenIdle(): void {
    this.maxFreeSockets = 0
    for (const sockets of Object.values(this.freeSockets)) for (const socket of sockets ?? []) socket.destroy()
  }

  override createConnection(
    options: RequestOptions,
    callback?: (error: Error | null, stream: Duplex) => void,
  ): Duplex | null | undefined {
    return super.createConnection({ ...options, ...this.#tls() }, callback)
  }
}

function requireAuthorities({ x509Authorities }: TrustBundle): void {
  if (x509Authorities.length > 0) return
  throw new AimsError('x509.untrusted_domain', 'the bundle has no X.509 authority to recognise the server by')
}

function orElse<T>(read: () => T, otherwise: T): T {
  try {
    return read()
  } catch {
    return otherwise
  }
}
