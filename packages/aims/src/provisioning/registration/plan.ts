import { canonicalJson } from '../../base/jcs.ts'
import { pathOf, type SpiffeId } from '../../identifiers/spiffe-id.ts'
import { ancestorsOf } from '../../identifiers/sub-agent-id.ts'
import { mayShareAgent } from '../agent-group.ts'
import { entryToJson, type RegistrationEntry } from '../entry.ts'
import { createEntryIndex, type EntryIndex } from './entry-index.ts'
import { selectorStrength } from './selector-strength.ts'

/** One step from what is registered to what is wanted. What it was planned on is pinned by its revision. */
export type PlannedChange =
  | { readonly action: 'create'; readonly entry: RegistrationEntry }
  | {
      readonly action: 'update'
      readonly id: string
      readonly revision: number
      readonly entry: RegistrationEntry
      /** Names of the members that differ. */
      readonly members: readonly string[]
    }
  | {
      readonly action: 'delete'
      readonly id: string
      readonly revision: number
      readonly spiffeId: string
    }

/** Which entries may be deleted because they are not wanted: all that is given must hold. */
export interface PruneScope {
  /** Path with a slash at both ends, e.g. `/team-a/`. */
  readonly idPrefix?: string
  readonly owner?: string
}

/** Something about a wanted entry that somebody should look at. */
export interface PlanWarning {
  readonly spiffeId: string
  /**
   * `class-selectors`: they tell a class of workloads. `shareable-selectors`: several may have them at a time.
   * `same-selectors`, `wider-selectors`: whoever shows those of this entry has the `other` identity too.
   */
  readonly kind: 'class-selectors' | 'shareable-selectors' | 'same-selectors' | 'wider-selectors'
  readonly other?: string
}

/** Why a wanted entry cannot be had. */
export interface PlanProblem {
  /** Place in the list of wanted entries. */
  readonly index: number
  readonly code:
    | 'provisioning.subject_taken'
    | 'provisioning.subject_fixed'
    | 'provisioning.subject_retired'
    | 'provisioning.entry_exists'
    | 'provisioning.outside_scope'
  readonly message: string
}

/** What to do, and what was noticed. Without problems it can be applied. */
export interface EntryPlan {
  readonly changes: readonly PlannedChange[]
  readonly unchanged: number
  readonly warnings: readonly PlanWarning[]
  readonly problems: readonly PlanProblem[]
}

/** What a plan is made from. */
export interface PlanInput {
  readonly current: EntryIndex
  /** Entries as they should be; their revisions say nothing. Those whose `id` was made up are in `unnamed`. */
  readonly wanted: readonly RegistrationEntry[]
  /** Places in `wanted` whose id was made up: an entry that is registered under their SPIFFE ID keeps its own. */
  readonly unnamed: ReadonlySet<number>
  /** Delete what is registered in this scope and not wanted. Absent: nothing is deleted. */
  readonly prune?: PruneScope
  readonly isIdUsed: (id: string) => boolean
  /** True when the SPIFFE ID is not to be given again. */
  readonly isRetired: (entry: RegistrationEntry) => boolean
}

/**
 * Compares what is wanted with what is registered, by SPIFFE ID. Applying the plan and planning again gives no changes.
 * Does not check that a caller may do it, nor what a server demands of entries.
 *
 * @see AIMS ID-2, ID-4, ID-5
 */
export function planEntries(input: PlanInput): EntryPlan {
  const { current, wanted, prune } = input
  const changes: PlannedChange[] = []
  const problems: PlanProblem[] = []
  const after = createEntryIndex(current.list())
  const subjects = new Set<string>()
  const ids = new Set<string>()
  const bySubject = new Map<string, RegistrationEntry>(wanted.map((entry) => [entry.spiffeId, entry]))
  const spawns = (id: string): boolean =>
    (bySubject.get(id) ?? current.findBySubject(id as SpiffeId))?.subAgents !== undefined
  let unchanged = 0
  for (const [index, given] of wanted.entries()) {
    const before = current.findBySubject(given.spiffeId)
    const entry = before !== undefined && input.unnamed.has(index) ? { ...given, id: before.id } : given
    const problem = findProblem(entry, before, { ...input, subjects, ids, spawns })
    subjects.add(entry.spiffeId)
    ids.add(entry.id)
    if (problem !== undefined) {
      problems.push({ index, ...problem })
      continue
    }
    if (before === undefined) changes.push({ action: 'create', entry: { ...entry, revision: 1 } })
    else {
      const members = differences(before, entry)
      const { id, revision } = before
      if (members.length === 0) unchanged += 1
      else changes.push({ action: 'update', id, revision, entry: { ...entry, revision: revision + 1 }, members })
    }
    after.set(entry)
  }
  if (prune !== undefined) {
    for (const { id, revision, spiffeId } of current.list().filter((entry) => isInScope(entry, prune))) {
      if (subjects.has(spiffeId)) continue
      changes.push({ action: 'delete', id, revision, spiffeId })
      after.delete(id)
    }
  }
  const warnings = wanted.flatMap(({ spiffeId }) => {
    const entry = after.findBySubject(spiffeId)
    return entry === undefined ? [] : warningsOf(entry, after)
  })
  return { changes, unchanged, warnings, problems }
}

/** True when the entry may be deleted by whoever prunes this scope. An empty scope holds nothing. */
export function isInScope(entry: RegistrationEntry, { idPrefix, owner }: PruneScope): boolean {
  if (idPrefix === undefined && owner === undefined) return false
  return (
    (idPrefix === undefined || pathOf(entry.spiffeId).startsWith(idPrefix)) &&
    (owner === undefined || entry.owner === owner)
  )
}

function findProblem(
  entry: RegistrationEntry,
  before: RegistrationEntry | undefined,
  {
    prune,
    subjects,
    ids,
    isIdUsed,
    isRetired,
    spawns,
  }: PlanInput & {
    readonly subjects: ReadonlySet<string>
    readonly ids: ReadonlySet<string>
    readonly spawns: (id: string) => boolean
  },
): Omit<PlanProblem, 'index'> | undefined {
  if (subjects.has(entry.spiffeId)) {
    return { code: 'provisioning.subject_taken', message: 'spiffeId is that of another entry in these files' }
  }
  if (ids.has(entry.id)) {
    return { code: 'provisioning.entry_exists', message: 'id is that of another entry in these files' }
  }
  if (prune !== undefined && !isInScope(entry, prune)) {
    return { code: 'provisioning.outside_scope', message: 'the entry is outside the scope that is pruned' }
  }
  if (before !== undefined) {
    if (before.id === entry.id) return undefined
    return { code: 'provisioning.subject_fixed', message: 'id differs from the one this SPIFFE ID is registered under' }
  }
  if (isIdUsed(entry.id)) return { code: 'provisioning.entry_exists', message: 'id is, or was, that of another entry' }
  if (ancestorsOf(entry.spiffeId).some(spawns)) {
    return { code: 'provisioning.subject_taken', message: 'spiffeId is one that an agent may give to a sub-agent' }
  }
  if (!isRetired(entry)) return undefined
  return { code: 'provisioning.subject_retired', message: 'spiffeId belonged to an entry that was deleted' }
}

function differences(before: RegistrationEntry, after: RegistrationEntry): readonly string[] {
  const [old, fresh] = [entryToJson(before), entryToJson(after)]
  const names = new Set([...Object.keys(old), ...Object.keys(fresh)])
  return [...names].filter(
    (name) => name !== 'revision' && canonicalJson([old[name] ?? null]) !== canonicalJson([fresh[name] ?? null]),
  )
}

function warningsOf(entry: RegistrationEntry, all: EntryIndex): readonly PlanWarning[] {
  const { spiffeId, selectors, shared } = entry
  const warnings: PlanWarning[] = []
  const strength = shared ? 'one' : selectorStrength(entry)
  if (strength === 'class') warnings.push({ spiffeId, kind: 'class-selectors' })
  if (strength === 'several') warnings.push({ spiffeId, kind: 'shareable-selectors' })
  for (const other of all.match(selectors)) {
    if (other.spiffeId === spiffeId || !mayShareAgent(entry, other)) continue
    const kind = other.selectors.length === selectors.length ? 'same-selectors' : 'wider-selectors'
    warnings.push({ spiffeId, kind, other: other.spiffeId })
  }
  return warnings
}
