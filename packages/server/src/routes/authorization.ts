import { AUTHENTICATION_METHODS, assumePrincipal, type Principal } from 'aims/authentication'
import {
  type AccessRequest,
  createAuthorizer,
  httpAction,
  type PolicyEngine,
  type RequestFacts,
  serviceResource,
  toolCall,
} from 'aims/authorization'
import { AimsError, isJsonObject, type JsonObject, type JsonValue, type Observer } from 'aims/base'
import { PROFILES } from 'aims/credentials'
import { parseWorkloadSpiffeId } from 'aims/identifiers'
import type { Route } from '../http/route.ts'
import type { Schema } from '../http/schema.ts'
import { objectBody, textMember, textsMember } from './read.ts'

const TEXT = { type: 'string', maxLength: 2048 } as const
const FLAG = { type: 'boolean' } as const

const BODY: Schema = {
  type: 'object',
  properties: {
    principal: {
      type: 'object',
      description: 'Who the caller has authenticated, and how',
      properties: {
        id: TEXT,
        method: { ...TEXT, enum: AUTHENTICATION_METHODS },
        profile: { ...TEXT, enum: PROFILES },
        credential: { type: 'object', properties: { type: TEXT, id: TEXT }, required: ['type', 'id'] },
        delegation: {
          type: 'object',
          description: 'Of a sub-agent: as its WIT has it. Without it, nothing limits a sub-agent but the policies',
          properties: { parent: TEXT, rights: { type: 'array', maxItems: 32, items: TEXT } },
          required: ['parent', 'rights'],
        },
        covers: { type: 'object', properties: { method: FLAG, target: FLAG, body: FLAG } },
      },
      required: ['id', 'method', 'credential'],
    },
    service: { ...TEXT, description: 'The service or MCP server that is called' },
    method: { ...TEXT, description: 'HTTP method; with path' },
    path: { ...TEXT, description: 'Request target' },
    tool: { ...TEXT, description: 'Name of an MCP tool, in place of method and path' },
    user: { type: 'object', properties: { issuer: TEXT, subject: TEXT }, required: ['issuer', 'subject'] },
    context: { type: 'object', description: 'Facts: text, whole numbers, booleans' },
  },
  required: ['principal', 'service'],
}

/**
 * The decision point for services that do not evaluate policies themselves. It believes the caller about who was
 * authenticated, so only services and agents of the trust domain may ask, and their name is in the record.
 */
export function authorizationRoutes(engine: PolicyEngine | undefined, observer: Observer): readonly Route[] {
  return [
    {
      method: 'POST',
      path: '/v1/decisions',
      access: 'reporter',
      entrances: ['unix', 'https'],
      summary: 'Decides whether an authenticated caller may do something, and records the decision.',
      body: BODY,
      handle: async (call) => {
        const request = accessRequest(objectBody(call))
        const reporting: Observer = {
          record: (event) => observer.record({ ...event, details: { ...event.details, reporter: call.caller.name } }),
        }
        const authorizer = createAuthorizer({ engine: engine ?? NO_POLICIES, observer: reporting })
        return { status: 200, body: await authorizer.authorize(request, call.id) }
      },
    },
  ]
}

// Without policies every answer is no.
const NO_POLICIES: PolicyEngine = { version: 'none', evaluate: () => ({ permits: [], forbids: [], failed: [] }) }

function accessRequest(body: JsonObject): AccessRequest {
  const service = parseWorkloadSpiffeId(textMember(body, 'service'))
  const { method, path, tool, user, context } = body
  if ((tool === undefined) === (path === undefined || method === undefined)) {
    throw new AimsError('operation.request_malformed', 'either method and path, or tool')
  }
  const what =
    tool === undefined
      ? { action: httpAction(String(method), String(path)), resource: serviceResource(service) }
      : toolCall(service, String(tool))
  return {
    principal: principal(isJsonObject(body.principal) ? body.principal : {}),
    ...what,
    ...(isJsonObject(user)
      ? { user: { issuer: textMember(user, 'issuer'), subject: textMember(user, 'subject') } }
      : {}),
    ...(isJsonObject(context) ? { context: facts(context) } : {}),
  }
}

// The word of the service that asks, whose own identity has been verified.
function principal(given: JsonObject): Principal {
  const id = parseWorkloadSpiffeId(textMember(given, 'id'))
  const method = AUTHENTICATION_METHODS.find((one) => one === given.method) ?? 'jwt-svid'
  const profile = PROFILES.find((one) => one === given.profile)
  const covers = isJsonObject(given.covers) ? given.covers : {}
  const credential = isJsonObject(given.credential) ? given.credential : {}
  const { delegation } = given
  return assumePrincipal({
    id,
    method,
    ...(profile === undefined ? {} : { profile }),
    credential: { type: textMember(credential, 'type'), id: textMember(credential, 'id') },
    covers: { method: covers.method === true, target: covers.target === true, body: covers.body === true },
    ...(isJsonObject(delegation)
      ? {
          delegation: {
            parent: parseWorkloadSpiffeId(textMember(delegation, 'parent')),
            rights: textsMember(delegation, 'rights'),
          },
        }
      : {}),
    // The service has looked at the time; the decision is for now.
    expiresAt: Number.MAX_SAFE_INTEGER,
  })
}

function facts(context: JsonObject): RequestFacts {
  const entries = Object.entries(context).map(([name, value]): [string, string | number | boolean] => {
    if (!isFact(value)) throw new AimsError('operation.request_malformed', 'context has text, numbers and booleans')
    return [name, value]
  })
  return Object.fromEntries(entries)
}

function isFact(value: JsonValue | undefined): value is string | number | boolean {
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean'
}
