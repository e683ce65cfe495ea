import type { Clock } from 'aims/base'
import { AimsError } from 'aims/base'
import type { Call, Reply, Route } from '../http/route.ts'
import type { Schema } from '../http/schema.ts'
import { AUTHORITY_PURPOSES, type Authorities, type AuthorityPurpose, type KeyInfo } from '../keys/authority-types.ts'
import type { StoredKeyBindings } from '../store/key-bindings.ts'
import { bundleRoute } from './bundle.ts'
import { actorOf, objectBody, textMember } from './read.ts'

const PURPOSE = { type: 'string', maxLength: 16, enum: AUTHORITY_PURPOSES } as const

/** The keys of the trust domain: what others trust, and their rotation. */
export function authorityRoutes(authorities: Authorities, bindings: StoredKeyBindings, clock: Clock): readonly Route[] {
  return [
    bundleRoute(authorities),
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
          purpose: PURPOSE,
          immediately: {
            type: 'boolean',
            description: 'Sign with it at once; verifiers with an older bundle refuse for a while',
          },
        },
        required: ['purpose'],
      },
      handle: async (call) => {
        await authorities.rotate(purposeOf(call), actorOf(call), { immediately: objectBody(call).immediately === true })
        return { status: 200, body: { keys: authorities.list() } }
      },
    },
    ...stepRoutes(authorities),
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

// One route for each step of an authority that an operator orders.
function stepRoutes(authorities: Authorities): readonly Route[] {
  const common = { method: 'POST', access: 'admin', entrances: ['unix', 'https'] } as const
  const named: Schema = {
    type: 'object',
    properties: { purpose: PURPOSE, id: { type: 'string', maxLength: 64 } },
    required: ['purpose', 'id'],
  }
  const answer = (key: KeyInfo): Reply => ({ status: 200, body: { key } })
  return [
    {
      ...common,
      path: '/v1/keys/prepare',
      summary: 'Publishes a successor, which signs when it is activated or when its time has come.',
      body: { type: 'object', properties: { purpose: PURPOSE }, required: ['purpose'] },
      handle: async (call) => answer(await authorities.prepare(purposeOf(call), actorOf(call))),
    },
    {
      ...common,
      path: '/v1/keys/activate',
      summary: 'Signs with the prepared key from now on.',
      body: {
        type: 'object',
        properties: {
          purpose: PURPOSE,
          force: { type: 'boolean', description: 'Also before keys.publishAhead is over; some verifiers will refuse' },
        },
        required: ['purpose'],
      },
      handle: async (call) => {
        const force = objectBody(call).force === true
        return answer(await authorities.activate(purposeOf(call), actorOf(call), { force }))
      },
    },
    {
      ...common,
      path: '/v1/keys/taint',
      summary: 'Has everything replaced at once that a retired key has signed; the key stays in the bundle.',
      body: named,
      handle: async (call) =>
        answer(await authorities.taint(purposeOf(call), textMember(objectBody(call), 'id'), actorOf(call))),
    },
    {
      ...common,
      path: '/v1/keys/revoke',
      summary: 'Takes a tainted or prepared key out of the bundle at once and destroys it.',
      body: named,
      handle: async (call) =>
        answer(await authorities.revoke(purposeOf(call), textMember(objectBody(call), 'id'), actorOf(call))),
    },
  ]
}

function purposeOf(call: Call): AuthorityPurpose {
  const wanted = textMember(objectBody(call), 'purpose')
  const purpose = AUTHORITY_PURPOSES.find((one) => one === wanted)
  if (purpose === undefined) throw new AimsError('operation.request_malformed', 'no such purpose')
  return purpose
}
