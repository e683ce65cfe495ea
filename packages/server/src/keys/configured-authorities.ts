import type { Clock, Observer } from 'aims/base'
import type { TtlRules } from 'aims/provisioning'
import type { Configuration } from '../config/settings.ts'
import type { Storage } from '../storage.ts'
import { openAuthorities } from './authorities.ts'
import type { Authorities } from './authority-types.ts'
import { configuredUpstream } from './upstream.ts'

/** Opens the authorities as the configuration has them. @throws {@link AimsError} as {@link openAuthorities}, `operation.config_invalid` */
export function openConfiguredAuthorities(
  config: Configuration,
  parts: { readonly storage: Storage; readonly ttls: TtlRules; readonly clock: Clock; readonly observer: Observer },
): Promise<Authorities> {
  const { storage, ttls, clock, observer } = parts
  const { trustDomain, 'keys.downstreamTtl': downstreamTtl } = config
  return openAuthorities({
    trustDomain,
    seal: storage.seal,
    store: storage.keys,
    meta: storage.meta,
    clock,
    observer,
    lifetime: config['keys.lifetime'],
    publishAhead: config['keys.publishAhead'],
    // A root is needed as long as the CAs of servers below it live.
    maxTtl: { 'x509-ca': Math.max(ttls.x509.max, downstreamTtl ?? 0), jwt: ttls.jwt.max, wit: ttls.wit.max },
    refreshHint: config['bundle.refreshHint'],
    manager: storage.keyManager,
    neighbours: storage.neighbours,
    pathLength: downstreamTtl === undefined ? 0 : 1,
    upstream: configuredUpstream(config['keys.upstream'], trustDomain, clock),
  })
}
