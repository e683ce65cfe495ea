import { randomUUID } from 'node:crypto'
import { AimsError, type Clock, type JsonValue, type Observer, type OutboundOptions } from 'aims/base'
import {
  type BundleSource,
  bundleContent,
  parseBundle,
  refuseOlder,
  refuseRollback,
  type TrustBundle,
} from 'aims/credentials'
import type { TrustDomain } from 'aims/identifiers'
import {
  bootstrapOf,
  type FederationRelationship,
  fetchBundle,
  parseFederationRelationship,
  refreshInterval,
  refuseForeignBundle,
} from 'aims/provisioning'
import { type Actor, serializer } from '../entries.ts'
import type { FederationStore, RelationshipOrigin, StoredRelationship } from '../store/federation-store.ts'
import { bundleRefused, bundleTaken, relationshipEnded, relationshipSet } from './events.ts'

/** A relationship as operators see it. */
export interface RelationshipStatus extends Omit<FederationRelationship, 'bundle' | 'authorities'> {
  readonly origin: RelationshipOrigin
  readonly pinnedAuthorities: boolean
  /** Seconds since the epoch; `null` before the first fetch. */
  readonly fetchedAt: number | null
  readonly nextFetchAt: number
  /** Of the bundle that workloads get; `null` when it has none. */
  readonly sequence: string | null
  readonly keys: { readonly x509: number; readonly jwt: number; readonly wit: number }
  /** Why the last fetch brought nothing; `null` after one that did. */
  readonly lastError: string | null
}

/** Relationships with other trust domains, and the bundles that come of them. Bundles are never merged. */
export interface Federation extends BundleSource {
  /** The bundles of all relationships. */
  bundles(): readonly TrustBundle[]
  list(): readonly RelationshipStatus[]
  /** @throws {@link AimsError} `provisioning.federation_not_found` */
  show(trustDomain: string): RelationshipStatus
  /**
   * Begins a relationship, or puts another one in its place, which begins anew: what was fetched before is forgotten.
   *
   * @throws {@link AimsError} `provisioning.federation_malformed`, `.federation_configured`, `bundle.wrong_trust_domain`
   */
  set(input: JsonValue, actor: Actor, origin?: RelationshipOrigin): Promise<RelationshipStatus>
  /** Ends a relationship: its bundle is gone for all workloads. @throws {@link AimsError} `provisioning.federation_*` */
  end(trustDomain: string, actor: Actor, origin?: RelationshipOrigin): Promise<void>
  /**
   * Fetches now. A failure is in `lastError`, and what was held stays.
   *
   * @throws {@link AimsError} `provisioning.federation_not_found`
   */
  refresh(
    trustDomain: string,
    actor: Actor,
    options?: { readonly acceptRollback?: boolean },
  ): Promise<RelationshipStatus>
  /** Takes a bundle that an operator has, with the same refusals. @throws {@link AimsError} `bundle.*`, `provisioning.federation_not_found` */
  importBundle(trustDomain: string, document: string, actor: Actor): Promise<RelationshipStatus>
  /** Fetches what is due. Call it every few seconds; it does not wait for endpoints. */
  advance(): void
  /** Calls `listener` after every change of a bundle. */
  onChange(listener: () => void): void
  /** Stops all fetches. */
  close(): Promise<void>
}

/** What federation works with. */
export interface FederationOptions {
  readonly trustDomain: TrustDomain
  readonly store: FederationStore
  readonly clock: Clock
  readonly observer: Observer
  /** The bundle of the own trust domain. */
  own(): TrustBundle
  /** Told what fails beside endpoints, e.g. that the log takes no record. */
  failed(error: unknown): void
  /** What tests put in place of the network. */
  readonly network?: Pick<OutboundOptions<string>, 'resolve' | 'connect'>
}

const AUTOMATIC: Omit<Actor, 'correlationId'> = { name: 'aims:server', method: 'schedule' }

interface Fetching {
  nextAt: number
  lastError: string | null
  running?: Promise<void>
}

/** Makes the relationships of a server over their store. Every fetch and every change is in the log before it shows. */
export function createFederation(options: FederationOptions): Federation {
  const { trustDomain: own, store, clock, observer } = options
  const listeners = new Set<() => void>()
  const states = new Map<string, Fetching>()
  const stopping = new AbortController()
  const oneAtATime = serializer()

  const existing = (trustDomain: string): StoredRelationship => {
    const one = store.find(trustDomain)
    if (one === undefined) {
      throw new AimsError('provisioning.federation_not_found', 'there is no relationship with this trust domain')
    }
    return one
  }
  const stateOf = (trustDomain: string): Fetching => {
    const state = states.get(trustDomain) ?? { nextAt: 0, lastError: null }
    states.set(trustDomain, state)
    return state
  }
  const changed = (): void => {
    for (const listener of listeners) listener()
  }
  const bundleFor = (trustDomain: TrustDomain): TrustBundle | undefined => {
    const one = store.find(trustDomain)
    return one && heldBundle(one)
  }
  const requireOrigin = (one: StoredRelationship | undefined, origin: RelationshipOrigin): void => {
    if (origin === 'api' && one?.origin === 'configuration') {
      throw new AimsError('provisioning.federation_configured', 'the relationship stands in the configuration')
    }
  }

  // The work of the network is done; here the relationship must still be the one that was asked.
  const take = (
    asked: StoredRelationship,
    next: { readonly bundle: TrustBundle; readonly document: string },
    action: 'fetch' | 'import',
    actor: Actor,
  ): Promise<void> =>
    oneAtATime(async () => {
      const { trustDomain } = asked.relationship
      const now = store.find(trustDomain)
      if (now?.relationship !== asked.relationship || now.fetched !== asked.fetched) {
        throw new AimsError('operation.busy', 'the relationship was changed meanwhile')
      }
      const before = heldBundle(now)
      const isNews = before === undefined || bundleContent(before) !== bundleContent(next.bundle)
      await observer.record(bundleTaken(next.bundle, { changed: isNews, action }, actor))
      store.put({ ...now, fetched: { ...next, at: Math.floor(clock()) } }, { isNews })
      stateOf(trustDomain).lastError = null
      if (isNews) changed()
    })

  const fetchOnce = async (one: StoredRelationship, actor: Actor, acceptRollback: boolean): Promise<void> => {
    const { relationship, fetched } = one
    const { trustDomain } = relationship
    const state = stateOf(trustDomain)
    try {
      const next = await fetchBundle(relationship, {
        clock,
        own: options.own(),
        endpointBundles: { bundleFor: (domain) => (domain === own ? options.own() : bundleFor(domain)) },
        ...(fetched === undefined ? {} : { current: fetched.bundle }),
        ...(options.network === undefined ? {} : { network: options.network }),
        acceptRollback,
        signal: stopping.signal,
      })
      await take(one, next, 'fetch', actor)
    } catch (error) {
      if (!AimsError.is(error) || stopping.signal.aborted) throw error
      const cause = AimsError.is(error.cause) ? [error.cause.code] : []
      state.lastError = error.code
      await observer.record(bundleRefused(trustDomain, [error.code, ...cause], 'fetch', actor))
    } finally {
      const held = store.find(trustDomain)
      state.nextAt = clock() + refreshInterval(held && heldBundle(held))
    }
  }
  const fetchNow = (one: StoredRelationship, actor: Actor, acceptRollback = false): Promise<void> => {
    const { trustDomain } = one.relationship
    const state = stateOf(trustDomain)
    // At its turn another fetch may have brought a newer one.
    const turn = () => fetchOnce(store.find(trustDomain) ?? one, actor, acceptRollback)
    const result = (state.running ?? Promise.resolve()).then(turn)
    const running = result.then(
      () => undefined,
      () => undefined,
    )
    state.running = running
    void running.then(() => {
      if (state.running === running) delete state.running
    })
    return result
  }

  const statusOf = ({ relationship, origin, fetched }: StoredRelationship): RelationshipStatus => {
    const { bundle: _, authorities, ...told } = relationship
    const { nextAt, lastError } = stateOf(relationship.trustDomain)
    const held = heldBundle({ relationship, origin, ...(fetched === undefined ? {} : { fetched }) })
    return {
      ...told,
      origin,
      pinnedAuthorities: authorities !== undefined,
      fetchedAt: fetched?.at ?? null,
      nextFetchAt: Math.floor(nextAt),
      sequence: held?.sequence === undefined ? null : String(held.sequence),
      keys: {
        x509: held?.x509Authorities.length ?? 0,
        jwt: held?.jwtAuthorities.size ?? 0,
        wit: held?.witAuthorities.size ?? 0,
      },
      lastError,
    }
  }

  return {
    bundleFor,
    bundles: () => store.list().flatMap((one) => heldBundle(one) ?? []),
    list: () => store.list().map(statusOf),
    show: (trustDomain) => statusOf(existing(trustDomain)),
    set: (input, actor, origin = 'api') =>
      oneAtATime(async () => {
        const relationship = parseFederationRelationship(input, { own })
        const { trustDomain } = relationship
        requireOrigin(store.find(trustDomain), origin)
        const first = bootstrapOf(relationship)
        if (first !== undefined) refuseForeignBundle(first, options.own())
        await observer.record(relationshipSet(relationship, actor))
        const one = { relationship, origin }
        store.put(one, { isNews: true })
        states.delete(trustDomain)
        changed()
        return statusOf(one)
      }),
    end: (name, actor, origin = 'api') =>
      oneAtATime(async () => {
        const one = existing(name)
        requireOrigin(one, origin)
        const { trustDomain } = one.relationship
        await observer.record(relationshipEnded(trustDomain, actor))
        store.remove(trustDomain)
        states.delete(trustDomain)
        changed()
      }),
    async refresh(trustDomain, actor, { acceptRollback = false } = {}) {
      await fetchNow(existing(trustDomain), actor, acceptRollback)
      return statusOf(existing(trustDomain))
    },
    async importBundle(name, document, actor) {
      const one = existing(name)
      const { trustDomain } = one.relationship
      try {
        const { bundle } = parseBundle(document, trustDomain)
        refuseForeignBundle(bundle, options.own())
        const held = heldBundle(one)
        // As for what is fetched: the bundle to begin with may leave keys out.
        if (one.fetched !== undefined) refuseRollback(one.fetched.bundle, bundle)
        else if (held !== undefined) refuseOlder(held, bundle)
        await take(one, { bundle, document }, 'import', actor)
      } catch (error) {
        if (AimsError.is(error)) await observer.record(bundleRefused(trustDomain, [error.code], 'import', actor))
        throw error
      }
      return statusOf(existing(name))
    },
    advance() {
      const now = clock()
      for (const one of store.list()) {
        const state = stateOf(one.relationship.trustDomain)
        if (state.nextAt > now || state.running !== undefined || stopping.signal.aborted) continue
        fetchNow(one, { ...AUTOMATIC, correlationId: randomUUID() }).catch((error: unknown) => {
          if (!stopping.signal.aborted) options.failed(error)
        })
      }
    },
    onChange: (listener) => void listeners.add(listener),
    async close() {
      stopping.abort()
      await Promise.allSettled([...states.values()].map(({ running }) => running))
    },
  }
}

// What was fetched last; before the first fetch what an operator gave.
function heldBundle({ relationship, fetched }: StoredRelationship): TrustBundle | undefined {
  if (fetched !== undefined || relationship.bundle === undefined) return fetched?.bundle
  const bundle = bootstraps.get(relationship) ?? bootstrapOf(relationship)
  if (bundle !== undefined) bootstraps.set(relationship, bundle)
  return bundle
}

// The same object while nothing changes: verifiers keep what they know of it.
const bootstraps = new WeakMap<FederationRelationship, TrustBundle>()
