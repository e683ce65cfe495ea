import type { Observer } from 'aims/base'
import { parseWorkloadSpiffeId } from 'aims/identifiers'
import type { Route } from '../http/route.ts'
import type { AttestedThings } from '../store/attested-things.ts'
import { actorOf, objectBody, textMember } from './read.ts'

/** What an operator does about machines that were attested. */
export function attestedThingRoutes(things: AttestedThings, observer: Observer): readonly Route[] {
  return [
    {
      method: 'POST',
      path: '/v1/attestation/forget',
      access: 'admin',
      entrances: ['unix', 'https'],
      summary: 'Forgets what was attested for a SPIFFE ID: its next attestation is a first one, by whatever key.',
      body: {
        type: 'object',
        properties: { spiffeId: { type: 'string', maxLength: 2048 } },
        required: ['spiffeId'],
      },
      handle: async (call) => {
        const spiffeId = parseWorkloadSpiffeId(textMember(objectBody(call), 'spiffeId'))
        const { name, method, correlationId } = actorOf(call)
        await observer.record({
          type: 'attestation.forgotten',
          agent: { id: name, method },
          resource: { type: 'identity', id: spiffeId },
          action: 'forget',
          decision: 'allow',
          correlationId,
        })
        return { status: 200, body: { forgotten: things.forget(spiffeId) } }
      },
    },
  ]
}
