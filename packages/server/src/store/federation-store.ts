import type { DatabaseSync, SQLOutputValue } from 'node:sqlite'
import { AimsError, parseJson, storing } from 'aims/base'
import { parseBundle, type TrustBundle } from 'aims/credentials'
import { type FederationRelationship, parseFederationRelationship } from 'aims/provisioning'
import type { Meta } from './meta.ts'
import type { Seal } from './seal.ts'

/** Who set a relationship: the configuration, or an operator over the API. */
export type RelationshipOrigin = 'configuration' | 'api'

/** A relationship, and what came of it. */
export interface StoredRelationship {
  readonly relationship: FederationRelationship
  readonly origin: RelationshipOrigin
  /** The bundle that was fetched last, as its endpoint wrote it. */
  readonly fetched?: { readonly bundle: TrustBundle; readonly document: string; readonly at: number }
}

/** Relationships with other trust domains, all in memory, every change on disk before it shows. */
export interface FederationStore {
  /** In the order of their trust domains. */
  list(): readonly StoredRelationship[]
  find(trustDomain: string): StoredRelationship | undefined
  /** @param options.isNews - Agents are told: what workloads trust has changed. */
  put(one: StoredRelationship, options: { readonly isNews: boolean }): void
  remove(trustDomain: string): void
}

/** Opens the relationships of the store. Rows are sealed: they say whom workloads trust. @throws {@link AimsError} `operation.store_damaged` */
export function openFederationStore(db: DatabaseSync, seal: Seal, meta: Meta): FederationStore {
  const known = new Map<string, StoredRelationship>()
  for (const row of storing('store', () => db.prepare('SELECT * FROM federation ORDER BY id').all())) {
    known.set(String(row.id), readRow(row))
  }
  const put = db.prepare('INSERT OR REPLACE INTO federation VALUES (?, ?, ?, ?, ?)')
  const remove = db.prepare('DELETE FROM federation WHERE id = ?')
  const change = (id: string, isNews: boolean, write: () => void): void =>
    seal.transaction(() => {
      seal.row('federation', id, write)
      if (isNews) meta.advance('revision')
    })
  return {
    list: () => [...known.values()].sort((a, b) => (domainOf(a) < domainOf(b) ? -1 : 1)),
    find: (trustDomain) => known.get(trustDomain),
    put(one, { isNews }) {
      const { relationship, origin, fetched } = one
      const id = relationship.trustDomain
      const bundle = fetched?.document ?? null
      change(id, isNews, () => put.run(id, origin, JSON.stringify(relationship), bundle, fetched?.at ?? null))
      known.set(id, one)
    },
    remove(trustDomain) {
      change(trustDomain, true, () => remove.run(trustDomain))
      known.delete(trustDomain)
    },
  }
}

function domainOf({ relationship }: StoredRelationship): string {
  return relationship.trustDomain
}

function readRow({
  id,
  origin,
  relationship,
  bundle,
  fetched_at: at,
}: Record<string, SQLOutputValue>): StoredRelationship {
  try {
    const parsed = parseFederationRelationship(parseJson(String(relationship), { maxLength: 4_194_304 }))
    const base: StoredRelationship = {
      relationship: parsed,
      origin: origin === 'configuration' ? 'configuration' : 'api',
    }
    if (typeof bundle !== 'string') return base
    const fetched = { bundle: parseBundle(bundle, parsed.trustDomain).bundle, document: bundle, at: Number(at) }
    return { ...base, fetched }
  } catch (cause) {
    const name = JSON.stringify(String(id))
    throw new AimsError('operation.store_damaged', `the relationship with ${name} cannot be read`, { cause })
  }
}
