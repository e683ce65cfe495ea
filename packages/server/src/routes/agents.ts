import { AimsError } from 'aims/base'
import { serializeBundle } from 'aims/credentials'
import type { Route } from '../http/route.ts'
import type { Schema } from '../http/schema.ts'
import type { Authorities } from '../keys/authority-types.ts'
import type { AgentRegistry } from '../nodes/agent-registry.ts'
import type { BanAgent } from '../nodes/ban.ts'
import type { AgentGrant, NodeAttestation } from '../nodes/node-attestation.ts'
import { EVIDENCE_PROPERTIES, JWK, KEY_PROOF, shownEvidence } from './attestation.ts'
import { actorOf, objectBody, objectMember, textMember } from './read.ts'

const ATTEST: Schema = {
  type: 'object',
  properties: EVIDENCE_PROPERTIES,
  required: ['challengeId', 'publicKey', 'keyProof', 'evidence'],
}
const RENEW: Schema = {
  type: 'object',
  properties: { publicKey: JWK, keyProof: KEY_PROOF },
  required: ['publicKey', 'keyProof'],
}

/** Agents on other hosts: how they come in, and what operators decide about them. */
export function agentsRoutes(
  registry: AgentRegistry,
  ban: BanAgent,
  attestation: NodeAttestation,
  authorities: Authorities,
): readonly Route[] {
  const admin = { access: 'admin', entrances: ['unix', 'https'] } as const
  const granted = ({ agent, svid }: AgentGrant): object => ({
    spiffeId: agent.spiffeId,
    mayReattest: agent.mayReattest,
    chain: svid.certificates.map((der) => Buffer.from(der).toString('base64')),
    serialNumber: svid.serialNumber,
    expiresAt: svid.notAfter,
    bundle: serializeBundle(authorities.bundle(), { includeWit: true }),
  })
  return [
    {
      method: 'POST',
      access: 'public',
      entrances: ['unix', 'https'],
      path: '/v1/agents/attest',
      summary: 'Lets a machine in as an agent that shows evidence for a challenge of use agent.',
      body: ATTEST,
      handle: async (call) => ({
        status: 201,
        body: granted(await attestation.attest(shownEvidence(objectBody(call)), call.id)),
      }),
    },
    {
      method: 'POST',
      access: 'agent',
      entrances: ['https'],
      path: '/v1/agents/renew',
      summary: 'Gives an agent on another host its next SVID, for a new key that it proves to hold.',
      body: RENEW,
      handle: async (call) => {
        const { agent } = call.caller
        if (agent === undefined) throw new AimsError('operation.not_permitted', 'only agents ask for this')
        const body = objectBody(call)
        const request = { publicKey: objectMember(body, 'publicKey'), keyProof: textMember(body, 'keyProof') }
        return { status: 201, body: granted(await attestation.renew(agent, request, call.id)) }
      },
    },
    {
      ...admin,
      method: 'GET',
      path: '/v1/agents',
      summary: 'Lists the agents on other hosts.',
      handle: () => ({ status: 200, body: { agents: registry.list() } }),
    },
    {
      ...admin,
      method: 'POST',
      path: '/v1/agents/{id}/ban',
      summary: 'Refuses an agent everywhere from now on, and on demand all that its workloads were given.',
      query: { revoke: 'true: also revoke the identities that the agent may serve, and its own' },
      handle: async (call) => ({
        status: 200,
        body: await ban(call.params.id ?? '', { revoke: call.query.revoke === 'true' }, actorOf(call)),
      }),
    },
    {
      ...admin,
      method: 'DELETE',
      path: '/v1/agents/{id}',
      summary: 'Forgets an agent, banned or not: its machine may be attested anew.',
      handle: async (call) => {
        await registry.evict(call.params.id ?? '', actorOf(call))
        return { status: 204 }
      },
    },
  ]
}
