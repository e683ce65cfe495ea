import { AimsError, isJsonObject, type JsonValue } from 'aims/base'
import { serializeBundle } from 'aims/credentials'
import { parseWorkloadSpiffeId } from 'aims/identifiers'
import type { Downstream, DownstreamServer, ProvenKey } from '../downstream/downstream.ts'
import type { Call, Route } from '../http/route.ts'
import type { Authorities } from '../keys/authority-types.ts'
import { JWK, KEY_PROOF } from './attestation.ts'
import { objectBody, objectMember, textMember } from './read.ts'

const PROVEN = { publicKey: JWK, keyProof: KEY_PROOF } as const
const MAX_KEYS = 16

/** What servers below this one ask for. They are known by the X.509-SVID of the connection, so over HTTPS only. */
export function downstreamRoutes(downstream: Downstream, authorities: Authorities): readonly Route[] {
  const common = { access: 'downstream', entrances: ['https'] } as const
  return [
    {
      ...common,
      method: 'GET',
      path: '/v1/downstream',
      summary: 'Says how long the CA of the calling server may live.',
      handle: () => ({ status: 200, body: { longestLife: downstream.longestLife() } }),
    },
    {
      ...common,
      method: 'POST',
      path: '/v1/downstream/ca',
      summary: 'Certifies the CA of the calling server, which is below this one in the same trust domain.',
      body: {
        type: 'object',
        properties: { ...PROVEN, notAfter: { type: 'integer', minimum: 1, maximum: 253_402_300_799 } },
        required: ['publicKey', 'keyProof', 'notAfter'],
      },
      handle: async (call) => {
        const body = objectBody(call)
        const order = { ...provenKey(body), notAfter: Number(body.notAfter) }
        const chain = await downstream.certify(serverOf(call), order, call.id)
        return { status: 201, body: { chain: chain.map((der) => Buffer.from(der).toString('base64')) } }
      },
    },
    {
      ...common,
      method: 'PUT',
      path: '/v1/downstream/keys',
      summary: 'Takes the keys with which the calling server signs tokens into the bundle, in place of those before.',
      body: {
        type: 'object',
        properties: {
          keys: {
            type: 'array',
            maxItems: MAX_KEYS,
            items: {
              type: 'object',
              properties: { ...PROVEN, purpose: { type: 'string', maxLength: 8, enum: ['jwt', 'wit'] } },
              required: ['purpose', 'publicKey', 'keyProof'],
            },
          },
        },
        required: ['keys'],
      },
      handle: async (call) => {
        const { keys } = objectBody(call)
        const given = (Array.isArray(keys) ? keys : []).map((one: JsonValue) => ({
          ...provenKey(one),
          purpose: isJsonObject(one) && one.purpose === 'wit' ? ('wit' as const) : ('jwt' as const),
        }))
        await downstream.publish(serverOf(call), given, call.id)
        return { status: 200, body: { bundle: serializeBundle(authorities.bundle(), { includeWit: true }) } }
      },
    },
  ]
}

function serverOf({ caller: { name, credential } }: Call): DownstreamServer {
  if (credential === undefined) throw new AimsError('operation.not_permitted', 'an X.509-SVID is needed')
  return { id: parseWorkloadSpiffeId(name), serialNumber: credential.id }
}

function provenKey(value: JsonValue): ProvenKey {
  const object = isJsonObject(value) ? value : {}
  return { publicKey: objectMember(object, 'publicKey'), keyProof: textMember(object, 'keyProof') }
}
