import { Agent, type AgentOptions, type ClientRequestArgs } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { TLSSocket } from 'node:tls'
import {
  type ConnectionOptions,
  openConnection,
  type Resolver,
  resolveBySystem,
  startDeadline,
  vettedAddresses,
} from 'aims/base'
import type { TrustBundle } from 'aims/credentials'
import type { WorkloadIdentity } from '../workload-backend.ts'
import type { BrokerRule } from './rules.ts'

/** What tests put in place of the network. */
export interface Network {
  /** Default: the resolver of the system. */
  readonly resolve?: Resolver
  /** Opens a TCP connection to an address. Default: the network. */
  readonly connect?: (address: string, port: number) => Socket
}

/** For whom a connection is. */
export interface ConnectionUse {
  readonly rule: BrokerRule
  readonly identity: WorkloadIdentity
  /** Those by which the destination is known, where it is known by its SPIFFE ID. */
  readonly bundles: readonly TrustBundle[]
  readonly tls: ConnectionOptions['tls']
}

const KEEP: AgentOptions = { keepAlive: true, maxSockets: 256, maxFreeSockets: 8, timeout: 60_000 }
const MAX_POOLS = 1000
/** Milliseconds. */
const CONNECT_TIMEOUT = 10_000

/**
 * Connections to destinations, over TLS, to addresses that were looked at. One is used again by the same workload under
 * the same rule only, and not after its credentials or bundles have changed.
 */
export class Destinations {
  readonly #pools = new Map<string, Pool>()
  readonly #network: Network

  constructor(network: Network = {}) {
    this.#network = network
  }

  /** The connections for one use. */
  agentFor(use: ConnectionUse): Agent {
    const key = `${use.rule.name} ${use.identity.spiffeId}`
    const known = this.#pools.get(key)
    if (known?.serves(use) === true) {
      known.recheck()
      return known
    }
    known?.retire()
    this.#pools.delete(key)
    const [oldest] = this.#pools
    if (this.#pools.size >= MAX_POOLS && oldest !== undefined) {
      oldest[1].retire()
      this.#pools.delete(oldest[0])
    }
    const pool = new Pool(use, this.#network)
    this.#pools.set(key, pool)
    return pool
  }

  /** Opens a TCP connection for a tunnel. @throws {@link AimsError} `outbound.unresolvable`, `.address_refused` */
  async addressesOf({ host, networks: extra }: Pick<BrokerRule, 'host' | 'networks'>): Promise<readonly string[]> {
    return vettedAddresses(host, extra, this.#network.resolve ?? resolveBySystem)
  }

  close(): void {
    for (const pool of this.#pools.values()) pool.destroy()
    this.#pools.clear()
  }
}

class Pool extends Agent {
  readonly #use: ConnectionUse
  readonly #network: Network

  constructor(use: ConnectionUse, network: Network) {
    super(KEEP)
    this.#use = use
    this.#network = network
  }

  serves({ rule, identity, bundles }: ConnectionUse): boolean {
    const { rule: ours, identity: mine, bundles: known } = this.#use
    return rule === ours && identity === mine && bundles === known
  }

  /** Ends the connections that wait for a request and whose destination would not be believed any more. */
  recheck(): void {
    const { rule, tls } = this.#use
    for (const socket of Object.values(this.freeSockets).flat()) {
      if (!(socket instanceof TLSSocket)) continue
      if (tls?.checkServerIdentity?.(rule.host, socket.getPeerCertificate(true)) !== undefined) socket.destroy()
    }
  }

  /** Uses no connection for another request. What is under way goes on. */
  retire(): void {
    this.maxFreeSockets = 0
    for (const socket of Object.values(this.freeSockets).flat()) socket?.destroy()
  }

  override createConnection(
    _options: ClientRequestArgs,
    callback?: (error: Error | null, stream: Duplex) => void,
  ): undefined {
    this.#open().then(
      (socket) => callback?.(null, socket),
      // Node takes an error without a stream, and its types do not say so.
      (error: Error) => callback && Reflect.apply(callback, undefined, [error]),
    )
  }

  async #open(): Promise<Duplex> {
    const { rule, tls } = this.#use
    const { host, port, authorities, networks: extra } = rule
    const { resolve = resolveBySystem, connect } = this.#network
    const addresses = await vettedAddresses(host, extra, resolve)
    using deadline = startDeadline(CONNECT_TIMEOUT)
    return await openConnection({
      host,
      port,
      addresses,
      ...(authorities === undefined ? {} : { authorities }),
      ...(tls === undefined ? {} : { tls }),
      signal: deadline.signal,
      ...(connect === undefined ? {} : { connect }),
    })
  }
}
