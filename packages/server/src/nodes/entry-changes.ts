import type { SpiffeId } from 'aims/identifiers'
import { type AgentGroup, type AttestedAgent, isServedBy } from 'aims/provisioning'
import type { EntryChange, EntryRegistry } from '../entries.ts'

/** An entry that changed. */
export interface ChangedEntry {
  readonly id: string
  readonly spiffeId: SpiffeId
  /** Whom it named before its changes, oldest first; `undefined`: the agent beside the server. Empty: it is new. */
  readonly former: readonly (readonly AgentGroup[] | undefined)[]
}

/** What changed since which revision, so that agents are told that and no more. */
export interface EntryChanges {
  /** Entries that changed after a revision; `undefined`: that is too long ago, and everything must be told. */
  since(revision: number): readonly ChangedEntry[] | undefined
  /** The identities that an agent could serve before an entry was changed or deleted, as far as that is remembered. */
  formerlyOf(agent: AttestedAgent): readonly SpiffeId[]
  /** A bundle changed after this revision. */
  isBundleNewer(revision: number): boolean
}

interface Change extends ChangedEntry {
  readonly at: number
}

/** Entries whose last change is remembered. */
const MAX_CHANGED = 20_000
/** Different lists of agents that are remembered of one entry. */
const MAX_FORMER = 8

/** Follows the changes of a server from its start on. */
export function createEntryChanges(options: {
  readonly entries: Pick<EntryRegistry, 'onChange'>
  /** The own bundle, and those of others. */
  readonly bundles: readonly { onChange(listener: () => void): unknown }[]
  revision(): number
}): EntryChanges {
  const { entries, bundles, revision } = options
  // In the order of their last change.
  const changes = new Map<string, Change>()
  let since = revision()
  let bundleAt = since

  entries.onChange(({ id, before, after }: EntryChange) => {
    const spiffeId = (after ?? before)?.spiffeId
    if (spiffeId === undefined) return
    const known = changes.get(id)?.former ?? []
    const former = before === undefined || holds(known, before.agents) ? known : [...known, before.agents]
    changes.delete(id)
    changes.set(id, { id, spiffeId, former, at: revision() })
    const [oldest] = changes.values()
    if (oldest !== undefined && (changes.size > MAX_CHANGED || former.length > MAX_FORMER)) {
      // What is forgotten must be told in full.
      const gone = former.length > MAX_FORMER ? id : oldest.id
      since = Math.max(since, changes.get(gone)?.at ?? since)
      changes.delete(gone)
    }
  })
  for (const one of bundles) {
    one.onChange(() => {
      bundleAt = revision()
    })
  }

  return {
    since: (seen) => (seen < since ? undefined : [...changes.values()].filter(({ at }) => at > seen)),
    formerlyOf: (agent) =>
      [...changes.values()]
        .filter(({ former }) => former.some((agents) => agents !== undefined && isServedBy({ agents }, agent)))
        .map(({ spiffeId }) => spiffeId),
    isBundleNewer: (seen) => bundleAt > seen,
  }
}

function holds(known: ChangedEntry['former'], agents: readonly AgentGroup[] | undefined): boolean {
  const text = JSON.stringify(agents)
  return known.some((one) => JSON.stringify(one) === text)
}
