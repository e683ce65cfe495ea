import { AimsError } from 'aims/base'
import { REVOCATION_TYPES } from 'aims/credentials'
import type { SpiffeId } from 'aims/identifiers'
import type { ChangeFeed } from '../change-feed.ts'
import type { EntryRegistry } from '../entries.ts'
import type { Call, Route } from '../http/route.ts'
import type { Schema } from '../http/schema.ts'
import type { Retirement } from '../revocation/retirement.ts'
import type { Revocations } from '../revocation/revocations.ts'
import { actorOf, objectBody, textMember } from './read.ts'

/** What the routes work with. */
export interface RevocationRoutesOptions {
  readonly revocations: Revocations
  readonly retirement: Retirement
  readonly entries: EntryRegistry
  /** Tells of changes of the revocations alone. */
  readonly changes: ChangeFeed
}

/** How long a verifier is kept waiting for a revocation, in milliseconds: lists are confirmed as often. */
const LONG_POLL = 10_000

const REASON: Schema = { type: 'string', maxLength: 1024, description: 'For the record' }
const SPIFFE_ID: Schema = { type: 'string', maxLength: 2048 }

/** What is revoked, and how to end agents. */
export function revocationRoutes(options: RevocationRoutesOptions): readonly Route[] {
  const { revocations, retirement, entries, changes } = options
  const admin = { access: 'admin', entrances: ['unix', 'https'] } as const
  return [
    {
      method: 'GET',
      path: '/v1/revocations',
      access: 'public',
      entrances: ['unix', 'https'],
      summary: 'Gives the signed list of what is revoked; with after, waits up to 10 s until there is another one.',
      query: { after: 'the sequence number of the list that the verifier has' },
      handle: async ({ query, signal }) => {
        const after = Number(query.after ?? Number.NaN)
        if (Number.isSafeInteger(after)) await waitOrNot(changes, after, signal)
        return { status: 200, body: { list: await revocations.list() } }
      },
    },
    {
      ...admin,
      method: 'POST',
      path: '/v1/revocations',
      summary: 'Revokes what was issued to an identity and its sub-agents, or one token, certificate or key.',
      body: {
        type: 'object',
        properties: {
          type: { type: 'string', maxLength: 16, enum: REVOCATION_TYPES },
          value: { ...SPIFFE_ID, description: 'SPIFFE ID, jti, serial number in hex, or key thumbprint' },
          reason: REASON,
        },
        required: ['type', 'value'],
      },
      handle: async (call) => {
        const body = objectBody(call)
        const type = REVOCATION_TYPES.find((one) => one === body.type)
        if (type === undefined) throw new AimsError('operation.request_malformed', 'no such type')
        const request = { type, value: textMember(body, 'value'), ...reasonOf(call) }
        const revocation = await retirement.revoke(request, actorOf(call))
        return { status: 201, body: { ...revocation, sequence: revocations.sequence() } }
      },
    },
    {
      ...admin,
      method: 'POST',
      path: '/v1/retirements',
      summary: 'Ends an agent: revokes all it and its sub-agents have, and deletes its entry.',
      body: { type: 'object', properties: { spiffeId: SPIFFE_ID, reason: REASON }, required: ['spiffeId'] },
      handle: async (call) => {
        const { reason } = reasonOf(call)
        const spiffeId = await retirement.retire(textMember(objectBody(call), 'spiffeId'), reason, actorOf(call))
        return { status: 201, body: { spiffeId, sequence: revocations.sequence() } }
      },
    },
    {
      ...admin,
      method: 'GET',
      path: '/v1/retirements',
      summary: 'Shows the last entry that a retired SPIFFE ID had, and when it ended.',
      query: { spiffeId: 'the SPIFFE ID' },
      handle: ({ query: { spiffeId = '' } }) => {
        const retired = entries.findRetired(spiffeId as SpiffeId)
        if (retired === undefined) {
          throw new AimsError('provisioning.entry_not_found', 'no entry that is gone had this SPIFFE ID')
        }
        return { status: 200, body: retired }
      },
    },
  ]
}

// Who cannot wait, because too many do, has the list as of now and comes back.
async function waitOrNot(changes: ChangeFeed, after: number, signal: AbortSignal): Promise<void> {
  try {
    await changes.wait(after, { timeout: LONG_POLL, signal })
  } catch (error) {
    if (!AimsError.is(error) || error.code !== 'operation.busy') throw error
  }
}

function reasonOf(call: Call): { readonly reason?: string } {
  const { reason } = objectBody(call)
  return typeof reason === 'string' ? { reason } : {}
}
