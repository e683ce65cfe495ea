import { Agent } from 'node:https'
import type { Duplex } from 'node:stream'
import type { ConnectionOptions } from 'node:tls'
import { clientTlsOptions, mtlsAgent, proofHeaders } from 'aims/authentication'
import type { BundleSource, WitSource, X509SvidSource } from 'aims/credentials'
import { isExactly, parseWorkloadSpiffeId } from 'aims/identifiers'
import type { Kind, Peer } from './protocol.ts'
import { type Answer, send } from './request.ts'

/** Of all services of the fleet. */
export const AUDIENCE = 'https://fleet.example.com'

/** What a caller shows: that of a workload as it is at any time, or copies of it. */
export interface Shown {
  readonly x509: X509SvidSource
  readonly wit: WitSource
  jwt(): Promise<string>
  readonly bundles: BundleSource
}

/** Makes requests of each kind to one peer. The peer must be exactly the one that is meant. */
export class Caller {
  readonly #shown: Shown
  readonly #port: number
  readonly #mtls: Agent
  readonly #tls: Agent

  constructor(shown: Shown, peer: Peer) {
    this.#shown = shown
    this.#port = peer.port
    const rules = { bundles: shown.bundles, peer: isExactly(parseWorkloadSpiffeId(peer.spiffeId)) }
    // Every request a handshake, so that each newest certificate is used on both sides.
    this.#mtls = mtlsAgent(shown.x509, { ...rules, agent: { keepAlive: false } })
    this.#tls = new ServerOnlyAgent(() => clientTlsOptions(shown.x509, rules))
  }

  /** @param number - names the request, for its path */
  async call(kind: Kind, number: number): Promise<Answer> {
    const path = `/${number}`
    const { wit, jwt } = this.#shown
    if (kind === 'mtls') return send(this.#port, { agent: this.#mtls, path, headers: {} })
    if (kind === 'jwt-svid') {
      return send(this.#port, { agent: this.#tls, path, headers: { authorization: `Bearer ${await jwt()}` } })
    }
    const proven = { method: 'GET', target: path, audience: AUDIENCE }
    const headers = { ...proofHeaders(wit.wit(), proven, { now: Date.now() / 1000 }) }
    return send(this.#port, { agent: this.#tls, path, headers })
  }

  close(): void {
    this.#mtls.destroy()
    this.#tls.destroy()
  }
}

// The server proves itself by its SVID, the caller in the request: connections without a client certificate, kept open.
class ServerOnlyAgent extends Agent {
  readonly #tls: () => ConnectionOptions

  constructor(tls: () => ConnectionOptions) {
    super({ keepAlive: true, maxCachedSessions: 0 })
    this.#tls = tls
  }

  override createConnection(
    options: Parameters<Agent['createConnection']>[0],
    callback?: (error: Error | null, stream: Duplex) => void,
  ): Duplex | null | undefined {
    const { cert: _, key: __, ...tls } = this.#tls()
    return super.createConnection({ ...options, ...tls }, callback)
  }
}
