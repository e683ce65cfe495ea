import { AimsError, type Clock, importKeyToCertify, isJsonObject, type JsonObject } from 'aims/base'
import { serializeBundle, type TrustBundle } from 'aims/credentials'
import type { TrustDomain } from 'aims/identifiers'
import {
  agentProofNonce,
  type IssuanceRequest,
  type Issuer,
  type KeyedIssuanceRequest,
  verifyKeyProof,
} from 'aims/provisioning'
import type { ChangeFeed } from '../change-feed.ts'
import type { EntryRegistry } from '../entries.ts'
import type { Federation } from '../federation/federation.ts'
import type { Call, Caller, Reply, Route } from '../http/route.ts'
import type { Schema } from '../http/schema.ts'
import type { Authorities } from '../keys/authority-types.ts'
import type { AgentRegistry } from '../nodes/agent-registry.ts'
import { type AgentView, viewOf } from '../nodes/agent-view.ts'
import type { EntryChanges } from '../nodes/entry-changes.ts'
import type { LiveInstances } from '../registration/live-instances.ts'
import type { Revocations } from '../revocation/revocations.ts'
import { federatedBody } from '../trust.ts'
import { objectBody, textMember, textsMember } from './read.ts'

/** What the node agent needs: the state of the trust domain, and signatures. */
export interface AgentRoutesOptions {
  readonly entries: EntryRegistry
  readonly authorities: Authorities
  readonly issuer: Issuer
  readonly changes: ChangeFeed
  readonly federation: Pick<Federation, 'bundles'>
  readonly entryChanges: EntryChanges
  readonly agents: Pick<AgentRegistry, 'present'>
  readonly endings: { readonly revocations: Pick<Revocations, 'sequence'> }
  readonly trustDomain: TrustDomain
  readonly live: LiveInstances
  readonly clock: Clock
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
  properties: {
    ...BASE,
    publicKey: { type: 'object', description: 'Public JWK of the workload' },
    keyProof: {
      type: 'string',
      maxLength: 4096,
      description: 'From agents on other hosts: JWS of the key, typ aims-key-proof+jwt, for this agent and entry',
    },
  },
  required: ['entryId', 'posture', 'publicKey'],
}
const AUDIENCES: Schema = {
  type: 'object',
  properties: { ...BASE, audiences: { type: 'array', maxItems: 16, items: { type: 'string', maxLength: 2048 } } },
  required: ['entryId', 'posture', 'audiences'],
}

/**
 * The routes of node agents: that of this host by the Unix socket, those of others by HTTPS. Each sees the entries that are
 * its own, and asks for credentials of those alone.
 */
export function agentRoutes(options: AgentRoutesOptions): readonly Route[] {
  const { issuer, trustDomain } = options
  const common = { access: 'agent', entrances: ['unix', 'https'] } as const

  const keyed = (call: Call, type: 'x509-svid' | 'wit'): KeyedIssuanceRequest => {
    const request = issuanceRequest(call)
    const { publicKey: jwk, keyProof } = objectBody(call)
    if (!isJsonObject(jwk)) throw new AimsError('operation.request_malformed', 'publicKey is a JWK')
    const key = importKeyToCertify(jwk)
    const { agent } = request
    if (agent !== undefined) {
      const nonce = agentProofNonce({ agent: agent.spiffeId, purpose: type, entryId: request.entryId })
      const subject = { nonce, trustDomain, thumbprint: key.thumbprint }
      verifyKeyProof(typeof keyProof === 'string' ? keyProof : '', subject, key)
    }
    return { ...request, publicKey: key }
  }
  // All processes of one agent that an entry fits are given the same credential: here they are one.
  const noteInstance = async (request: IssuanceRequest, expiresAt: number): Promise<void> => {
    const entry = options.entries.find(request.entryId)
    const instance = { name: request.agent?.spiffeId ?? 'the agent of this host' }
    const times = { now: options.clock(), expiresAt }
    if (entry !== undefined) await options.live.note(entry, instance, times, request.correlationId)
  }
  return [
    {
      ...common,
      method: 'GET',
      path: '/v1/agent/entries',
      summary:
        'Gives the entries of the agent and the bundle; with after, waits until there is another state than that one.',
      query: {
        after: 'the revision of the state that the agent has',
        changes: 'true: only what changed since then, where the server can tell; the answer then has removed',
      },
      handle: (call) => stateFor(call, options),
    },
    {
      ...common,
      method: 'POST',
      path: '/v1/agent/x509-svids',
      summary: 'Issues an X.509-SVID for a public key of the workload.',
      body: KEYED,
      handle: async (call) => {
        const request = keyed(call, 'x509-svid')
        const { certificates, serialNumber, notAfter } = await issuer.issueX509(request)
        await noteInstance(request, notAfter)
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
      handle: async (call) => {
        const request = keyed(call, 'wit')
        const wit = await issuer.issueWit(request)
        await noteInstance(request, wit.expiresAt)
        return { status: 201, body: wit }
      },
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

async function stateFor(call: Call, options: AgentRoutesOptions): Promise<Reply> {
  const { entries, entryChanges, authorities, changes, trustDomain } = options
  const { query, signal } = call
  let current = call.caller
  let sequence = options.endings.revocations.sequence()
  const after = Number(query.after ?? Number.NaN)
  const isKnown = Number.isSafeInteger(after)
  const until = performance.now() + LONG_POLL
  for (let seen = after; ; seen = changes.revision()) {
    const left = until - performance.now()
    if (isKnown && left > 0) await changes.wait(seen, { timeout: left, signal })
    current = await stillThere(call, current, options, sequence)
    sequence = options.endings.revocations.sequence()
    const view = viewOf(current, entries, entryChanges)
    const revision = changes.revision()
    if (isKnown && revision === after) {
      if (left > 0 && !signal.aborted) continue
      return { status: 204 }
    }
    const delta = isKnown ? view.changes(after) : undefined
    const isNews = delta === undefined || delta.entries.length + delta.removed.length > 0
    if (!isNews && !entryChanges.isBundleNewer(after)) {
      if (left > 0 && !signal.aborted) continue
      return { status: 204 }
    }
    // The bundle travels as text: its sequence number may be larger than JSON.parse can keep.
    const bundle = serializeBundle(authorities.bundle(), { includeWit: true })
    const told = delta !== undefined && query.changes === 'true' ? delta : { entries: view.entries() }
    const standing = authorities.standing()
    const federated = federatedBody(bundlesFor(view, options))
    return { status: 200, body: { revision, trustDomain, bundle, standing, federated, ...told } }
  }
}

// What the entries of the agent name: whom others of the trust domain deal with is not its business.
function bundlesFor(view: AgentView, { federation }: AgentRoutesOptions): readonly TrustBundle[] {
  const all = federation.bundles()
  if (all.length === 0) return all
  const names = new Set(view.entries().flatMap(({ federatesWith }) => federatesWith))
  return all.filter(({ trustDomain }) => names.has(trustDomain))
}

// It may have been banned, attested anew somewhere else, or revoked while it waited.
async function stillThere(
  call: Call,
  before: Caller,
  { agents, endings }: AgentRoutesOptions,
  sequence: number,
): Promise<Caller> {
  const { agent, credential, name } = before
  if (agent === undefined || credential === undefined) return before
  if (endings.revocations.sequence() !== sequence) return await call.again()
  return { ...before, agent: agents.present(name, credential.id) }
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
    ...(call.caller.agent === undefined ? {} : { agent: call.caller.agent }),
    correlationId: typeof body.correlationId === 'string' ? body.correlationId : call.id,
  }
}
