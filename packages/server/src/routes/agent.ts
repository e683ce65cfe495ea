import { AimsError, importVerificationKey, isJsonObject, type JsonObject } from 'aims/base'
import { serializeBundle } from 'aims/credentials'
import type { IssuanceRequest, Issuer, KeyedIssuanceRequest } from 'aims/provisioning'
import type { ChangeFeed } from '../change-feed.ts'
import type { EntryRegistry } from '../entries.ts'
import type { Call, Route } from '../http/route.ts'
import type { Schema } from '../http/schema.ts'
import type { Authorities } from '../keys/authorities.ts'
import { objectBody, textMember, textsMember } from './read.ts'

/** What the node agent needs: the state of the trust domain, and signatures. */
export interface AgentRoutesOptions {
  readonly entries: EntryRegistry
  readonly authorities: Authorities
  readonly issuer: Issuer
  readonly changes: ChangeFeed
  readonly trustDomain: string
}

/** How long an agent is kept waiting for a change, in milliseconds. */
const LONG_POLL = 25_000

const TEXT = { type: 'string', maxLength: 256 } as const
const POSTURE: Schema = {
  type: 'object',
  description: 'What attestation found out; all selectors of the entry must be among these',
  properties: {
    type: TEXT,
    binding: TEXT,
    selectors: { type: 'array', maxItems: 128, items: { type: 'string', maxLength: 1024 } },
  },
  required: ['type', 'selectors'],
}
const BASE = { entryId: TEXT, posture: POSTURE, correlationId: TEXT }
const KEYED: Schema = {
  type: 'object',
  properties: { ...BASE, publicKey: { type: 'object', description: 'Public JWK of the workload' } },
  required: ['entryId', 'posture', 'publicKey'],
}
const AUDIENCES: Schema = {
  type: 'object',
  properties: { ...BASE, audiences: { type: 'array', maxItems: 16, items: { type: 'string', maxLength: 2048 } } },
  required: ['entryId', 'posture', 'audiences'],
}

/** The routes of the node agent. */
export function agentRoutes(options: AgentRoutesOptions): readonly Route[] {
  const { entries, authorities, issuer, changes, trustDomain } = options
  const common = { access: 'agent', entrances: ['unix'] } as const
  return [
    {
      ...common,
      method: 'GET',
      path: '/v1/agent/entries',
      summary: 'Gives all entries and the bundle; with after, waits until there is another state than that one.',
      query: { after: 'the revision of the state that the agent has' },
      handle: async ({ query, signal }) => {
        const after = Number(query.after ?? Number.NaN)
        if (Number.isSafeInteger(after)) await changes.wait(after, { timeout: LONG_POLL, signal })
        const revision = changes.revision()
        if (revision === after) return { status: 204 }
        // The bundle travels as text: its sequence number may be larger than JSON.parse can keep.
        const bundle = serializeBundle(authorities.bundle(), { includeWit: true })
        return { status: 200, body: { revision, trustDomain, bundle, entries: entries.list() } }
      },
    },
    {
      ...common,
      method: 'POST',
      path: '/v1/agent/x509-svids',
      summary: 'Issues an X.509-SVID for a public key of the workload.',
      body: KEYED,
      handle: async (call) => {
        const { certificates, serialNumber, notAfter } = await issuer.issueX509(keyedRequest(call))
        const chain = certificates.map((der) => Buffer.from(der).toString('base64'))
        return { status: 201, body: { chain, serialNumber, expiresAt: notAfter } }
      },
    },
    {
      ...common,
      method: 'POST',
      path: '/v1/agent/wits',
      summary: 'Issues a WIT for a public key of the workload.',
      body: KEYED,
      handle: async (call) => ({ status: 201, body: await issuer.issueWit(keyedRequest(call)) }),
    },
    {
      ...common,
      method: 'POST',
      path: '/v1/agent/jwt-svids',
      summary: 'Issues a JWT-SVID, a bearer credential, for the given audiences.',
      body: AUDIENCES,
      handle: async (call) => {
        const audiences = textsMember(objectBody(call), 'audiences')
        return { status: 201, body: await issuer.issueJwt({ ...issuanceRequest(call), audiences }) }
      },
    },
  ]
}

function keyedRequest(call: Call): KeyedIssuanceRequest {
  const jwk = objectBody(call).publicKey
  if (!isJsonObject(jwk)) throw new AimsError('operation.request_malformed', 'publicKey is a JWK')
  return { ...issuanceRequest(call), publicKey: importVerificationKey(jwk).key }
}

function issuanceRequest(call: Call): IssuanceRequest {
  const body = objectBody(call)
  const posture: JsonObject = isJsonObject(body.posture) ? body.posture : {}
  const binding = posture.binding
  return {
    entryId: textMember(body, 'entryId'),
    posture: {
      type: textMember(posture, 'type'),
      selectors: textsMember(posture, 'selectors'),
      ...(typeof binding === 'string' ? { binding } : {}),
    },
    correlationId: typeof body.correlationId === 'string' ? body.correlationId : call.id,
  }
}
