import type { JsonValue } from 'aims/base'
import type { EntryChange, EntryRegistry } from '../entries.ts'
import type { Route } from '../http/route.ts'
import type { Schema } from '../http/schema.ts'
import type { Delegations } from '../registration/delegation.ts'
import { readChanges, readScope } from '../registration/planning.ts'
import { registrationActor } from './entries.ts'
import { objectBody } from './read.ts'

/** Bytes of a plan, and changes in it: some thousand agents at a time. */
const MAX_PLAN = 16 * 1024 * 1024
const MAX_CHANGES = 20_000

const ANY: Schema = { type: 'object' }
const PLAN: Schema = {
  type: 'object',
  properties: {
    entries: {
      type: 'array',
      maxItems: MAX_CHANGES,
      items: ANY,
      description: 'Registration entries as they should be',
    },
    prune: { type: 'object', description: 'idPrefix, owner or both: delete what is there and not among the entries' },
    reuseRetired: { type: 'boolean', description: 'Give SPIFFE IDs again that deleted entries had' },
  },
  required: ['entries'],
}
const CHANGES: Schema = {
  type: 'object',
  properties: {
    changes: { type: 'array', maxItems: MAX_CHANGES, items: ANY, description: 'The changes of a plan' },
    reuseRetired: { type: 'boolean', description: 'As it was planned' },
  },
  required: ['changes'],
}

/** Many entries at once: what would change, and all of it or nothing. And what was deleted. */
export function entryPlanRoutes(entries: EntryRegistry, delegations: Delegations): readonly Route[] {
  const common = { access: 'registrar', entrances: ['unix', 'https'] } as const
  return [
    {
      ...common,
      method: 'POST',
      path: '/v1/entry-plans',
      summary: 'Says what would change if these entries were wanted: changes, warnings, problems. Changes nothing.',
      body: PLAN,
      maxBody: MAX_PLAN,
      handle: (call) => {
        const { entries: wanted, prune, reuseRetired } = objectBody(call)
        const scope = readScope(prune)
        const request = {
          entries: wanted as readonly JsonValue[],
          reuseRetired: reuseRetired === true,
          ...(scope === undefined ? {} : { prune: scope }),
        }
        return { status: 200, body: entries.plan(request, registrationActor(call, delegations)) }
      },
    },
    {
      ...common,
      method: 'POST',
      path: '/v1/entry-changes',
      summary: 'Does all changes of a plan in one transaction, or none if an entry changed since.',
      body: CHANGES,
      maxBody: MAX_PLAN,
      handle: async (call) => {
        const { changes, reuseRetired } = objectBody(call)
        const options = { reuseRetired: reuseRetired === true }
        const done = await entries.apply(readChanges(changes), registrationActor(call, delegations), options)
        return { status: 200, body: { applied: done.map(told) } }
      },
    },
    {
      ...common,
      access: 'admin',
      method: 'GET',
      path: '/v1/retired-entries',
      summary: 'Lists deleted entries: their ids and SPIFFE IDs are not given again.',
      handle: () => ({ status: 200, body: { retired: entries.listRetired() } }),
    },
  ]
}

function told({ id, before, after }: EntryChange): object {
  const action = after === undefined ? 'delete' : before === undefined ? 'create' : 'update'
  const { spiffeId, revision } = after ?? before ?? {}
  return { action, id, spiffeId, revision }
}
