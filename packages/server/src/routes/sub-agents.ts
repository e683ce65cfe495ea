import { AimsError, type Clock, isJsonObject, type JsonObject, type JsonValue } from 'aims/base'
import { type BundleSource, requireNotRevoked, type VerifiedWit, verifyWit } from 'aims/credentials'
import { parseWorkloadSpiffeId, type SpiffeId, type TrustDomain } from 'aims/identifiers'
import {
  isSubAgentOf,
  MAX_BATCH,
  type RegistrationEntry,
  type SubAgentMint,
  type SubAgentOrder,
  type SubAgentRoot,
} from 'aims/provisioning'
import type { Call, Route } from '../http/route.ts'
import type { Revocations } from '../revocation/revocations.ts'
import type { SubAgentStore } from '../store/sub-agent-store.ts'
import { actorOf, objectBody, textMember, textsMember } from './read.ts'

/** What the routes work with. */
export interface SubAgentRoutesOptions {
  readonly mint: SubAgentMint
  readonly register: Pick<SubAgentStore, 'endOf'>
  readonly revocations: Revocations
  readonly bundles: BundleSource
  readonly trustDomain: TrustDomain
  readonly clock: Clock
  findBySubject(subject: SpiffeId): RegistrationEntry | undefined
}

const TOKEN = { type: 'string', maxLength: 8192 } as const

/** Sub-agents of attested agents. Who asks is known by the X.509-SVID of the connection, so over HTTPS only. */
export function subAgentRoutes(options: SubAgentRoutesOptions): readonly Route[] {
  const { mint, register, revocations } = options
  const common = { method: 'POST', access: 'reporter', entrances: ['https'] } as const
  return [
    {
      ...common,
      path: '/v1/sub-agents',
      summary: 'Makes sub-agents of the caller, or of one of its sub-agents: all, or none.',
      maxBody: 512 * 1024,
      body: {
        type: 'object',
        properties: {
          parent: { ...TOKEN, description: 'WIT of the sub-agent below which they come. Absent: below the caller' },
          subAgents: {
            type: 'array',
            maxItems: MAX_BATCH,
            items: {
              type: 'object',
              properties: {
                name: { type: 'string', maxLength: 64 },
                publicKey: { type: 'object', description: 'Public JWK of the sub-agent' },
                ttl: { type: 'integer', minimum: 1, maximum: 86_400 },
                rights: { type: 'array', maxItems: 32, items: { type: 'string', maxLength: 1024 } },
              },
              required: ['publicKey', 'rights'],
            },
          },
        },
        required: ['subAgents'],
      },
      handle: async (call) => {
        const body = objectBody(call)
        const given = Array.isArray(body.subAgents) ? body.subAgents : []
        if (given.length === 0) throw new AimsError('operation.request_malformed', 'subAgents is empty')
        const parent = typeof body.parent === 'string' ? verifyParent(body.parent, options) : undefined
        const subAgents = await mint.mint({
          root: rootOf(call),
          orders: given.map(orderOf),
          correlationId: call.id,
          ...(parent === undefined ? {} : { parent }),
        })
        return { status: 201, body: { subAgents } }
      },
    },
    {
      ...common,
      path: '/v1/sub-agents/revocations',
      summary: 'Revokes a sub-agent of the caller, and the sub-agents of that one.',
      body: {
        type: 'object',
        properties: { spiffeId: { type: 'string', maxLength: 2048 } },
        required: ['spiffeId'],
      },
      handle: async (call) => {
        const { id } = rootOf(call)
        const spiffeId = parseWorkloadSpiffeId(textMember(objectBody(call), 'spiffeId'))
        const limits = options.findBySubject(id)?.subAgents
        const isOwn = isSubAgentOf(spiffeId, id, (one) => options.findBySubject(one) !== undefined)
        if (limits === undefined || !isOwn) {
          throw new AimsError('provisioning.sub_agents_not_allowed', 'the identity is no sub-agent of the caller')
        }
        // It may have come when the entry still allowed a longer life. Those below it end no later.
        const left = Math.ceil((register.endOf(spiffeId) ?? 0) - options.clock())
        const byAgent = { root: id, longestLife: Math.max(limits.maxTtl, left) }
        const request = { type: 'subject', value: spiffeId, byAgent } as const
        return { status: 201, body: { ...(await revocations.revoke(request, actorOf(call))) } }
      },
    },
  ]
}

function rootOf({ caller: { name, method, credential, expiresAt } }: Call): SubAgentRoot {
  if (method !== 'mtls' || credential === undefined || expiresAt === undefined) {
    throw new AimsError('operation.not_permitted', 'sub-agents are asked for with an X.509-SVID')
  }
  return { id: parseWorkloadSpiffeId(name), credential, expiresAt }
}

function verifyParent(token: string, options: SubAgentRoutesOptions): VerifiedWit {
  const { bundles, trustDomain, revocations, clock } = options
  const now = clock()
  const wit = verifyWit(token, { bundles, trustDomain, profile: 'wimse', now })
  const { subject, issuedAt, id, confirmation } = wit
  const keyThumbprint = () => confirmation.thumbprint
  requireNotRevoked(revocations, { kind: 'wit', subject, issuedAt, id, keyThumbprint }, now)
  return wit
}

function orderOf(value: JsonValue): SubAgentOrder {
  const order: JsonObject = isJsonObject(value) ? value : {}
  const { name, publicKey, ttl } = order
  if (!isJsonObject(publicKey)) throw new AimsError('operation.request_malformed', 'publicKey is a JWK')
  return {
    publicKey,
    rights: textsMember(order, 'rights'),
    ...(typeof name === 'string' ? { name } : {}),
    ...(typeof ttl === 'number' ? { ttl } : {}),
  }
}
