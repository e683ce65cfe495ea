import { randomUUID } from 'node:crypto'
import {
  type EvidenceVerifiers,
  findUnixSelectorProblem,
  readAppraisalPolicy,
  readManifestPolicy,
} from 'aims/attestation'
import {
  AimsError,
  type AuditEvent,
  type Clock,
  canonicalJson,
  type JsonValue,
  type Observer,
  sha256Base64url,
} from 'aims/base'
import { pathOf, type SpiffeId, type TrustDomain } from 'aims/identifiers'
import { entryToJson, parseEntry, type RegistrationEntry, requireAgentRules, type TtlRules } from 'aims/provisioning'
import type { EntryStore, RetiredEntry } from './store/entry-store.ts'

/** Who changes something, for the record. */
export interface Actor {
  /** E.g. `unix:uid:0` or a SPIFFE ID. */
  readonly name: string
  readonly method: string
  readonly correlationId: string
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
  /** Makes an entry a newer one without changing it, so that agents fetch its credentials anew. @throws {@link AimsError} `provisioning.entry_not_found` */
  touch(id: string, actor: Actor): Promise<void>
  /** The newest deleted entry that had this SPIFFE ID. */
  findRetired(subject: SpiffeId): RetiredEntry | undefined
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
export interface EntryRegistryOptions {
  readonly store: EntryStore
  readonly trustDomain: TrustDomain
  readonly ttls: TtlRules
  readonly clock: Clock
  readonly observer: Observer
  /** Paths below which agents are. */
  readonly agentPrefixes: readonly string[]
  /** Who reads the appraisal policies of entries. */
  readonly verifiers: EvidenceVerifiers
}

/** Makes the registry over a store. */
export function createEntryRegistry(options: EntryRegistryOptions): EntryRegistry {
  const { store, trustDomain, ttls, clock, observer, verifiers, agentPrefixes } = options
  const listeners = new Set<(change: EntryChange) => void>()
  const oneAtATime = serializer()

  const apply = async (event: AuditEvent, change: EntryChange, effect: () => void): Promise<void> => {
    await observer.record(event)
    effect()
    for (const listener of listeners) listener(change)
  }
  const existing = (id: string): RegistrationEntry => {
    const entry = store.find(id)
    if (entry === undefined) throw new AimsError('provisioning.entry_not_found', 'no entry has this id')
    return entry
  }

  return {
    find: (id) => store.find(id),
    findBySubject: (subject) => store.findBySubject(subject),
    match: (selectors) => store.match(selectors),
    size: () => store.size(),
    list: () => store.list(),
    create: (input, actor, { reuseRetired = false } = {}) =>
      oneAtATime(async () => {
        const entry = { ...parseEntry(input, { trustDomain, ttls, id: randomUUID() }), revision: 1 }
        requireFree(store, entry, reuseRetired)
        requireShowable(entry)
        requireAgentRules(entry, agentPrefixes)
        requireReadable(entry, verifiers)
        const change = { id: entry.id, after: entry }
        await apply(changeEvent('provisioning.entry-created', entry, actor), change, () => store.insert(entry))
        return entry
      }),
    update: (id, input, revision, actor) =>
      oneAtATime(async () => {
        const before = existing(id)
        if (before.revision !== revision) {
          throw new AimsError('provisioning.revision_conflict', `the entry is at revision ${before.revision}`)
        }
        const parsed = parseEntry(input, { trustDomain, ttls, id })
        if (parsed.id !== id || parsed.spiffeId !== before.spiffeId) {
          throw new AimsError('provisioning.subject_fixed', 'an entry keeps its id and its SPIFFE ID')
        }
        requireShowable(parsed)
        requireAgentRules(parsed, agentPrefixes)
        requireReadable(parsed, verifiers)
        const entry = { ...parsed, revision: before.revision + 1 }
        const change = { id, before, after: entry }
        await apply(changeEvent('provisioning.entry-updated', entry, actor), change, () => store.replace(entry))
        return entry
      }),
    remove: (id, actor) =>
      oneAtATime(async () => {
        const entry = existing(id)
        const change = { id, before: entry }
        await apply(changeEvent('provisioning.entry-deleted', entry, actor), change, () => store.retire(entry, clock()))
      }),
    touch: (id, actor) =>
      oneAtATime(async () => {
        const before = existing(id)
        const entry = { ...before, revision: before.revision + 1 }
        const change = { id, before, after: entry }
        await apply(changeEvent('provisioning.entry-updated', entry, actor), change, () => store.replace(entry))
      }),
    findRetired: (subject) => store.findRetired(subject),
    onChange(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
  }
}

/** SPIFFE IDs below this path are the system's own: nobody is registered there. */
const RESERVED_PATH = '/aims/'

// Here and not in the parser: an entry that is stored already is read as it is, and matches nobody.
function requireShowable({ selectors }: RegistrationEntry): void {
  for (const selector of selectors) {
    const problem = findUnixSelectorProblem(selector)
    if (problem !== undefined) throw new AimsError('provisioning.malformed_selector', problem)
  }
}

// A policy that nobody can read would refuse everybody when it is too late to ask.
function requireReadable({ attestation, manifest }: RegistrationEntry, verifiers: EvidenceVerifiers): void {
  if (attestation !== undefined) readAppraisalPolicy(attestation, verifiers)
  if (manifest !== undefined) readManifestPolicy(manifest)
}

function requireFree(store: EntryStore, entry: RegistrationEntry, reuseRetired: boolean): void {
  if (pathOf(entry.spiffeId).startsWith(RESERVED_PATH)) {
    throw new AimsError('provisioning.invalid_subject', `SPIFFE IDs below ${RESERVED_PATH} belong to AIMS itself`)
  }
  if (store.isIdUsed(entry.id)) throw new AimsError('provisioning.entry_exists', 'the id is, or was, in use')
  if (store.findBySubject(entry.spiffeId) !== undefined) {
    throw new AimsError('provisioning.subject_taken', 'another entry has this SPIFFE ID')
  }
  if (!reuseRetired && store.isRetired(entry.spiffeId)) {
    throw new AimsError('provisioning.subject_retired', 'a deleted entry had this SPIFFE ID')
  }
}

function changeEvent(type: AuditEvent['type'], entry: RegistrationEntry, actor: Actor): AuditEvent {
  return {
    type,
    agent: { id: actor.name, method: actor.method },
    resource: { type: 'entry', id: entry.id },
    action: type.slice(type.indexOf('entry-')),
    decision: 'allow',
    correlationId: actor.correlationId,
    details: {
      spiffeId: entry.spiffeId,
      revision: entry.revision,
      selectors: entry.selectors.join(' '),
      // Ties the record to the whole entry, however long it is (L2).
      contentHash: sha256Base64url(canonicalJson(entryToJson(entry))),
    },
  }
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
