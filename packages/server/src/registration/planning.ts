import { randomUUID } from 'node:crypto'
import { AimsError, type AimsErrorCode, isJsonObject, type JsonValue } from 'aims/base'
import {
  createEntryIndex,
  type EntryPlan,
  type PlanProblem,
  type PruneScope,
  planEntries,
  type RegistrationEntry,
} from 'aims/provisioning'
import type { Actor } from '../entries.ts'
import type { EntryStore } from '../store/entry-store.ts'
import { type EntryDemands, isNameRetired, isOpenTo, readWantedEntry } from './entry-rules.ts'

/** What somebody wants to be registered. */
export interface PlanRequest {
  readonly entries: readonly JsonValue[]
  /** Delete what is in this scope and not among `entries`. */
  readonly prune?: PruneScope
  /** Give SPIFFE IDs again that deleted entries had. */
  readonly reuseRetired?: boolean
}

/** A plan, with what the server itself does not take among its problems. */
export interface ServerPlan extends Omit<EntryPlan, 'problems'> {
  readonly problems: readonly (Omit<PlanProblem, 'code'> & { readonly code: AimsErrorCode })[]
}

/** Plans for a caller: it sees, changes and deletes only what is open to it. Nothing is changed or recorded. */
export function planFor(request: PlanRequest, actor: Actor, store: EntryStore, demands: EntryDemands): ServerPlan {
  const isOpen = (entry: RegistrationEntry) => isOpenTo(entry, actor, demands.delegations)
  const problems: ServerPlan['problems'][number][] = []
  const wanted: RegistrationEntry[] = []
  const places: number[] = []
  const unnamed = new Set<number>()
  for (const [index, input] of request.entries.entries()) {
    try {
      const entry = readWantedEntry(input, randomUUID(), actor, demands)
      if (isJsonObject(input) && input.id === undefined) unnamed.add(wanted.length)
      wanted.push(entry)
      places.push(index)
    } catch (error) {
      if (!AimsError.is(error)) throw error
      problems.push({ index, code: error.code, message: error.message })
    }
  }
  const { prune, reuseRetired = false } = request
  const all = store.list()
  const plan = planEntries({
    current: createEntryIndex(actor.delegation === undefined ? all : all.filter(isOpen)),
    wanted,
    unnamed,
    // What could not be read may be what is registered: nothing is deleted on half a picture.
    ...(prune === undefined || problems.length > 0 ? {} : { prune }),
    isIdUsed: store.isIdUsed,
    isRetired: ({ spiffeId }) => !reuseRetired && isNameRetired(store, spiffeId),
  })
  const found = plan.problems.map((one) => ({ ...one, index: places[one.index] ?? one.index }))
  return { ...plan, problems: [...problems, ...found].sort((a, b) => a.index - b.index) }
}

/** A scope of a request. @throws {@link AimsError} `operation.request_malformed` */
export function readScope(input: JsonValue | undefined): PruneScope | undefined {
  if (input === undefined) return undefined
  if (!isJsonObject(input)) throw malformed('prune is an object')
  const { idPrefix, owner } = input
  if (idPrefix !== undefined && (typeof idPrefix !== 'string' || !/^\/(?:[^/]+\/)*$/.test(idPrefix))) {
    throw malformed('prune.idPrefix is a path with a slash at both ends, such as /team-a/')
  }
  if (owner !== undefined && (typeof owner !== 'string' || owner === '')) throw malformed('prune.owner is a text')
  if (idPrefix === undefined && owner === undefined) throw malformed('prune has idPrefix, owner or both')
  return { ...(idPrefix === undefined ? {} : { idPrefix }), ...(owner === undefined ? {} : { owner }) }
}

/** One change of a plan as it comes back. */
export type WantedChange =
  | { readonly action: 'create'; readonly entry: JsonValue }
  | { readonly action: 'update'; readonly id: string; readonly revision: number; readonly entry: JsonValue }
  | { readonly action: 'delete'; readonly id: string; readonly revision: number }

/** Reads the changes of a plan. What is more in them is for people. @throws {@link AimsError} `operation.request_malformed` */
export function readChanges(input: JsonValue | undefined): readonly WantedChange[] {
  if (!Array.isArray(input)) throw malformed('changes is an array')
  return input.map((one: JsonValue, index) => {
    const wrong = (reason: string): AimsError => malformed(`changes[${index}]: ${reason}`)
    if (!isJsonObject(one)) throw wrong('an object is needed')
    const { action, id, revision, entry } = one
    if (action === 'create') {
      if (!isJsonObject(entry)) throw wrong('entry is an object')
      return { action, entry }
    }
    if (action !== 'update' && action !== 'delete') throw wrong('action is create, update or delete')
    if (typeof id !== 'string' || typeof revision !== 'number') throw wrong('id and revision are needed')
    if (action === 'delete') return { action, id, revision }
    if (!isJsonObject(entry)) throw wrong('entry is an object')
    return { action, id, revision, entry }
  })
}

function malformed(message: string): AimsError {
  return new AimsError('operation.request_malformed', message)
}
