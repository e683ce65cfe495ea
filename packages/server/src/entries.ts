import { randomUUID } from 'node:crypto'
import { AimsError, type AuditEvent, type Clock, type JsonValue, type Observer } from 'aims/base'
import { ancestorsOf, type SpiffeId } from 'aims/identifiers'
import type { RegistrationEntry } from 'aims/provisioning'
import type { Delegation } from './registration/delegation.ts'
import { changeEvent, refusedEvent } from './registration/entry-events.ts'
import { type EntryDemands, isOpenTo, readWantedEntry, requireFree } from './registration/entry-rules.ts'
import { type PlanRequest, planFor, type ServerPlan, type WantedChange } from './registration/planning.ts'
import type { EntryStore, RetiredEntry } from './store/entry-store.ts'

/** Who changes something, for the record. */
export interface Actor {
  /** E.g. `unix:uid:0` or a SPIFFE ID. */
  readonly name: string
  readonly method: string
  readonly correlationId: string
  /** What it may register. Absent: everything. */
  readonly delegation?: Delegation
}

/** The registry of identities: one entry per SPIFFE ID, and every change in the log before it takes effect. */
export interface EntryRegistry {
  find(id: string): RegistrationEntry | undefined
  findBySubject(subject: SpiffeId): RegistrationEntry | undefined
  /** The entries whose selectors are all among these, in the order of their ids. */
  match(selectors: readonly string[]): readonly RegistrationEntry[]
  size(): number
  list(): readonly RegistrationEntry[]
  /**
   * Registers an entry. `id` is made up when absent.
   *
   * @param options.reuseRetired - Give a SPIFFE ID again that a deleted entry had. Default false (AIMS ID-4).
   * @throws {@link AimsError} `provisioning.*`
   */
  create(input: JsonValue, actor: Actor, options?: { readonly reuseRetired?: boolean }): Promise<RegistrationEntry>
  /**
   * Replaces an entry, which keeps its id and SPIFFE ID (AIMS ID-2).
   *
   * @param revision - The revision that the caller has seen.
   * @throws {@link AimsError} `provisioning.*`, e.g. `provisioning.revision_conflict`
   */
  update(id: string, input: JsonValue, revision: number, actor: Actor): Promise<RegistrationEntry>
  /** Deletes an entry; its id and SPIFFE ID stay known. @throws {@link AimsError} `provisioning.entry_not_found` */
  remove(id: string, actor: Actor): Promise<void>
  /** Makes entries newer ones without changing them, so that agents fetch their credentials anew. @throws {@link AimsError} `provisioning.entry_not_found` */
  touch(ids: readonly string[], actor: Actor): Promise<void>
  /** True for the SPIFFE ID of a deleted entry. */
  isRetired(subject: SpiffeId): boolean
  /** The newest deleted entry that had this SPIFFE ID. */
  findRetired(subject: SpiffeId): RetiredEntry | undefined
  /** Says what would change if these entries were wanted. Nothing is changed or recorded. */
  plan(request: PlanRequest, actor: Actor): ServerPlan
  /**
   * Does all changes of a plan in one transaction, each with a record of its own, or none.
   *
   * @throws {@link AimsError} `provisioning.*`, e.g. `provisioning.revision_conflict`: plan again
   */
  apply(
    changes: readonly WantedChange[],
    actor: Actor,
    options?: { readonly reuseRetired?: boolean },
  ): Promise<readonly EntryChange[]>
  /** True when a caller may see an entry. */
  isOpenTo(entry: RegistrationEntry, actor: Actor): boolean
  /** Entries that were deleted, the last first. */
  listRetired(): readonly RetiredEntry[]
  /** Calls `listener` after every change. @returns a function that ends it */
  onChange(listener: (change: EntryChange) => void): () => void
}

/** An entry before and after a change; absent where it did not exist. */
export interface EntryChange {
  readonly id: string
  readonly before?: RegistrationEntry
  readonly after?: RegistrationEntry
}

/** What a registry works with. */
export interface EntryRegistryOptions extends EntryDemands {
  readonly store: EntryStore
  readonly clock: Clock
  readonly observer: Observer
  /** True while a sub-agent of this name, or below it, lives. Default: none does. */
  readonly isAlive?: (spiffeId: SpiffeId, now: number) => boolean
  /** Takes the records of refusals. Default: `observer`. */
  readonly refusals?: Observer
}

/** Makes the registry over a store. */
export function createEntryRegistry(options: EntryRegistryOptions): EntryRegistry {
  const { store, clock, observer, refusals = observer, delegations, isAlive = () => false } = options
  const listeners = new Set<(change: EntryChange) => void>()
  const oneAtATime = serializer()

  const existing = (id: string, actor: Actor): RegistrationEntry => {
    const entry = store.find(id)
    if (entry !== undefined && isOpenTo(entry, actor, delegations)) return entry
    // What is not open to a registrar does not exist for it.
    throw new AimsError('provisioning.entry_not_found', 'no entry has this id')
  }
  const changeOf = (wanted: WantedChange, actor: Actor, reuseRetired: boolean): EntryChange => {
    if (wanted.action === 'create') {
      const entry = { ...readWantedEntry(wanted.entry, randomUUID(), actor, options), revision: 1 }
      // To give an identity again is a decision of whoever answers for the trust domain.
      const isFreed = reuseRetired && actor.delegation === undefined
      requireFree(store, entry, { reuseRetired: isFreed, isAlive: (id) => isAlive(id, clock()) })
      return { id: entry.id, after: entry }
    }
    const { id, revision } = wanted
    const before = existing(id, actor)
    if (before.revision !== revision) {
      throw new AimsError('provisioning.revision_conflict', `the entry is at revision ${before.revision}`)
    }
    if (wanted.action === 'delete') return { id, before }
    const entry = readWantedEntry(wanted.entry, id, actor, options)
    if (entry.id !== id || entry.spiffeId !== before.spiffeId) {
      throw new AimsError('provisioning.subject_fixed', 'an entry keeps its id and its SPIFFE ID')
    }
    return { id, before, after: { ...entry, revision: before.revision + 1 } }
  }
  const refusing = async <T>(action: string, actor: Actor, id: string | undefined, work: () => T): Promise<T> => {
    try {
      return work()
    } catch (error) {
      if (AimsError.is(error)) {
        const known = id !== undefined && store.isIdUsed(id) ? { id } : {}
        await refusals.record(refusedEvent(action, error, actor, known))
      }
      throw error
    }
  }
  // Everything is in the log before anything shows.
  const commit = async (changes: readonly EntryChange[], actor: Actor): Promise<void> => {
    await Promise.all(changes.map((change) => observer.record(eventOf(change, actor))))
    store.apply(
      changes.map(({ before, after }) =>
        after === undefined ? { retire: before as RegistrationEntry } : { put: after },
      ),
      clock(),
    )
    for (const change of changes) for (const listener of listeners) listener(change)
  }
  const one = (wanted: WantedChange, actor: Actor, reuseRetired = false): Promise<EntryChange> =>
    oneAtATime(async () => {
      const id = wanted.action === 'create' ? undefined : wanted.id
      const change = await refusing(`entry-${wanted.action}`, actor, id, () => changeOf(wanted, actor, reuseRetired))
      await commit([change], actor)
      return change
    })

  return {
    find: (id) => store.find(id),
    findBySubject: (subject) => store.findBySubject(subject),
    match: (selectors) => store.match(selectors),
    size: () => store.size(),
    list: () => store.list(),
    create: async (entry, actor, { reuseRetired = false } = {}) =>
      resulting(await one({ action: 'create', entry }, actor, reuseRetired)),
    update: async (id, entry, revision, actor) =>
      resulting(await one({ action: 'update', id, revision, entry }, actor)),
    remove: (id, actor) =>
      oneAtATime(async () => {
        const before = await refusing('entry-delete', actor, id, () => existing(id, actor))
        await commit([{ id, before }], actor)
      }),
    touch: (ids, actor) =>
      oneAtATime(async () => {
        const touched = async (id: string): Promise<EntryChange> => {
          const before = await refusing('entry-touch', actor, id, () => existing(id, actor))
          return { id, before, after: { ...before, revision: before.revision + 1 } }
        }
        await commit(await Promise.all(ids.map(touched)), actor)
      }),
    isRetired: (subject) => store.isRetired(subject),
    findRetired: (subject) => store.findRetired(subject),
    plan: (request, actor) => planFor(request, actor, store, options),
    apply: (wanted, actor, { reuseRetired = false } = {}) =>
      oneAtATime(async () => {
        const changes = await refusing('entry-apply', actor, undefined, () => {
          const list = wanted.map((change) => changeOf(change, actor, reuseRetired))
          requireDistinct(list)
          return list
        })
        if (changes.length > 0) await commit(changes, actor)
        return changes
      }),
    isOpenTo: (entry, actor) => isOpenTo(entry, actor, delegations),
    listRetired: () => store.listRetired(),
    onChange(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
  }
}

// Each change was checked against the store, so no two may be about the same entry.
function requireDistinct(changes: readonly EntryChange[]): void {
  const ids = new Set(changes.map(({ id }) => id))
  const subjects = new Set(changes.map(({ before, after }) => (after ?? before)?.spiffeId))
  if (ids.size < changes.length)
    throw new AimsError('provisioning.entry_exists', 'an id occurs twice among the changes')
  if (subjects.size < changes.length) {
    throw new AimsError('provisioning.subject_taken', 'a SPIFFE ID occurs twice among the changes')
  }
  const spawning = new Set<string>(
    changes.flatMap(({ after }) => (after?.subAgents === undefined ? [] : after.spiffeId)),
  )
  const isBelow = ({ before, after }: EntryChange): boolean =>
    before === undefined && after !== undefined && ancestorsOf(after.spiffeId).some((id) => spawning.has(id))
  if (changes.some(isBelow)) {
    throw new AimsError(
      'provisioning.subject_taken',
      'an agent among the changes gives SPIFFE IDs there to its sub-agents',
    )
  }
}

function eventOf({ before, after }: EntryChange, actor: Actor): AuditEvent {
  if (after === undefined) return changeEvent('provisioning.entry-deleted', before as RegistrationEntry, actor)
  return changeEvent(before === undefined ? 'provisioning.entry-created' : 'provisioning.entry-updated', after, actor)
}

function resulting({ after }: EntryChange): RegistrationEntry {
  if (after === undefined) throw new TypeError('a deleted entry is no result')
  return after
}

/** Runs asynchronous work one at a time, in the order it came: what one check saw still holds when its effect comes. */
export function serializer(): <T>(work: () => Promise<T>) => Promise<T> {
  let last: Promise<unknown> = Promise.resolve()
  return (work) => {
    const next = last.then(work, work)
    last = next.catch(() => undefined)
    return next
  }
}
