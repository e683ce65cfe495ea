import { AimsError } from 'aims/base'
import type { EntryRegistry } from '../entries.ts'
import type { Route } from '../http/route.ts'
import { actorOf } from './read.ts'

/** Registration entries: who is who in the trust domain. */
export function entryRoutes(entries: EntryRegistry): readonly Route[] {
  const common = { access: 'admin', entrances: ['unix', 'https'] } as const
  return [
    {
      ...common,
      method: 'GET',
      path: '/v1/entries',
      summary: 'Lists all registration entries.',
      handle: () => ({ status: 200, body: { entries: entries.list() } }),
    },
    {
      ...common,
      method: 'POST',
      path: '/v1/entries',
      summary: 'Registers an entry. Everything but spiffeId and selectors has a default.',
      query: { reuseRetired: 'true: give a SPIFFE ID again that a deleted entry had' },
      body: { type: 'object', description: 'A registration entry' },
      handle: async (call) => {
        const reuseRetired = call.query.reuseRetired === 'true'
        return { status: 201, body: await entries.create(call.body, actorOf(call), { reuseRetired }) }
      },
    },
    {
      ...common,
      method: 'GET',
      path: '/v1/entries/{id}',
      summary: 'Shows one registration entry.',
      handle: ({ params }) => {
        const entry = entries.find(params.id ?? '')
        if (entry === undefined) throw new AimsError('provisioning.entry_not_found', 'no entry has this id')
        return { status: 200, body: entry }
      },
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
        return { status: 200, body: await entries.update(call.params.id ?? '', call.body, revision, actorOf(call)) }
      },
    },
    {
      ...common,
      method: 'DELETE',
      path: '/v1/entries/{id}',
      summary: 'Deletes an entry. Its SPIFFE ID is not given to another.',
      handle: async (call) => {
        await entries.remove(call.params.id ?? '', actorOf(call))
        return { status: 204 }
      },
    },
  ]
}
