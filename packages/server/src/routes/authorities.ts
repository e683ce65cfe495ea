import type { Clock } from 'aims/base'
import { AimsError } from 'aims/base'
import { serializeBundle } from 'aims/credentials'
import type { Route } from '../http/route.ts'
import { AUTHORITY_PURPOSES, type Authorities } from '../keys/authorities.ts'
import type { StoredKeyBindings } from '../store/key-bindings.ts'
import { actorOf, objectBody, textMember } from './read.ts'

/** The keys of the trust domain: what others trust, and their rotation. */
export function authorityRoutes(authorities: Authorities, bindings: StoredKeyBindings, clock: Clock): readonly Route[] {
  return [
    {
      method: 'GET',
      path: '/v1/bundle',
      access: 'public',
      entrances: ['unix', 'https'],
      summary: 'Gives the SPIFFE bundle of the trust domain.',
      query: { include: 'wit-svid: also the keys of WITs, which older readers do not know' },
      handle: ({ query }) => {
        const { include } = query
        if (include !== undefined && include !== 'wit-svid') {
          throw new AimsError('operation.request_malformed', 'include is wit-svid')
        }
        const content = serializeBundle(authorities.bundle(), { includeWit: include === 'wit-svid' })
        return { status: 200, text: { type: 'application/json', content } }
      },
    },
    {
      method: 'GET',
      path: '/v1/keys',
      access: 'admin',
      entrances: ['unix', 'https'],
      summary: 'Lists the signing keys of the trust domain with their state and times.',
      handle: () => ({ status: 200, body: { keys: authorities.list() } }),
    },
    {
      method: 'POST',
      path: '/v1/keys/rotate',
      access: 'admin',
      entrances: ['unix', 'https'],
      summary: 'Publishes a new key now and signs with it after the publication delay, or at once.',
      body: {
        type: 'object',
        properties: {
          purpose: { type: 'string', maxLength: 16, enum: AUTHORITY_PURPOSES },
          immediately: {
            type: 'boolean',
            description: 'Sign with it at once; verifiers with an older bundle refuse for a while',
          },
        },
        required: ['purpose'],
      },
      handle: async (call) => {
        const body = objectBody(call)
        const wanted = textMember(body, 'purpose')
        const purpose = AUTHORITY_PURPOSES.find((one) => one === wanted)
        if (purpose === undefined) throw new AimsError('operation.request_malformed', 'no such purpose')
        await authorities.rotate(purpose, actorOf(call), { immediately: body.immediately === true })
        return { status: 200, body: { keys: authorities.list() } }
      },
    },
    {
      method: 'GET',
      path: '/v1/confirmation-keys',
      access: 'reporter',
      entrances: ['unix', 'https'],
      summary: 'Gives the public key that was registered for a subject under cnf.kid, profile aims-00.',
      query: { subject: 'the SPIFFE ID', kid: 'cnf.kid' },
      handle: ({ query: { subject = '', kid = '' } }) => {
        const jwk = bindings.find(subject, kid, clock())
        if (jwk === undefined) {
          throw new AimsError('credential.unresolved_confirmation', 'no such key is registered for this subject')
        }
        return { status: 200, text: { type: 'application/json', content: jwk } }
      },
    },
  ]
}
