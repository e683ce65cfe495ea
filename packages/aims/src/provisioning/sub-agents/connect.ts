import { type Clock, systemClock } from '../../base/clock.ts'
import { AimsError } from '../../base/errors.ts'
import type { BundleSource } from '../../credentials/bundle/bundle.ts'
import type { X509Svid } from '../../credentials/x509-svid/source.ts'
import { parseWorkloadSpiffeId, trustDomainOf } from '../../identifiers/spiffe-id.ts'
import { identityServer } from '../evidence/server.ts'
import type { ConnectedIdentity } from '../workload-api/sources/identity.ts'
import { createSpawner, type Spawner } from './spawn.ts'

/** Where the identity server is, and how it is recognised. */
export interface ConnectSpawnerOptions {
  /** `https://HOST:PORT`. */
  readonly server: string
  /** SPIFFE bundle of the trust domain: the path of a file, its bytes, or what follows it, e.g. `workload.bundles`. */
  readonly bundle: string | Uint8Array | BundleSource
  /** Default: the machine's. */
  readonly clock?: Clock
}

/** A spawner with a connection of its own. */
export interface ConnectedSpawner extends Spawner {
  /** Ends the connection. Sub-agents that were made live on. */
  close(): void
  [Symbol.dispose](): void
}

/**
 * Makes a connected agent one that can have sub-agents. It shows the server its X.509-SVID, the newest at any time, so its
 * entry must permit one, and have `subAgents`.
 *
 * @throws {@link AimsError} `provisioning.not_ready`, `provisioning.invalid_endpoint`, `bundle.*`
 */
export function connectSpawner(
  identity: Pick<ConnectedIdentity, 'spiffeId' | 'x509' | 'onUpdate'>,
  options: ConnectSpawnerOptions,
): ConnectedSpawner {
  const { server: address, bundle, clock = systemClock } = options
  const spiffeId = parseWorkloadSpiffeId(identity.spiffeId)
  const server = identityServer({
    trustDomain: trustDomainOf(spiffeId),
    server: address,
    bundle,
    clock,
    keepAlive: true,
  })
  let shown: X509Svid | undefined
  const present = (): void => {
    const current = svidOf(identity)
    if (current !== shown) server.present(current)
    shown = current
  }
  present()
  const end = identity.onUpdate(present)
  const close = (): void => {
    end()
    server.close()
  }
  return { ...createSpawner({ spiffeId, server, clock }), close, [Symbol.dispose]: close }
}

// Without an SVID the server knows nobody, and says so.
function svidOf({ x509 }: Pick<ConnectedIdentity, 'x509'>): X509Svid | undefined {
  try {
    return x509.x509Svid()
  } catch (error) {
    if (!AimsError.is(error)) throw error
    return undefined
  }
}
