import { AimsError } from 'aims/base'
import type { RegistrationEntry } from 'aims/provisioning'
import type { Actor, EntryRegistry } from '../entries.ts'
import type { Call, Route } from '../http/route.ts'
import type { Delegations } from '../registration/delegation.ts'
import { actorOf } from './read.ts'

/** Registration entries: who is who in the trust domain. Registrars see and change those that were delegated to them. */
export function entryRoutes(entries: EntryRegistry, delegations: Delegations): readonly Route[] {
  const common = { access: 'registrar', entrances: ['unix', 'https'] } as const
  const actor = (call: Call): Actor => registrationActor(call, delegations)
  return [
    {
      ...common,
      method: 'GET',
      path: '/v1/entries',
      summary: 'Lists all registration entries; for a registrar, its own.',
      handle: (call) => {
        const caller = actor(call)
        const list = entries.list()
        const open = caller.delegation === undefined ? list : list.filter((entry) => entries.isOpenTo(entry, caller))
        return { status: 200, body: { entries: open } }
      },
    },
    {
      ...common,
      method: 'POST',
      path: '/v1/entries',
      summary:
        'Registers an entry. Everything but spiffeId and selectors has a default; agents need owner and purpose.',
      query: { reuseRetired: 'true: give a SPIFFE ID again that a deleted entry had; for administrators' },
      body: { type: 'object', description: 'A registration entry' },
      handle: async (call) => {
        const reuseRetired = call.query.reuseRetired === 'true'
        return { status: 201, body: await entries.create(call.body, actor(call), { reuseRetired }) }
      },
    },
    {
      ...common,
      method: 'GET',
      path: '/v1/entries/{id}',
      summary: 'Shows one registration entry.',
      handle: (call) => ({ status: 200, body: visible(entries, call.params.id ?? '', actor(call)) }),
    },
    {
      ...common,
      method: 'PUT',
      path: '/v1/entries/{id}',
      summary: 'Replaces an entry. Its id and SPIFFE ID stay.',
      query: { revision: 'the revision that is replaced; another one in the store is a conflict' },
      body: { type: 'object', description: 'A registration entry' },
      handle: async (call) => {
        const revision = Number(call.query.revision)
        if (!Number.isSafeInteger(revision)) {
          throw new AimsError('operation.request_malformed', 'the query parameter revision is needed')
        }
        return { status: 200, body: await entries.update(call.params.id ?? '', call.body, revision, actor(call)) }
      },
    },
    {
      ...common,
      method: 'DELETE',
      path: '/v1/entries/{id}',
      summary: 'Deletes an entry. Its SPIFFE ID is not given to another.',
      handle: async (call) => {
        await entries.remove(call.params.id ?? '', actor(call))
        return { status: 204 }
      },
    },
  ]
}

/** Who changes entries, and what was delegated to it. Administrators are under no delegation. */
export function registrationActor(call: Call, delegations: Delegations): Actor {
  if (call.caller.access.has('admin')) return actorOf(call)
  const delegation = delegations.get(call.caller.name)
  if (delegation === undefined) throw new AimsError('operation.not_permitted', 'nothing was delegated to this caller')
  return { ...actorOf(call), delegation }
}

// What is not open to a registrar does not exist for it.
function visible(entries: EntryRegistry, id: string, actor: Actor): RegistrationEntry {
  const entry = entries.find(id)
  if (entry !== undefined && entries.isOpenTo(entry, actor)) return entry
  throw new AimsError('provisioning.entry_not_found', 'no entry has this id')
}
