import type { Clock, Observer } from 'aims/base'
import type { TtlRules } from 'aims/provisioning'
import { type ChangeFeed, createChangeFeed } from '../change-feed.ts'
import type { Configuration } from '../config/settings.ts'
import type { EntryRegistry } from '../entries.ts'
import type { Authorities } from '../keys/authority-types.ts'
import type { Storage } from '../storage.ts'
import { openRevocationStore } from '../store/revocation-store.ts'
import { createRetirement, type Retirement } from './retirement.ts'
import { openRevocations, type Revocations } from './revocations.ts'

/** Everything about the end of credentials and agents. */
export interface Endings {
  readonly revocations: Revocations
  readonly retirement: Retirement
  readonly revocationChanges: ChangeFeed
}

/** A day: entries that are gone may have had longer credentials than the rules of today allow. */
const AT_LEAST = 86_400

/** Opens the revocations of a server. */
export function openEndings(
  config: Configuration,
  storage: Storage,
  deps: {
    readonly clock: Clock
    readonly steady: Clock
    readonly observer: Observer
    readonly authorities: Authorities
    readonly entries: EntryRegistry
    readonly ttls: TtlRules
  },
): Endings {
  const { clock, steady, observer, authorities, entries, ttls } = deps
  const revocations = openRevocations({
    trustDomain: config.trustDomain,
    store: openRevocationStore(storage.db, storage.seal, config.trustDomain),
    clock,
    steady,
    observer,
    signer: authorities.wit,
    longestLife: () => {
      const own = entries.list().flatMap(({ x509Ttl, jwtTtl, witTtl }) => [x509Ttl, jwtTtl, witTtl])
      return Math.max(AT_LEAST, config['agents.ttl'], ttls.x509.max, ttls.jwt.max, ttls.wit.max, ...own)
    },
  })
  const revocationChanges = createChangeFeed(revocations.sequence)
  revocations.onChange(revocationChanges.notify)
  return { revocations, retirement: createRetirement({ entries, revocations, observer }), revocationChanges }
}
