import type { EvidenceVerifiers } from 'aims/attestation'
import type { Clock, Observer } from 'aims/base'
import type { X509Svid } from 'aims/credentials'
import { createIssuer, type Issuer, type RegistrationEntry } from 'aims/provisioning'
import { type ChangeFeed, createChangeFeed } from './change-feed.ts'
import { ttlRules } from './config/derived.ts'
import type { Configuration } from './config/settings.ts'
import { createEntryRegistry, type EntryRegistry } from './entries.ts'
import type { Authorities } from './keys/authority-types.ts'
import { openConfiguredAuthorities } from './keys/configured-authorities.ts'
import { limitIssuance } from './limits/issuance-limits.ts'
import { createPassingEntries, type PassingEntries } from './nodes/passing-entries.ts'
import { createOwnIdentity } from './own-identity.ts'
import { delegationsByRegistrar } from './registration/delegation.ts'
import { type Endings, openEndings } from './revocation/open.ts'
import { steadyClock } from './steady-clock.ts'
import type { Storage } from './storage.ts'
import { openEntryStore } from './store/entry-store.ts'
import { openKeyBindings } from './store/key-bindings.ts'
import { openSubAgentStore, type SubAgentStore } from './store/sub-agent-store.ts'

/** What the server is about, without its listeners. */
export interface Core {
  readonly entries: EntryRegistry
  readonly authorities: Authorities
  readonly changes: ChangeFeed
  readonly issuer: Issuer
  readonly endings: Endings
  /** What it says is over may be forgotten. */
  readonly steady: Clock
  readonly bindings: ReturnType<typeof openKeyBindings>
  readonly register: SubAgentStore
  readonly passing: PassingEntries
  readonly renewOwnSvid: () => ReturnType<ReturnType<typeof createOwnIdentity>['renew']>
  readonly isOwnSvidDue: (svid: X509Svid) => boolean
}

/** Opens the core over the storage. @throws {@link AimsError} `operation.*`, `storage.*`, and what the observer throws */
export async function openCore(
  config: Configuration,
  storage: Storage,
  clock: Clock,
  { observer, refusals }: { readonly observer: Observer; readonly refusals: Observer },
  verifiers: EvidenceVerifiers,
): Promise<Core> {
  const { trustDomain } = config
  const { db, meta, wrapping, seal } = storage
  const ttls = ttlRules(config)
  const store = openEntryStore(db, { key: wrapping, meta, seal, trustDomain })
  const bindings = openKeyBindings(db)
  const register = openSubAgentStore(db, bindings)
  const entries = createEntryRegistry({
    store,
    trustDomain,
    ttls,
    clock,
    observer,
    verifiers,
    agentPrefixes: config['entries.agentPrefixes'],
    delegations: delegationsByRegistrar(config['entries.delegations']),
    refusals,
    isAlive: register.isAlive,
  })
  const authorities = await openConfiguredAuthorities(config, { storage, ttls, clock, observer })
  const changes = createChangeFeed(() => meta.counter('revision'))
  entries.onChange(changes.notify)
  authorities.onChange(changes.notify)
  const steady = steadyClock(clock)
  const endings = openEndings(config, storage, { clock, steady, observer, authorities, entries, ttls })
  const own = createOwnIdentity({ trustDomain, dnsNames: config['listen.dnsNames'], ttls, clock })
  const passing = createPassingEntries(trustDomain)
  const findEntry = (id: string): RegistrationEntry | undefined =>
    id === own.entry.id ? own.entry : (passing.find(id) ?? entries.find(id))
  const unlimited = createIssuer({
    keys: authorities,
    findEntry,
    clock,
    observer,
    bindings,
    confirmations: bindings,
    isProfileEnabled: (profile, now) =>
      profile === 'wimse' || config.profiles.some((one) => one.profile === profile && now < one.until),
    issuer: config.issuer,
    notBefore: endings.revocations.notBefore,
  })
  const issuer = limitIssuance(unlimited, config['limits.issuance'])
  return {
    entries,
    authorities,
    changes,
    issuer,
    endings,
    steady,
    bindings,
    register,
    passing,
    renewOwnSvid: () => own.renew(unlimited),
    isOwnSvidDue: (svid) => own.isDue(svid, authorities.standing()),
  }
}
