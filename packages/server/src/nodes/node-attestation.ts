import { type Appraisal, appraise, type EvidenceVerifiers, readAppraisalPolicy } from 'aims/attestation'
import {
  AimsError,
  type Clock,
  importVerificationKey,
  isJsonObject,
  type JsonObject,
  jwkThumbprint,
  type Observer,
  sha256,
  type VerificationKey,
} from 'aims/base'
import { joinSpiffeId, type TrustDomain } from 'aims/identifiers'
import { agentProofNonce, type Issuer, verifyKeyProof } from 'aims/provisioning'
import { postureOf } from '../attestation/evidence-events.ts'
import type { EvidenceSession, ProvenEvidence, ShownEvidence } from '../attestation/evidence-session.ts'
import { firstUse } from '../attestation/first-use.ts'
import type { RegisteredAgent } from '../store/agent-store.ts'
import type { AttestedThings } from '../store/attested-things.ts'
import { admitted, turnedAway } from './agent-events.ts'
import type { AgentRegistry } from './agent-registry.ts'
import type { PassingEntries } from './passing-entries.ts'

/** What an agent gets: who it is, and the SVID for its key. */
export interface AgentGrant {
  readonly agent: RegisteredAgent
  readonly svid: Awaited<ReturnType<Issuer['issueX509']>>
}

/** Lets machines in as agents, and gives agents their next SVID. */
export interface NodeAttestation {
  /** @throws {@link AimsError} `attestation.*`, `provisioning.agent_banned`, `key.*`, and what the observer throws */
  attest(request: ShownEvidence, correlationId: string): Promise<AgentGrant>
  /** @throws {@link AimsError} `provisioning.*`, `credential.key_reuse`, `key.*`, and what the observer throws */
  renew(
    agent: RegisteredAgent,
    request: { readonly publicKey: JsonObject; readonly keyProof: string },
    correlationId: string,
  ): Promise<AgentGrant>
}

/** What it works with. */
export interface NodeAttestationOptions {
  readonly trustDomain: TrustDomain
  /** By type: what evidence of an agent must show. A type that is not here lets nobody in. */
  readonly policies: JsonObject
  readonly verifiers: EvidenceVerifiers
  readonly session: EvidenceSession
  readonly registry: AgentRegistry
  readonly things: AttestedThings
  readonly passing: PassingEntries
  readonly issuer: Issuer
  /** Seconds. */
  readonly ttl: number
  readonly clock: Clock
  readonly observer: Observer
}

/**
 * Makes the attestation of agents on other hosts. The SPIFFE ID follows from what the evidence is about: the same machine
 * is the same agent. Evidence that binds to no key is good for the first key alone, until the agent is evicted.
 *
 * @throws {@link AimsError} `operation.config_invalid`, for a policy that nobody can read
 * @see security-and-reliability section 3.9, A5, A6 and X6
 */
export function createNodeAttestation(options: NodeAttestationOptions): NodeAttestation {
  const { trustDomain, verifiers, session, registry, things, passing, issuer, ttl, clock, observer } = options
  const policies = readPolicies(options.policies, verifiers)

  // What decides and what happens next is one piece: of two at one time the second sees the first.
  const admit = async (proven: ProvenEvidence, now: number, correlationId: string): Promise<AgentGrant> => {
    const { evidence, key, thumbprint } = proven
    const [shown, second] = evidence
    if (shown === undefined || second !== undefined) {
      throw new AimsError('attestation.not_enough', 'an agent shows one piece of evidence')
    }
    const { type } = shown.result
    const policy = policies.get(type)
    if (policy === undefined) throw new AimsError('attestation.not_allowed', `agents are not attested by ${type} here`)
    const id = agentId(type, shown.attested)
    const spiffeId = joinSpiffeId(trustDomain, 'aims', 'agent', type, id)
    const before = registry.find(id)
    if (before?.state === 'banned') throw new AimsError('provisioning.agent_banned', 'an operator banned this agent')
    if (before?.mayReattest === false) throw new AimsError('attestation.taken', 'this machine is an agent already')
    const appraisal = appraise([shown], policy, verifiers)
    const identity = { id, spiffeId, revision: 0 }
    const remember = await firstUse(proven, identity, appraisal, { things, observer, now, correlationId })
    const mayReattest = shown.result.binding !== 'none'
    const agent: RegisteredAgent = {
      id,
      spiffeId,
      type,
      selectors: appraisal.selectors,
      state: 'active',
      mayReattest,
      thumbprint,
      serial: '',
      nextSerial: undefined,
      expiresAt: 0,
      firstSeen: before?.firstSeen ?? now,
      lastSeen: now,
    }
    await observer.record(admitted(agent, postureOf(appraisal), appraisal.assurance, correlationId))
    const grant = await issue(agent, key, appraisal, correlationId)
    await remember()
    // A new attestation ends what the agent held before.
    const registered = { ...grant.agent, serial: grant.svid.serialNumber, nextSerial: undefined }
    registry.put(registered)
    return { ...grant, agent: registered }
  }

  const issue = async (
    agent: RegisteredAgent,
    key: VerificationKey,
    appraisal: Appraisal | undefined,
    correlationId: string,
  ): Promise<AgentGrant> => {
    const { spiffeId, type, selectors } = agent
    const posture = appraisal === undefined ? { type, selectors } : postureOf(appraisal)
    const svid = await passing.issue(issuer, { spiffeId, publicKey: key.key, ttl, posture, correlationId })
    const thumbprint = jwkThumbprint(key.key)
    const lastSeen = clock()
    return { agent: { ...agent, thumbprint, expiresAt: svid.notAfter, lastSeen }, svid }
  }

  // Refusals are recorded before they are told.
  const recorded = async <T>(
    action: 'attest' | 'renew',
    who: RegisteredAgent | undefined,
    correlationId: string,
    work: () => Promise<T>,
  ): Promise<T> => {
    try {
      return await work()
    } catch (error) {
      if (AimsError.is(error)) await observer.record(turnedAway(action, who, error, correlationId))
      throw error
    }
  }

  return {
    attest: (request, correlationId) =>
      recorded('attest', undefined, correlationId, async () => {
        const now = clock()
        const proven = await session.prove(request, 'agent', now)
        return registry.oneAtATime(() => admit(proven, now, correlationId))
      }),
    renew: ({ spiffeId, serial: shown }, { publicKey, keyProof }, correlationId) =>
      registry.oneAtATime(async () => {
        // Who waited for its turn may have been overtaken by an attestation, which ends what was held before.
        const agent = registry.present(spiffeId, shown)
        return recorded('renew', agent, correlationId, async () => {
          const key = importVerificationKey(publicKey)
          const thumbprint = jwkThumbprint(key.key)
          const nonce = agentProofNonce({ agent: spiffeId, purpose: 'renew' })
          verifyKeyProof(keyProof, { nonce, trustDomain, thumbprint }, key)
          if (thumbprint === agent.thumbprint) {
            throw new AimsError('credential.key_reuse', 'every SVID of an agent has a new key')
          }
          const { agent: renewed, svid } = await issue(agent, key, undefined, correlationId)
          // Bans wait for us, but the agent may have shown its former new SVID meanwhile.
          const { serial } = registry.requireActive(spiffeId)
          const kept = { ...renewed, serial, nextSerial: svid.serialNumber }
          registry.put(kept)
          return { agent: kept, svid }
        })
      }),
  }
}

// Says nothing about the machine, and has no character that a path may not have.
function agentId(type: string, attested: string): string {
  return sha256(JSON.stringify([type, attested]))
    .toString('hex')
    .slice(0, 32)
}

function readPolicies(
  settings: JsonObject,
  verifiers: EvidenceVerifiers,
): ReadonlyMap<string, ReturnType<typeof readAppraisalPolicy>> {
  const policies = new Map<string, ReturnType<typeof readAppraisalPolicy>>()
  for (const [type, value] of Object.entries(settings)) {
    try {
      if (!isJsonObject(value)) throw new AimsError('attestation.policy_malformed', 'an object is needed')
      policies.set(type, readAppraisalPolicy({ [type]: value }, verifiers))
    } catch (cause) {
      const reason = AimsError.is(cause) ? cause.message : 'not usable'
      throw new AimsError('operation.config_invalid', `"agents.attestation": ${type}: ${reason}`, { cause })
    }
  }
  return policies
}
