import { AimsError, sha256 } from 'aims/base'
import { serializeBundle, type TrustBundle } from 'aims/credentials'
import type { RegistrationEntry } from 'aims/provisioning'
import { createChangeFeed } from './change-feed.ts'
import type { EntryRegistry } from './entries.ts'
import type { Federation } from './federation/federation.ts'
import type { Authorities } from './keys/authority-types.ts'

/** Whom a workload may believe, as answers tell it. */
export interface TrustBody {
  /** Names this state. */
  readonly trust: string
  /** Text: its sequence number may be larger than JSON.parse can keep. */
  readonly bundle: string
  readonly standing: ReturnType<Authorities['standing']>
  /** Of the trust domains that the entry names. Absent for who has not said who it is. */
  readonly federated?: readonly FederatedBody[]
  /** `null`: the entry of the caller is gone. */
  readonly entryRevision?: number | null
}

/** A bundle of another trust domain. */
export interface FederatedBody {
  readonly trustDomain: string
  readonly bundle: string
}

/** Says whom workloads may believe. */
export interface TrustTeller {
  /** What goes with the credentials of an entry; `null`: to whom had one; `undefined`: to anybody. */
  tell(entry: Pick<RegistrationEntry, 'revision' | 'federatesWith'> | null | undefined): TrustBody
  /** Resolves at the next change, or after `timeout` milliseconds; at once with false when too many wait. */
  wait(seen: number, options: { readonly timeout: number; readonly signal: AbortSignal }): Promise<boolean>
  /** Of the state that {@link tell} tells of, and others with it. */
  revision(): number
}

/** What it works with. */
export interface TrustTellerOptions {
  readonly authorities: Authorities
  readonly federation: Federation
  readonly entries: EntryRegistry
  /** Advances with every change of any of these. */
  readonly revision: () => number
}

/** Makes it. What it tells is put together once for all who are told the same. */
export function createTrustTeller({ authorities, federation, entries, revision }: TrustTellerOptions): TrustTeller {
  // Whoever has not said who it is waits here, too: a feed of its own, so that agents are not kept out.
  const changes = createChangeFeed(revision)
  for (const one of [authorities, federation, entries]) one.onChange(changes.notify)
  let known = new Map<string, TrustBody>()
  let knownAt = Number.NaN
  return {
    revision,
    tell(entry) {
      const now = revision()
      if (now !== knownAt) known = new Map()
      knownAt = now
      const key = entry === undefined ? '' : JSON.stringify([entry?.revision ?? null, ...(entry?.federatesWith ?? [])])
      const before = known.get(key)
      if (before !== undefined) return before
      const names = entry?.federatesWith ?? []
      const content = {
        bundle: serializeBundle(authorities.bundle(), { includeWit: true }),
        standing: authorities.standing(),
        ...(entry === undefined
          ? {}
          : {
              federated: federatedBody(names.flatMap((name) => federation.bundleFor(name) ?? [])),
              entryRevision: entry?.revision ?? null,
            }),
      }
      const body = { trust: sha256(JSON.stringify(content)).toString('base64url'), ...content }
      known.set(key, body)
      return body
    },
    async wait(seen, options) {
      try {
        await changes.wait(seen, options)
        return true
      } catch (error) {
        if (AimsError.is(error) && error.code === 'operation.busy') return false
        throw error
      }
    },
  }
}

/** Bundles of other trust domains, as answers have them. */
export function federatedBody(bundles: readonly TrustBundle[]): readonly FederatedBody[] {
  return bundles.map((one) => ({ trustDomain: one.trustDomain, bundle: serializeBundle(one, { includeWit: true }) }))
}
