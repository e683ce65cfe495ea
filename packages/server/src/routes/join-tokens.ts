import { AimsError, type AuditEvent, type Clock, type Observer } from 'aims/base'
import type { Call, Route } from '../http/route.ts'
import type { Schema } from '../http/schema.ts'
import type { JoinTokens } from '../store/join-tokens.ts'
import { actorOf, objectBody, textMember } from './read.ts'

/** Seconds. */
const DEFAULT_TTL = 600
const MAX_TTL = 7 * 86_400

const CREATE: Schema = {
  type: 'object',
  properties: {
    name: {
      type: 'string',
      maxLength: 64,
      pattern: '^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$',
      description: 'Becomes the selector join-token:name:NAME; several tokens may have the same',
    },
    for: {
      type: 'string',
      maxLength: 8,
      enum: ['workload', 'agent'],
      description: 'Who gets in by it: one workload, or one machine as an agent. Default workload',
    },
    ttl: { type: 'integer', minimum: 1, maximum: MAX_TTL, description: `Seconds; default ${DEFAULT_TTL}` },
  },
  required: ['name'],
}

/** Join tokens: each lets one machine or job in, once. */
export function joinTokenRoutes(tokens: JoinTokens, clock: Clock, observer: Observer): readonly Route[] {
  const common = { access: 'admin', entrances: ['unix', 'https'] } as const
  return [
    {
      ...common,
      method: 'POST',
      path: '/v1/join-tokens',
      summary: 'Makes a join token. The answer is the only place where it is ever shown.',
      body: CREATE,
      handle: async (call) => {
        const body = objectBody(call)
        const name = textMember(body, 'name')
        const ttl = typeof body.ttl === 'number' ? body.ttl : DEFAULT_TTL
        const use = body.for === 'agent' ? 'agent' : 'workload'
        await observer.record(changed('provisioning.join-token-created', name, call, { ttl, for: use }))
        return { status: 201, body: tokens.create({ name, use, ttl }, clock()) }
      },
    },
    {
      ...common,
      method: 'GET',
      path: '/v1/join-tokens',
      summary: 'Lists the join tokens that wait to be used, by their hashes.',
      handle: () => ({ status: 200, body: { tokens: tokens.list(clock()) } }),
    },
    {
      ...common,
      method: 'DELETE',
      path: '/v1/join-tokens/{id}',
      summary: 'Takes a join token back that was not used.',
      handle: async (call) => {
        const id = call.params.id ?? ''
        const waiting = tokens.list(clock()).find((one) => one.id === id)
        if (waiting === undefined) throw new AimsError('attestation.token_unknown', 'no such join token waits')
        await observer.record(changed('provisioning.join-token-revoked', waiting.name, call, {}))
        tokens.revoke(id)
        return { status: 204 }
      },
    },
  ]
}

function changed(
  type: 'provisioning.join-token-created' | 'provisioning.join-token-revoked',
  name: string,
  call: Call,
  details: { readonly [name: string]: number | string },
): AuditEvent {
  const actor = actorOf(call)
  return {
    type,
    agent: { id: actor.name, method: actor.method },
    resource: { type: 'join-token', id: name },
    action: type.slice(type.lastIndexOf('-') + 1),
    decision: 'allow',
    correlationId: actor.correlationId,
    details,
  }
}
